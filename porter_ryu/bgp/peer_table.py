"""What a peer is announced now, or was sent last, path by path: the question of `porter-ryu
routes`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from porter_ryu.bgp.protocol.export import ExportPolicy, weight
from porter_ryu.bgp.protocol.rib_out import AdjRibOut, SentPaths
from porter_ryu.bgp.protocol.update import DEFAULT_LOCAL_PREF, Attributes, PathId
from porter_ryu.domain.announcement import NO_ATTRIBUTES, WITHDRAWN, Announcements
from porter_ryu.domain.model import Address, Network


class SentPath(Struct, frozen=True):
    """One path as the peer was sent it; `node` is empty if no node is known by its next hop,
    `since` is Unix time, None for what was sent last and is announced no more."""

    prefix: Network
    path_id: PathId
    node: str
    said: Attributes
    since: float | None

    @property
    def prepended(self) -> int:
        """How often our AS is in the AS_PATH beyond the first time."""
        return max(0, len(self.said.as_path) - 1)

    @property
    def local_pref(self) -> int | None:
        """Its LOCAL_PREF, which an internal peer is always sent; None to an external one."""
        internal = not self.said.as_path
        return (
            DEFAULT_LOCAL_PREF
            if internal and self.said.local_pref is None
            else self.said.local_pref
        )

    @property
    def weight(self) -> int | None:
        """Its weight among the paths of the prefix; None without link bandwidth."""
        return weight(self.said)


class PeerTable:
    """The table of one session, at the time of the question.

    `routes` is the Loc-RIB, which knows the nodes.  `up_at`: when the session came up, on the
    monotonic clock; `unix_zero` added to that clock makes Unix time.
    """

    def __init__(
        self,
        table: AdjRibOut | None,
        routes: Mapping[Network, Announcements],
        up_at: float,
        unix_zero: float,
    ) -> None:
        self._table = table
        self._routes = routes
        self._up_at = up_at
        self._unix_zero = unix_zero

    def paths(self, prefix: Network | None = None) -> Iterator[SentPath]:
        """All paths in order of prefix and next hop; with `prefix` only those to it, to a prefix in
        it, or to one that contains it.  The table may change between two paths."""
        if self._table is None:
            return
        sent, since = self._table.sent, self._table.since
        names = _NodeNames(self._routes, self._table.policy)
        for one in _chosen(sent, prefix):
            nodes, began = names.of(one), since.get(one, {})
            paths = sorted(sent.get(one, {}).items(), key=lambda path: path[1].next_hop.packed)
            for path_id, said in paths:
                at = max(began.get(path_id, self._up_at), self._up_at)
                node = nodes.get(said.next_hop, "")
                yield SentPath(one, path_id, node, said, at + self._unix_zero)


NO_TABLE = PeerTable(None, {}, 0.0, 0.0)


class LastTable:
    """What was sent last in a session that is over: `left`, exported by `policy`.  `routes` is the
    Loc-RIB as it is now."""

    def __init__(
        self,
        left: Mapping[Network, SentPaths],
        policy: ExportPolicy,
        routes: Mapping[Network, Announcements],
    ) -> None:
        self._left = left
        self._policy = policy
        self._routes = routes

    def paths(self, prefix: Network | None = None) -> Iterator[SentPath]:
        """As `PeerTable.paths`."""
        names = _NodeNames(self._routes, self._policy)
        for one in _chosen(self._left, prefix):
            nodes = names.of(one)
            paths = sorted(self._left[one].items(), key=lambda path: path[1].next_hop.packed)
            for path_id, path in paths:
                own = path.attributes or NO_ATTRIBUTES
                said = self._policy.path_attributes(path.next_hop, own)
                yield SentPath(one, path_id, nodes.get(path.next_hop, ""), said, None)


class _NodeNames:
    """The names of the nodes that a prefix leads to now, by the address that the peer has of
    them."""

    def __init__(self, routes: Mapping[Network, Announcements], policy: ExportPolicy) -> None:
        self._routes = routes
        self._policy = policy
        self._known: dict[int, tuple[Announcements, dict[Address, str]]] = {}

    def of(self, prefix: Network) -> Mapping[Address, str]:
        """Those of a prefix."""
        announcements = self._routes.get(prefix, WITHDRAWN)
        known = self._known.get(id(announcements))
        if known is None:
            known = (announcements, _nodes(announcements, prefix.version, self._policy))
            self._known[id(announcements)] = known
        return known[1]


def _chosen(prefixes: Iterable[Network], prefix: Network | None) -> list[Network]:
    """Those that concern a prefix, or all, in order."""
    wanted = [p for p in list(prefixes) if prefix is None or _related(p, prefix)]
    wanted.sort(key=lambda p: (p.version, int(p.network_address), p.prefixlen))
    return wanted


def _related(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _nodes(announcements: Announcements, family: int, policy: ExportPolicy) -> dict[Address, str]:
    """The names of nodes by the address that the peer has of them."""
    pairs = (
        (policy.next_hop_address(path.next_hop, family), path.next_hop.node)
        for path in sorted(announcements, key=lambda path: path.next_hop.node, reverse=True)
    )
    return {address: node for address, node in pairs if address is not None}
