"""What one session is still due, sent slice by slice.

In this order: what was announced before, while the cluster cannot be read; what changed, which at
first is the whole table; what was refused and is tried again; what an earlier session left and is
not wanted any more; End-of-RIB (RFC 4724, 4.1); the families that the peer asked for again
(RFC 2918), between their marks where it knows them (RFC 7313); and last, what was withdrawn is
struck out of the journal when the peer has surely read it.  A slice is some milliseconds of
work, and only as much is encoded as the session takes: a peer that does not read collects
prefixes, not messages.
"""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from porter_ryu import metrics
from porter_ryu.bgp.journal import RouteJournal
from porter_ryu.bgp.protocol import update, wire
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut, Difference, NextHops
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.bgp.refusals import Refusals
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Address, Family, Network

T = TypeVar("T")
_Left = collections.deque[tuple[Network, NextHops]]

_PREFIXES_MOST, _PATHS_MOST = 512, 1024  # of a slice: some five milliseconds
_REST_LEAST, _REST_MOST = 0.05, 1.0
_SETTLED = 5.0


@dataclass
class LocRib:
    """What is wanted by all peers alike; `complete` once nothing known is missing from it,
    `replaying` while the cluster cannot be read and the journal stands for it."""

    routes: dict[Network, Announcements]
    path_ids: PathIds
    complete: bool = False
    replaying: bool = False


class Link(Protocol):
    """A session, as far as output needs it."""

    @property
    def congested(self) -> bool:
        """Whether it has not yet taken all that was sent."""

    @property
    def graceful(self) -> bool:
        """Whether the peer keeps our routes over a restart."""

    @property
    def families(self) -> frozenset[Family]:
        """The families that it carries."""

    @property
    def enhanced_refresh(self) -> bool:
        """Whether the peer knows the marks of a refresh."""

    def send(self, data: bytes) -> None:
        """Takes whole messages."""


class SessionOutput:
    """One session's Adj-RIB-Out and what it is due.

    `wake_after` has `send_slice` called again in so many seconds.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        rib_out: AdjRibOut,
        loc_rib: LocRib,
        journal: RouteJournal,
        refusals: Refusals,
        wake_after: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = link
        self.rib_out = rib_out
        self.end_of_rib_due = link.families
        self._updates = metrics.bgp_updates_sent.labels(peer=name)
        self._loc_rib = loc_rib
        self._journal = journal
        self._refusals = refusals
        self._wake_after = wake_after
        self._clock = clock
        self._changed: dict[Network, None] = {}
        self._work: collections.deque[Network] = collections.deque()
        self._replayed: _Left = collections.deque()
        self._left: _Left | None = None
        self._asked: set[Family] = set()
        self._again: collections.deque[Network] | None = None
        self._again_family = Family.IPV4
        self._began_at = 0.0
        self._gone: collections.deque[tuple[float, Network, Collection[PathId]]] = (
            collections.deque()
        )
        self._wake_at = 0.0
        self._rest_until = dict.fromkeys(Family, 0.0)

    # -- what it is due -----------------------------------------------------------------------

    def change(self, prefixes: Iterable[Network]) -> None:
        """These prefixes are to be brought to what the Loc-RIB says of them."""
        self._changed.update(dict.fromkeys(prefixes))

    def change_at_once(self, prefixes: Collection[Network]) -> bool:
        """As `change`, and sends a few prefixes before it returns, whatever else is still due;
        False, and does nothing, where the session takes nothing now."""
        if self.link.congested or not self._loc_rib.complete:
            return False
        self._tell(self.rib_out.sync(self._loc_rib.routes, prefixes))
        return True

    def refresh(self, family: Family) -> None:
        """The peer asks for a family again.  One refresh of a family is in work at a time; all
        who ask meanwhile are answered by one more."""
        if family in self.link.families:
            self._asked.add(family)

    def replay(self) -> None:
        """What an earlier run announced is to be announced as it was."""
        self._replayed = collections.deque(self._journal.paths.items())

    # -- sending ------------------------------------------------------------------------------

    def send_slice(self) -> bool:
        """Sends the next slice; whether there is more that can be sent now."""
        if self.link.congested:
            return False
        if not self._loc_rib.complete:
            return self._replay_slice()
        self._replayed.clear()
        if self._changed or self._work:
            return self._changes_slice()
        if self._refusals.hunting:
            return self._try_refused()
        if self.end_of_rib_due:
            return self._end_of_rib_slice()
        if self._refresh_slice():
            return True
        return self._settle_slice()

    def _replay_slice(self) -> bool:
        self._say(self.rib_out.restore(_pop(self._replayed, _PATHS_MOST)))
        return bool(self._replayed)

    def _changes_slice(self) -> bool:
        if not self._work:
            self._work.extend(self._changed)
            self._changed.clear()
        prefixes = itertools.islice(_popping(self._work), _PREFIXES_MOST)
        self._tell(self.rib_out.sync(self._loc_rib.routes, prefixes, most=_PATHS_MOST))
        return True

    def _try_refused(self) -> bool:
        wait = self._refusals.pause()
        if wait > 0:
            self._wait(wait)
            return False
        self._refusals.next_group()
        self.change(self._loc_rib.routes)
        return True

    def _end_of_rib_slice(self) -> bool:
        """What the peer kept and must not keep, then End-of-RIB."""
        if self._left is None:
            self._left = collections.deque(self._journal.paths.items())
        if self._left:
            paths = _pop(self._left, _PATHS_MOST)
            self._say(self.rib_out.stale(paths))
            self._withdrawn((prefix, self._not_sent(prefix, hops)) for prefix, hops in paths)
            return True
        families, self.end_of_rib_due = sorted(self.end_of_rib_due), frozenset()
        self._say(self.rib_out.unsaid(self._journal.unfit.items()))
        self._journal.unfit = {}
        self._hand_over([update.end_of_rib(family) for family in families])
        return True

    def _refresh_slice(self) -> bool:
        if self._again is None:
            return self._begin_refresh()
        if self._again:
            prefixes = itertools.islice(_popping(self._again), _PREFIXES_MOST)
            difference = self.rib_out.sync(
                self._loc_rib.routes, prefixes, again=True, most=_PATHS_MOST
            )
            self._tell(difference)
            return True
        self._again = None
        # a peer that asks for ever takes no more than half of the time
        now = self._clock()
        rest = min(max(_REST_LEAST, now - self._began_at), _REST_MOST)
        self._rest_until[self._again_family] = now + rest
        self._mark(wire.Refresh.END)
        return True

    def _begin_refresh(self) -> bool:
        now = self._clock()
        ready = [family for family in sorted(self._asked) if self._rest_until[family] <= now]
        if not ready:
            if self._asked:
                self._wait(min(self._rest_until[family] for family in self._asked) - now)
            return False
        family = ready[0]
        self._asked.discard(family)
        self._again_family = family
        self._began_at = now
        self._again = collections.deque(p for p in self.rib_out.sent if p.version == family)
        self._mark(wire.Refresh.BEGIN)
        return True

    def _settle_slice(self) -> bool:
        """Strikes out of the journal what was withdrawn, once the peer has surely read it."""
        now = self._clock()
        if self._gone and self._gone[0][0] > now:
            self._wait(self._gone[0][0] - now)
            return False
        gone: list[tuple[Network, Collection[PathId]]] = []
        while self._gone and self._gone[0][0] <= now and len(gone) < _PREFIXES_MOST:
            _, prefix, path_ids = self._gone.popleft()
            gone.append((prefix, self._not_sent(prefix, path_ids)))
        self._journal.remove(gone)
        return bool(self._gone)

    def _not_sent(self, prefix: Network, path_ids: Iterable[PathId]) -> list[PathId]:
        return [path_id for path_id in path_ids if not self.rib_out.has(prefix, path_id)]

    def _withdrawn(self, paths: Iterable[tuple[Network, Collection[PathId]]]) -> None:
        due_at = self._clock() + _SETTLED
        before = len(self._gone)
        if self.link.graceful:
            self._gone.extend((due_at, prefix, path_ids) for prefix, path_ids in paths if path_ids)
        if len(self._gone) > before:
            self._wait(_SETTLED)

    def _mark(self, mark: wire.Refresh) -> None:
        if self.link.enhanced_refresh:
            self.link.send(wire.encode_route_refresh(self._again_family, mark))

    def _wait(self, seconds: float) -> None:
        """Has this called again in so many seconds, unless it will be anyway."""
        now = self._clock()
        if not now < self._wake_at <= now + seconds:
            self._wake_at = now + seconds
            self._wake_after(seconds)

    def withdraw_all(self) -> None:
        """Takes back everything, for good, before it returns."""
        self._say(self.rib_out.withdraw_all())

    def _tell(self, difference: Difference) -> None:
        """Says a difference; what it announces is in the journal before it is sent."""
        if self.link.graceful:
            self._journal.add(difference.next_hops())
        self._say(difference)
        self._withdrawn(difference.withdrawn)

    def _say(self, difference: Difference) -> None:
        self._refusals.said(_distinct_next_hops(difference))
        self._hand_over(list(difference.messages(self.rib_out.policy.max_length)))

    def _hand_over(self, messages: list[bytes]) -> None:
        if messages:
            self._updates.inc(len(messages))
            self.link.send(b"".join(messages))


def _pop(left: _Left, most: int) -> list[tuple[Network, NextHops]]:
    """Takes prefixes off the front, until they have `most` paths."""
    found: list[tuple[Network, NextHops]] = []
    while left and most > 0:
        found.append(left.popleft())
        most -= len(found[-1][1])
    return found


def _distinct_next_hops(difference: Difference) -> Iterable[Address]:
    """The next hops that are announced; prefixes that share their paths are looked at once."""
    shared = {id(paths): paths for _, paths in difference.announced}
    return dict.fromkeys(said.next_hop for paths in shared.values() for said in paths.values())


def _popping(items: collections.deque[T]) -> Iterator[T]:
    """Takes items off the front, one when the next is asked for."""
    while items:
        yield items.popleft()
