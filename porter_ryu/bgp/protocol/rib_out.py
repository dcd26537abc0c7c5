"""Adj-RIB-Out (RFC 4271, 3.2) of the peers of an update group: computes what has to be sent.

Pure: it returns differences and sends nothing.  The key of a path is its prefix and its path
identifier; differences are found by comparing the attributes, to which the next hop belongs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set

from msgspec import Struct, field

from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.update import Attributes, PathId, Paths, announce, withdraw
from porter_ryu.domain.announcement import (
    LEAVING,
    WITHDRAWN,
    Announcement,
    Announcements,
    NextHop,
    SentPath,
)
from porter_ryu.domain.model import Address, Family, Network

# the paths of a prefix by path identifier, as the journal keeps them
SentPaths = Mapping[PathId, SentPath]

Since = Mapping[PathId, float]
"""Since when each path of a prefix is announced as it is; prefixes with one past share it."""

_NO_PATHS: Paths = {}
_NEVER: Since = {}
_EXPORTED_MOST = 4096


class Difference(Struct, frozen=True, gc=False):
    """Paths to announce by prefix, and identifiers of paths to withdraw by prefix.

    `before`: all paths that the table had of the prefixes that changed in it.
    """

    announced: Sequence[tuple[Network, Paths]] = ()
    withdrawn: Sequence[tuple[Network, Collection[PathId]]] = ()
    before: Mapping[Network, Paths] = {}

    def messages(self, max_length: int) -> Iterator[bytes]:
        """The UPDATEs, of at most `max_length` octets.  Announcements come before withdrawals, so
        that a prefix is never without a path in between."""
        yield from announce(self.announced, max_length)
        yield from withdraw(self.withdrawn, max_length)

    def next_hops(self) -> Iterable[Address]:
        """The next hops that are announced, each once."""
        shared = {id(paths): paths for _, paths in self.announced}
        return dict.fromkeys(said.next_hop for paths in shared.values() for said in paths.values())


class _Exported(Struct, frozen=True, gc=False):
    """What a peer may get of a set of announcements: each path by its next hop, and all of them as
    one mapping; None where some are chosen for each prefix.  `chosen`: what was chosen so far."""

    usable: Sequence[tuple[Announcement, Address]]
    by_hop: Mapping[NextHop, tuple[PathId, Attributes]]
    paths: Paths | None
    chosen: dict[tuple[NextHop, ...], Paths] = {}


class _Comparison(Struct, frozen=True, gc=False):
    """`new`: the paths of `after` that are new or have other attributes; `gone`: the identifiers
    that only `before` has.  `since`: that of `after`, and that of `before` from which it follows,
    by the identity of the latter."""

    before: Paths
    after: Paths
    new: Paths
    gone: tuple[PathId, ...]
    since: dict[int, tuple[Since, Since]]

    def since_of(self, earlier: Since, now: float) -> Since:
        """Since when the paths of `after` are announced, if those of `before` are since `earlier`;
        one object for all that have the same past."""
        known = self.since.get(id(earlier))
        if known is None:
            since = {i: now if i in self.new else earlier.get(i, now) for i in self.after}
            known = self.since[id(earlier)] = (since, earlier)
        return known[0]


class AdjRibOut(Struct):
    """The paths that were sent in Established sessions, by prefix.

    `withheld`: next hops and prefixes that must not be announced because the peer refuses them.
    `since`: when what is announced of each prefix began, on the clock of `sync`, in seconds.
    """

    policy: ExportPolicy
    path_ids: PathIds
    withheld: Set[Address | Network] = frozenset()
    sent: dict[Network, Paths] = field(default_factory=dict)
    since: dict[Network, Since] = field(default_factory=dict)
    _counts: dict[int, int] = field(default_factory=lambda: dict.fromkeys(Family, 0))
    _exported: dict[tuple[Announcements, int], _Exported] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for prefix, paths in self.sent.items():
            self._counts[prefix.version] += len(paths)

    def sync(
        self,
        wanted: Mapping[Network, Announcements],
        prefixes: Iterable[Network],
        most: int = 0,
        now: float = 0.0,
    ) -> Difference:
        """The difference between what is `wanted` and what was sent of these prefixes; it counts
        as sent `now`.  Stops after `most` paths (0: no limit)."""
        announced: list[tuple[Network, Paths]] = []
        withdrawn: list[tuple[Network, Collection[PathId]]] = []
        changed: dict[Network, Paths] = {}
        # prefixes share their paths, so that few differences occur many times
        known: dict[tuple[int, int], _Comparison] = {}
        count = 0
        for prefix in prefixes:
            before = self.sent.get(prefix, _NO_PATHS)
            after = self._paths(prefix, wanted.get(prefix, WITHDRAWN))
            if before is after:
                continue
            same = (id(before), id(after))
            found = known.get(same)
            if found is None:
                if before == after:
                    continue
                found = known[same] = _compare(before, after)
            if found.new:
                announced.append((prefix, found.new))
            if found.gone:
                withdrawn.append((prefix, found.gone))
            changed[prefix] = before
            since = found.since_of(self.since.get(prefix, _NEVER), now)
            self._note(prefix, before, after, since)
            count += len(found.new) + len(found.gone)
            if most and count >= most:
                break
        return Difference(announced, withdrawn, changed)

    def restore(self, left: Iterable[tuple[Network, SentPaths]], now: float = 0.0) -> Difference:
        """Announces the paths of an earlier run with the attributes that they had; they count as
        sent `now`.  A path whose attributes are not known is not announced."""
        announced = []
        changed: dict[Network, Paths] = {}
        # prefixes share their paths; but what is withheld may be a prefix
        known: dict[tuple[int, int], tuple[Paths, Since]] = {}
        for prefix, sent_paths in left:
            which = (id(sent_paths), prefix.version)
            if which not in known or self.withheld:
                found = self._restored(prefix, sent_paths)
                known[which] = (found, dict.fromkeys(found, now))
            paths, since = known[which]
            if paths:
                before = changed[prefix] = self.sent.get(prefix, _NO_PATHS)
                if before:
                    since = {**self.since.get(prefix, _NEVER), **since}
                self._note(prefix, before, {**before, **paths} if before else paths, since)
                announced.append((prefix, paths))
        return Difference(announced, before=changed)

    def stale(self, left: Iterable[tuple[Network, SentPaths]]) -> Difference:
        """Withdraws the paths of an earlier session that were not sent in this one.

        They are announced and withdrawn directly after one another: FRR with soft-reconfiguration
        ignores the withdrawal of a path that was not announced in this session, and at End-of-RIB
        it removes only one stale path of a prefix.  With GRACEFUL_SHUTDOWN no router uses one in
        between, not even if it had left the node because it is drained.
        """
        announced: list[tuple[Network, Paths]] = []
        withdrawn: list[tuple[Network, Collection[PathId]]] = []
        for prefix, sent_paths in left:
            sent = self.sent.get(prefix, _NO_PATHS)
            if sent.keys() == sent_paths.keys():
                continue
            stale = {
                path_id: path.next_hop
                for path_id, path in self._as_negotiated(prefix, sent_paths)
                if path_id not in sent
            }
            said = {
                path_id: self.policy.path_attributes(next_hop, LEAVING)
                for path_id, next_hop in stale.items()
                if self._may_announce(prefix, next_hop)
            }
            if said:
                announced.append((prefix, said))
            if stale:
                withdrawn.append((prefix, tuple(stale)))
        return Difference(announced, withdrawn)

    def withdraw_unfit(self, paths: Iterable[tuple[Network, Collection[PathId]]]) -> Difference:
        """Withdraws paths of an earlier session whose next hops must not be announced again."""
        withdrawn = []
        for prefix, path_ids in paths:
            several = prefix.version in self.policy.add_path
            gone = tuple(
                path_id
                for path_id in path_ids
                if (path_id is not None) == several and not self.has(prefix, path_id)
            )
            if gone and prefix.version in self.policy.families:
                withdrawn.append((prefix, gone))
        return Difference(withdrawn=withdrawn)

    def has(self, prefix: Network, path_id: PathId) -> bool:
        """Whether a path is announced."""
        return path_id in self.sent.get(prefix, _NO_PATHS)

    def next_hops(self, prefix: Network) -> tuple[Address, ...]:
        """The next hops that are announced for a prefix."""
        return tuple(
            attributes.next_hop for attributes in self.sent.get(prefix, _NO_PATHS).values()
        )

    def count(self, family: Family) -> int:
        """Paths of a family in this table."""
        return self._counts[family]

    def _note(self, prefix: Network, before: Paths, after: Paths, since: Since) -> None:
        self._counts[prefix.version] += len(after) - len(before)
        if after:
            self.sent[prefix], self.since[prefix] = after, since
        else:
            self.sent.pop(prefix, None)
            self.since.pop(prefix, None)

    def _restored(self, prefix: Network, sent_paths: SentPaths) -> Paths:
        return {
            path_id: self.policy.path_attributes(path.next_hop, path.attributes)
            for path_id, path in self._as_negotiated(prefix, sent_paths)
            if path.attributes is not None and self._may_announce(prefix, path.next_hop)
        }

    def _as_negotiated(
        self, prefix: Network, paths: SentPaths
    ) -> Iterator[tuple[PathId, SentPath]]:
        """Paths of an earlier session with or without identifiers, as this session needs them;
        none if the family is not negotiated."""
        if prefix.version not in self.policy.families:
            return
        several = prefix.version in self.policy.add_path
        for path_id, path in paths.items():
            if not several:
                yield None, path
            else:
                yield self.path_ids.of(path.next_hop) if path_id is None else path_id, path

    def _may_announce(self, prefix: Network, next_hop: Address) -> bool:
        """Whether a path by this next hop can and may be announced in this session."""
        if next_hop in self.withheld or prefix in self.withheld:
            return False
        return self.policy.may_carry(next_hop, prefix.version)

    def _paths(self, prefix: Network, announcements: Announcements) -> Paths:
        """The paths that should be announced for a prefix; prefixes with the same paths share one
        mapping."""
        family = prefix.version
        if not announcements or family not in self.policy.families:
            return _NO_PATHS
        if self.withheld and prefix in self.withheld:
            return _NO_PATHS
        exported = self._exports(announcements, family)
        if exported.paths is not None:
            return exported.paths
        hops = tuple(path.next_hop for path, _ in self.policy.chosen(prefix, exported.usable))
        chosen = exported.chosen.get(hops)
        if chosen is None:
            if len(exported.chosen) >= _EXPORTED_MOST:
                exported.chosen.clear()
            chosen = exported.chosen[hops] = dict(exported.by_hop[hop] for hop in hops)
        return chosen

    def _exports(self, announcements: Announcements, family: int) -> _Exported:
        """What the policy admits of these announcements."""
        if self.withheld:
            return self._export(announcements, family)
        known = self._exported.get((announcements, family))
        if known is None:
            if len(self._exported) >= _EXPORTED_MOST:
                self._exported.clear()
            known = self._exported[announcements, family] = self._export(announcements, family)
        return known

    def _export(self, announcements: Announcements, family: int) -> _Exported:
        several = family in self.policy.add_path
        usable = self.policy.usable(
            (path, address)
            for path, address in self.policy.admitted(announcements, family)
            if address not in self.withheld
        )
        by_hop = {
            path.next_hop: (
                self.path_ids.of(address) if several else None,
                self.policy.path_attributes(address, path.attributes),
            )
            for path, address in usable
        }
        limit = self.policy.limit(family)
        all_of_them = not limit or len(usable) <= limit
        return _Exported(usable, by_hop, dict(by_hop.values()) if all_of_them else None)


def as_sent(paths: Paths) -> SentPaths:
    """Paths as the journal keeps them."""
    return {path_id: SentPath(said.next_hop, said.own) for path_id, said in paths.items()}


def _compare(before: Paths, after: Paths) -> _Comparison:
    if not before:
        return _Comparison(before, after, after, (), {})
    new = {path_id: said for path_id, said in after.items() if before.get(path_id) != said}
    gone = tuple(i for i in before if i not in after)
    return _Comparison(before, after, new, gone, {})
