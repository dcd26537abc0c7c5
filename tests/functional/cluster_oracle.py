"""A small cluster as a test makes it, and what each router should have of it.

The rules are those of docs/addresses.md and docs/traffic.md, read again from scratch: nothing here
calls the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from fabric.objects import Json

DRAIN_SECONDS = 1
DRAIN_MED = 2**32 - 1
GRACEFUL_SHUTDOWN = "65535:0"


@dataclass
class NodeState:
    """A Node and its host.

    `drained_at`: when its drain was written; None while there is none, 0 where the running program
    did not see it begin.  `begun_by`: when it had surely begun; None before that.  `answered`:
    whether it answered a probe of the running program, since it was last labelled as excluded.
    """

    name: str
    address: str
    rack: str
    ready: bool = True
    linked: bool = True
    excluded: bool = False
    out_of_service: bool = False
    drained_at: float | None = None
    begun_by: float | None = None
    answered: bool = True

    def drain(self, at: float | None) -> None:
        """Its drain is written, or (None) taken away."""
        self.drained_at, self.begun_by = at, None

    @property
    def dead(self) -> bool:
        """Whether its probes say so."""
        return self.answered and not self.linked

    @property
    def usable(self) -> bool:
        """Whether it may be a next hop."""
        return self.ready and not (self.excluded or self.out_of_service or self.dead)


@dataclass(frozen=True)
class Entry:
    """An entry of spec.advertisements; empty `peers` and `rack`: all, `length` 0: no aggregate."""

    peers: tuple[str, ...] = ()
    rack: str = ""
    communities: tuple[str, ...] = ()
    med: int | None = None
    prepend: int = 0
    length: int = 0

    def names(self, peer: str) -> bool:
        """Whether it is for a peer."""
        return not self.peers or peer in self.peers

    def selects(self, node: NodeState) -> bool:
        """Whether it is for paths by a node."""
        return self.rack in ("", node.rack)

    def manifest(self) -> Json:
        """As it stands in an Eip."""
        found: Json = {"communities": list(self.communities), "peers": list(self.peers)}
        if self.rack:
            found["nodeSelector"] = {"matchLabels": {"rack": self.rack}}
        if self.med is not None:
            found["med"] = self.med
        if self.prepend:
            found["asPathPrepend"] = self.prepend
        if self.length:
            found["aggregationLength"] = self.length
        return {key: value for key, value in found.items() if value}


@dataclass
class PoolState:
    """An Eip."""

    address: str
    entries: tuple[Entry, ...] = ()
    allowed: tuple[str, ...] = ()


@dataclass
class ServiceState:
    """A Service; it gets the address that it has, by name, in `addresses` of its pool."""

    addresses: Mapping[str, str]
    pool: str
    pods: dict[str, int]
    local: bool = False
    asked: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Its address."""
        return self.addresses[self.pool]


@dataclass(frozen=True)
class PeerState:
    """A peer: `sessions` is 0 with ADD-PATH, otherwise how many sessions it has."""

    name: str
    communities: tuple[str, ...] = ()
    med: int | None = None
    rack: str = ""
    sessions: int = 0


@dataclass(frozen=True)
class Path:
    """A path in the table of a router: `length` of its AS_PATH."""

    hop: str
    communities: frozenset[str] = frozenset()
    med: int | None = None
    length: int = 1

    def rank(self) -> tuple[bool, int, int]:
        """How a router compares it; the least are the best (RFC 8326; RFC 4271, 9.1.2)."""
        return GRACEFUL_SHUTDOWN in self.communities, self.length, self.med or 0


def best(paths: Iterable[Path]) -> frozenset[str]:
    """The next hops by which a router forwards that has these paths."""
    known = list(paths)
    least = min((path.rank() for path in known), default=None)
    return frozenset(path.hop for path in known if path.rank() == least)


@dataclass(frozen=True)
class Wanted:
    """The paths of a prefix that a router has to have: at least `surely`, at most `perhaps`, and
    `count` of them unless that is None."""

    surely: frozenset[Path]
    perhaps: frozenset[Path]
    count: int | None = None

    def is_met(self, seen: frozenset[Path]) -> bool:
        """Whether a router has them."""
        right = self.surely <= seen <= self.perhaps and bool(seen) == bool(self.perhaps)
        return right and self.count in (None, len(seen))


@dataclass
class Cluster:
    """All of it."""

    nodes: dict[str, NodeState]
    pools: dict[str, PoolState]
    services: dict[str, ServiceState]
    peers: dict[str, PeerState] = field(default_factory=dict)

    def next_hops(self, service: ServiceState) -> list[NodeState]:
        """The nodes that may be next hops of a Service, with `next_hops = nodes`."""
        if not any(service.pods.values()):
            return []
        usable = [node for node in self.nodes.values() if node.usable]
        return [node for node in usable if not service.local or service.pods[node.name]]

    def shares(self, address: str, hops: frozenset[str]) -> dict[str, float]:
        """How a router that knows weights divides traffic over these next hops, in per cent."""
        counts = dict.fromkeys(hops, 1)
        for service in self.services.values():
            if service.address == address and service.local:
                counts = {
                    node.address: service.pods[node.name]
                    for node in self.nodes.values()
                    if node.address in hops
                }
        total = sum(counts.values())
        return {hop: 100 * count / total for hop, count in counts.items()}

    def wanted(self, peer: PeerState) -> dict[str, Wanted]:
        """What a peer has to have at rest, by prefix."""
        paths: dict[str, dict[str, Path]] = {}
        for prefix, node, entries, asked in self._announced(peer):
            found = [e for e in entries if e.names(peer.name) and e.selects(node)]
            if found and peer.rack in ("", node.rack):
                paths.setdefault(prefix, {})[node.name] = _path(node, found, asked, peer)
        return {prefix: self._in_use(of, peer.sessions) for prefix, of in paths.items()}

    def _announced(
        self, peer: PeerState
    ) -> Iterator[tuple[str, NodeState, Sequence[Entry], tuple[str, ...]]]:
        """Each prefix with each of its nodes, the entries that may apply, and the communities that
        its Service adds."""
        aggregates: dict[str, list[Entry]] = {}
        for service in self.services.values():
            pool, hops = self.pools[service.pool], self.next_hops(service)
            asked = tuple(text for text in service.asked if text in pool.allowed)
            entries = pool.entries or (Entry(),)
            own = [e for e in entries if not e.length or service.local or asked]
            for node in hops:
                yield service.address, node, own, asked
            for entry in entries:
                if entry.length and any(map(entry.selects, hops)):
                    network = ip_network((service.address, entry.length), strict=False)
                    aggregates.setdefault(str(network), []).append(entry)
        for prefix, standing in aggregates.items():
            for node in self.nodes.values():
                if node.usable:
                    yield prefix, node, standing, ()

    def _in_use(self, paths: dict[str, Path], sessions: int) -> Wanted:
        """Those of the paths of a prefix, by node, that are not left out because of a drain."""
        drained = {name: self.nodes[name].drained_at for name in paths}
        in_use = {name for name, at in drained.items() if at is None}
        if in_use:
            surely = perhaps = in_use
        else:
            last = max(at for at in drained.values() if at is not None)
            surely = {name for name, at in drained.items() if at == last}
            begun = {name: self.nodes[name].begun_by for name in paths}
            late = {n for n, by in begun.items() if by is None or by > last - DRAIN_SECONDS}
            perhaps = surely | (late if last else set())
        many = frozenset(paths[name] for name in perhaps)
        if sessions and len(surely) > sessions:
            return Wanted(frozenset(), many, sessions)
        if sessions and len(perhaps) > sessions:
            return Wanted(frozenset(), many)
        return Wanted(frozenset(paths[name] for name in surely), many)


def _path(
    node: NodeState, entries: Iterable[Entry], asked: tuple[str, ...], peer: PeerState
) -> Path:
    """A path as a peer should have it."""
    known = list(entries)
    communities = {*asked, *peer.communities, *(c for e in known for c in e.communities)}
    meds = [entry.med for entry in known if entry.med is not None]
    med = min(meds, default=peer.med)
    length = 1 + max(entry.prepend for entry in known)
    path = Path(node.address, frozenset(communities), med, length)
    if node.drained_at is None:
        return path
    shut = path.communities | {GRACEFUL_SHUTDOWN}
    return replace(path, communities=shut, med=DRAIN_MED)
