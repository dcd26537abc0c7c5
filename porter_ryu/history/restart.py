"""Compares what earlier runs announced, by the journals of the peers, with what is wanted now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from porter_ryu.domain.announcement import Announcements, SentPath, in_use
from porter_ryu.domain.model import Network
from porter_ryu.history.routes import Prefix

Left = Mapping[str, Mapping[Network, Mapping[int | None, SentPath]]]
"""By peer and prefix: the paths that an earlier run announced, by path identifier."""


@dataclass(frozen=True, slots=True)
class RestartCounts:
    """How many prefixes are announced as before, how many otherwise, and how many are gone or
    new."""

    same: int
    changed: int
    gone: int
    new: int

    @property
    def before(self) -> int:
        """How many prefixes earlier runs announced."""
        return self.same + self.changed + self.gone

    def __str__(self) -> str:
        return f"{self.same} as before, {self.changed} changed, {self.gone} gone, {self.new} new"


def compare(
    left: Left,
    wanted: Mapping[Prefix, Announcements],
    every_path: bool,
    give_way: Callable[[], None],
) -> RestartCounts:
    """A prefix has changed if a peer has a next hop that is not wanted any more or, where
    `every_path` goes to every peer with ADD-PATH, if none has one that is wanted."""
    verdicts: dict[tuple[int, ...], bool] = {}
    before: dict[Prefix, list[Mapping[int | None, SentPath]]] = {}
    for table in left.values():
        for prefix, sent in table.items():
            give_way()
            before.setdefault(_key(prefix), []).append(sent)
    same = changed = gone = 0
    for key, tables in before.items():
        give_way()
        paths = wanted.get(key)
        if not paths:
            gone += 1
            continue
        # most prefixes share their paths and tables with others
        pair = (id(paths), *map(id, tables))
        if pair not in verdicts:
            verdicts[pair] = _is_same(tables, paths, every_path)
        same, changed = (same + 1, changed) if verdicts[pair] else (same, changed + 1)
    return RestartCounts(same, changed, gone, len(wanted) - same - changed)


def _key(prefix: Network) -> Prefix:
    return prefix.network_address if prefix.prefixlen == prefix.max_prefixlen else prefix


def _is_same(
    tables: list[Mapping[int | None, SentPath]],
    paths: Announcements,
    every_path: bool,
) -> bool:
    """Whether the peers have these paths; a next hop that the session decides counts as theirs."""
    hops = [path.next_hop for path in in_use(tuple(paths))]
    if any(hop.is_self for hop in hops):
        return True
    now = {hop.ipv6 if hop.address is None else hop.address for hop in hops}
    had = {path.next_hop for table in tables for path in table.values()}
    with_add_path = any(None not in table for table in tables)
    return had <= now and (had == now or not (every_path and with_add_path))
