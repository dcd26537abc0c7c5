"""Compares what earlier runs announced, by the journals of the peers, with what is wanted now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from porter_ryu.domain.address_changes import AddressChange
from porter_ryu.domain.announcement import Announcement, Announcements, SentPath, in_use
from porter_ryu.domain.model import Address, Network, ObjectKey
from porter_ryu.domain.text import listed, shortened
from porter_ryu.domain.verdict import Reason
from porter_ryu.history.causes import STARTED
from porter_ryu.history.routes import Prefix, RouteChange

MAX_NAMED = 1000  # of the things that change at once and are one change
_MAX_TOLD = 3  # of the reasons, and of the nodes that are not usable
_NOT_HELD = "no Service has this address any more"
_HOLDER_UNKNOWN = "which Service had this address is not known: not every record can be read"
_USABLE = "usable"
_MAX_NODES, _MAX_TEXT_CHARACTERS = 100, 1000  # of each of them

Tables = list[Mapping[int | None, SentPath]]
Left = Mapping[str, Mapping[Network, Mapping[int | None, SentPath]]]
"""By peer and prefix: the paths that an earlier run announced, by path identifier."""


class Earlier(Struct, frozen=True):
    """What earlier runs left with the peers.  `every_path`: a peer with ADD-PATH gets all paths of
    a prefix.  `forgetful`: the peers that may have removed the routes meanwhile, because BFD told
    them that this program ended."""

    left: Left = field(default_factory=dict)
    every_path: bool = True
    forgetful: tuple[str, ...] = ()


class Comparison(Struct, frozen=True):
    """How many prefixes are announced as before, how many otherwise, and how many are gone or
    new.  `changes` are the first of those that are not as before: first what is gone."""

    same: int
    changed: int
    gone: int
    new: int
    changes: tuple[RouteChange, ...]

    @property
    def before(self) -> int:
        """How many prefixes earlier runs announced."""
        return self.same + self.changed + self.gone

    @property
    def others(self) -> int:
        """How many prefixes are not as before; at a first start none is."""
        return self.changed + self.gone + self.new if self.before else 0

    def __str__(self) -> str:
        if not self.before:
            return f"{self.new} new"
        return f"{self.same} as before, {self.changed} changed, {self.gone} gone, {self.new} new"


def compare(
    left: Left,
    wanted: Mapping[Prefix, Announcements],
    every_path: bool,
    names: Mapping[Address, str],
    give_way: Callable[[], None],
) -> Comparison:
    """A prefix has changed if a peer has a next hop that is not wanted any more or, where
    `every_path` goes to every peer with ADD-PATH, if none has one that is wanted.  `names` are
    those of the nodes, by their addresses."""
    verdicts: dict[tuple[int, ...], bool] = {}
    before: dict[Prefix, Tables] = {}
    for table in left.values():
        for prefix, sent in table.items():
            give_way()
            before.setdefault(_key(prefix), []).append(sent)
    same = 0
    changed: list[Prefix] = []
    gone: list[Prefix] = []
    for key, tables in before.items():
        give_way()
        paths = wanted.get(key)
        if not paths:
            gone.append(key)
            continue
        # most prefixes share their paths and tables with others
        pair = (id(paths), *map(id, tables))
        if pair not in verdicts:
            verdicts[pair] = _is_same(tables, paths, every_path)
        if verdicts[pair]:
            same += 1
        else:
            changed.append(key)
    # a first start announces everything anew
    new = [key for key in wanted if key not in before] if before else []
    named = [*gone[:MAX_NAMED], *changed[:MAX_NAMED], *new[:MAX_NAMED]][:MAX_NAMED]
    changes = tuple(_change(key, before.get(key, []), wanted.get(key), names) for key in named)
    all_new = len(wanted) - same - len(changed)
    return Comparison(same, len(changed), len(gone), all_new, changes)


class RestartCauses:
    """The causes of what a restart changed: of each route its own, and of all of them together.

    `said` has what is said of each node, `holders` the Services that hold an address,
    `holder_unknown` whether there may be others, `why_not` the reason why a Service is not
    announced, empty if it is.
    """

    def __init__(
        self,
        earlier: Earlier,
        found: Comparison,
        said: Mapping[str, str],
        holders: Callable[[Address], Iterable[ObjectKey]],
        why_not: Callable[[ObjectKey], str],
        holder_unknown: Callable[[Address], bool],
    ) -> None:
        self._is_complete = found.others <= MAX_NAMED
        self._said = said
        self._holders = holders
        self._why_not = why_not
        self._holder_unknown = holder_unknown
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._ends = ""
        if found.before and earlier.forgetful:
            names = listed(sorted(earlier.forgetful))
            self._ends = f"; with BFD a restart may have removed the routes at {names} for a while"

    def of_route(self, change: RouteChange) -> str:
        """The cause of one of the changes."""
        why = self._why_changed(change) if change.after else self._why_gone(change)
        if why:
            self._numbers["changed" if change.after else "gone", why] += 1
        return f"{STARTED}{': ' if why else ''}{why}{self._ends if change.before else ''}"

    def of_all(self) -> str:
        """The cause of all changes: the most frequent reasons of those that `of_route` had, and
        how many have each."""
        told = [STARTED]
        most = self._numbers.most_common(_MAX_TOLD)
        for (what, why), number in most:
            told.append(f"{number} {what}: {why}" if self._is_complete else f"{what}: {why}")
        more = sum(self._numbers.values()) - sum(number for _, number in most)
        if more:
            told.append(f"{more} for other reasons" if self._is_complete else "other reasons")
        return f"{'; '.join(told)}{self._ends}"

    def _why_changed(self, change: RouteChange) -> str:
        """Which nodes a route lost that are not usable, or drained; empty if none."""
        had, told = change.before.split(", "), []
        for name in change.nodes:
            text = self._said.get(name, _USABLE)
            if name in had and text != _USABLE:
                ends = " (a restart ends a drain)" if text.startswith("drained") else ""
                told.append(f"{name} is {text}{ends}")
        return listed(told, _MAX_TOLD)

    def _why_gone(self, change: RouteChange) -> str:
        """Why an address is not announced any more; empty for an aggregate."""
        if not isinstance(change.prefix, Address):
            return ""
        holders = list(self._holders(change.prefix))
        if not holders:
            return _HOLDER_UNKNOWN if self._holder_unknown(change.prefix) else _NOT_HELD
        reasons = list(dict.fromkeys(filter(None, map(self._why_not, holders))))
        nodes = self._why_changed(change) if Reason.NO_USABLE_NODE.value in reasons else ""
        return ": ".join(filter(None, (listed(reasons, _MAX_TOLD), nodes)))


def to_come(
    addresses: Mapping[ObjectKey, AddressChange], known: Mapping[Prefix, Announcements]
) -> str:
    """How many addresses were given that can be announced only once they are on record."""
    given = {address for change in addresses.values() for address in change.new}
    number = len(given - known.keys())
    are = "new address is" if number == 1 else "new addresses are"
    return f", {number} {are} announced once on record" if number else ""


def _key(prefix: Network) -> Prefix:
    return prefix.network_address if prefix.prefixlen == prefix.max_prefixlen else prefix


def _is_same(tables: Tables, paths: Announcements, every_path: bool) -> bool:
    """Whether the peers have these paths; a next hop that the session decides counts as theirs."""
    hops = [path.next_hop for path in in_use(tuple(paths))]
    if any(hop.is_self for hop in hops):
        return True
    now = {hop.ipv6 if hop.address is None else hop.address for hop in hops}
    had = _next_hops(tables)
    with_add_path = any(None not in table for table in tables)
    return had <= now and (had == now or not (every_path and with_add_path))


def _next_hops(tables: Tables) -> set[Address]:
    return {path.next_hop for table in tables for path in table.values()}


def _change(
    key: Prefix, tables: Tables, paths: Announcements | None, names: Mapping[Address, str]
) -> RouteChange:
    """From which nodes to which; the address stands for a node that is not there any more."""
    had = {names.get(address, str(address)) for address in _next_hops(tables)}
    used: tuple[Announcement, ...] = tuple(in_use(tuple(paths or ())))
    has = {path.next_hop.node for path in used}
    before, after = (
        shortened(", ".join(sorted(nodes)), _MAX_TEXT_CHARACTERS) for nodes in (had, has)
    )
    return RouteChange(key, before, after, tuple(sorted(had ^ has)[:_MAX_NODES]))
