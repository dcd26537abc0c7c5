"""Compares what earlier runs announced, by the journals of the peers, with what is wanted now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from porter_ryu.domain.address_changes import AddressChange
from porter_ryu.domain.announcement import Announcement, Announcements, SentPath, in_use
from porter_ryu.domain.model import Address, Network, ObjectKey
from porter_ryu.domain.text import listed, shortened
from porter_ryu.history.routes import Prefix, RouteChange

MAX_NAMED = 1000  # of the things that change at once and are one change
_MAX_TOLD = 3  # of the nodes that are not usable
_USABLE = "usable"
_MAX_NODES, _MAX_TEXT_CHARACTERS = 100, 1000  # of each of them

Tables = list[Mapping[int | None, SentPath]]
Left = Mapping[str, Mapping[Network, Mapping[int | None, SentPath]]]
"""By peer and prefix: the paths that an earlier run announced, by path identifier."""


STARTED = "this process started"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier runs left with the peers.  `every_path`: a peer with ADD-PATH gets all paths of
    a prefix.  `forgetful`: the peers that may have removed the routes meanwhile, because BFD told
    them that this program ended."""

    left: Left = field(default_factory=dict)
    every_path: bool = True
    forgetful: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many prefixes are announced as before, how many otherwise, and how many are gone or
    new.  `changes` are the first of those that are not as before: first what is gone.  `lost`
    counts, by node, those of these that do not lead to it any more."""

    same: int
    changed: int
    gone: int
    new: int
    changes: tuple[RouteChange, ...]
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def before(self) -> int:
        """How many prefixes earlier runs announced."""
        return self.same + self.changed + self.gone

    @property
    def others(self) -> int:
        """How many prefixes are not as before; at a first start none is."""
        return self.changed + self.gone + self.new if self.before else 0

    def __str__(self) -> str:
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
    lost = Counter(
        node for change in changes for node in change.nodes if node in change.before.split(", ")
    )
    return Comparison(same, len(changed), len(gone), all_new, changes, lost)


def restart_cause(earlier: Earlier, found: Comparison, said: Mapping[str, str]) -> str:
    """Why routes are not as before a restart; `said` has what is said of each node."""
    told = [STARTED]
    nodes = {name: said[name] for name in sorted(found.lost) if said.get(name, _USABLE) != _USABLE}
    for name in list(nodes)[:_MAX_TOLD]:
        text = nodes[name]
        ends = " (a restart ends a drain)" if text.startswith("drained") else ""
        number = f"{found.lost[name]} " if found.others <= MAX_NAMED else ""
        routes = "1 route" if number == "1 " else f"{number}routes"
        told.append(f"{routes} lost {name}, which is {text}{ends}")
    if len(nodes) > _MAX_TOLD:
        told.append(f"routes lost {len(nodes) - _MAX_TOLD} more nodes that are not usable")
    if found.before and earlier.forgetful:
        names = listed(sorted(earlier.forgetful))
        told.append(f"with BFD a restart may have removed the routes at {names} for a while")
    return "; ".join(told)


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
