"""What differs between two clusters, the one as it is and a supposed one, as a peer or a user would
notice it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.announcement import (
    WITHDRAWN,
    Announcement,
    Announcements,
    NextHop,
    in_use,
)
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.effect import Effect, NodesByAddress, effect_of
from porter_ryu.domain.model import Address, Family, Network, ObjectKey
from porter_ryu.domain.nodes.rendezvous import choose
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.prefix import host_prefix
from porter_ryu.domain.sending import PeerTerms
from porter_ryu.domain.shares import shares_in_use
from porter_ryu.domain.verdict import Reason

_ANNOUNCED, _WITHDRAWN = Reason.ANNOUNCED.value, "Withdrawn"
_OF_NEXT_HOPS = (Effect.OTHER_NEXT_HOPS, Effect.FEWER_NEXT_HOPS, Effect.OTHER)
_WHATEVER_THE_PEERS = (Effect.NOT_ANNOUNCED, Effect.ADDRESS_NOT_ANNOUNCED, Effect.ANNOUNCED)


class Aggregate(Struct, frozen=True):
    """An aggregate that is announced: its paths, and the Eips of the addresses that it is announced
    for, in order of name."""

    announcements: Announcements
    eips: tuple[str, ...]


class View(Struct, frozen=True):
    """One of the clusters that are compared: the state of a Service, what is announced of an
    address, and the aggregates."""

    state: Callable[[Decision], str]
    announcements: Callable[[Address], Announcements]
    aggregates: Mapping[Network, Aggregate]


class Standing(Struct, frozen=True):
    """What a Service or an aggregate has: its state, and by prefix or address the paths in use, in
    order of node, each with its share of the traffic in per cent (None: not known)."""

    state: str
    paths: tuple[tuple[Address | Network, tuple[tuple[Announcement, float | None], ...]], ...]

    @property
    def nodes(self) -> NodesByAddress:
        """The nodes that each address leads to."""
        return {address: {p.next_hop.node for p, _ in paths} for address, paths in self.paths}


class Move(Struct, frozen=True):
    """The one path of a peer for a prefix leads to another node: `was` and `becomes` are names."""

    peer: str
    was: str
    becomes: str


class Consequence(Struct, frozen=True):
    """A Service or an aggregate for which something changes.  `peers` are those that the effect is
    about, where it is not about all; `eips` are those that its addresses are from.  `moves` are the
    peers without ADD-PATH whose one path leads to another node then."""

    about: ObjectKey | Network
    effect: Effect
    peers: tuple[str, ...]
    eips: tuple[str, ...]
    was: Standing
    becomes: Standing
    moves: tuple[Move, ...]


class _Used(Struct, frozen=True):
    """What is used of the announcements of an address: the paths with their shares, by peer the
    nodes that its paths lead to, and the next hops that a peer with one path has it from."""

    paths: tuple[tuple[Announcement, float | None], ...]
    peers: Mapping[str, Set[str]]
    candidates: Mapping[str, Sequence[NextHop]]

    @property
    def nodes(self) -> Set[str]:
        """The nodes that are used, for a peer at least."""
        own = {path.next_hop.node for path, _ in self.paths}
        return own.union(*self.peers.values())


_Side = tuple[str, Sequence[Announcements]]
"""The state of a Service or an aggregate, and what is announced of each of its addresses."""


class Comparison:
    """Finds the Services and the aggregates that differ between two views.  `give_way` is called
    for each piece of work; the planner may change meanwhile.  `single_path` are the peers that have
    one path for each prefix, with the address families for which that is so."""

    def __init__(
        self,
        planner: Planner,
        give_way: Callable[[], None],
        single_path: Mapping[str, Set[Family]],
    ) -> None:
        self._planner = planner
        self._single_path = single_path
        self._give_way = give_way
        self._known: dict[Announcements, _Used] = {}

    def of_services(self, was: View, becomes: View, drained: Set[str]) -> tuple[Consequence, ...]:
        """The Services that differ, in order of effect, then of name; `drained` are the nodes that
        are drained in the second view."""
        found = list(self._services(was, becomes, drained))
        return tuple(sorted(found, key=lambda entry: entry.effect.rank))

    def of_aggregates(self, was: View, becomes: View, drained: Set[str]) -> tuple[Consequence, ...]:
        """The aggregates that differ, in order of effect, then of address."""
        found = list(self._aggregates(was, becomes, drained))
        return tuple(sorted(found, key=lambda entry: entry.effect.rank))

    def nodes(self, announcements: Announcements) -> Set[str]:
        """The nodes that are used of the announcements of an address, for a peer at least."""
        return self._used(announcements).nodes

    def _services(self, was: View, becomes: View, drained: Set[str]) -> Iterator[Consequence]:
        for key in sorted(self._planner.decisions):
            self._give_way()
            decision = self._planner.decisions.get(key)
            if decision is None or not decision.outcome.held:
                continue
            addresses = [held.address for held in decision.outcome.held]
            sides = [
                (view.state(decision), list(map(view.announcements, addresses)))
                for view in (was, becomes)
            ]
            eips = tuple(dict.fromkeys(held.eip for held in decision.outcome.held))
            yield from self._difference(key, eips, addresses, sides, drained)

    def _aggregates(self, was: View, becomes: View, drained: Set[str]) -> Iterator[Consequence]:
        prefixes = was.aggregates.keys() | becomes.aggregates.keys()
        for prefix in sorted(
            prefixes, key=lambda p: (p.version, int(p.network_address), p.prefixlen)
        ):
            self._give_way()
            both = [view.aggregates.get(prefix) for view in (was, becomes)]
            sides = [
                (_WITHDRAWN, [WITHDRAWN]) if side is None else (_ANNOUNCED, [side.announcements])
                for side in both
            ]
            eips = next(side.eips for side in both if side is not None)
            yield from self._difference(prefix, eips, [prefix], sides, drained)

    def _difference(
        self,
        about: ObjectKey | Network,
        eips: tuple[str, ...],
        addresses: Sequence[Address | Network],
        sides: Sequence[_Side],
        drained: Set[str],
    ) -> Iterator[Consequence]:
        """The difference between two sides; none if they are the same for everybody."""
        if sides[0] == sides[1]:
            return
        used = [list(map(self._used, announced)) for _, announced in sides]
        first, second = (
            Standing(state, tuple((a, u.paths) for a, u in zip(addresses, of, strict=True)))
            for (state, _), of in zip(sides, used, strict=True)
        )
        if (first, used[0]) != (second, used[1]):
            effect, peers = _effect(first, second, used[0], used[1], drained)
            moves = tuple(self._moves(addresses, used[0], used[1]))
            if moves and effect in _OF_NEXT_HOPS and self._all_have_one(addresses, used):
                effect = Effect.OTHER_PATH
            yield Consequence(about, effect, peers, eips, first, second, moves)

    def _moves(
        self,
        addresses: Sequence[Address | Network],
        used: Sequence[_Used],
        used_then: Sequence[_Used],
    ) -> Iterator[Move]:
        """The moves of the one path of each peer, in order of peer."""
        sides = list(zip(addresses, used, used_then, strict=True))
        for peer, families in sorted(self._single_path.items()):
            for address, now, then in sides:
                before, after = (
                    _one_of(address, side.candidates.get(peer)) for side in (now, then)
                )
                if address.version in families and before and after and before != after:
                    yield Move(peer, before, after)

    def _all_have_one(
        self, addresses: Sequence[Address | Network], sides: Sequence[Sequence[_Used]]
    ) -> bool:
        """Whether nobody has more than one path for any of these prefixes."""
        if self._planner.policy.by_port:  # a switch has all
            return False
        families = {terms.name: terms.families for terms in self._planner.sending.terms}
        return all(
            address.version in self._single_path.get(peer, ())
            for side in sides
            for address, used in zip(addresses, side, strict=True)
            for peer, nodes in used.peers.items()
            if nodes and address.version in families.get(peer, ())
        )

    def _used(self, announcements: Announcements) -> _Used:
        known = self._known.get(announcements)
        if known is None:
            # when a drain began is nothing that a peer is told
            paths = ((replace(p, drain=None), s) for p, s in shares_in_use(announcements))
            terms = self._planner.sending.terms
            sent = {t.name: _paths_of(t, announcements) for t in terms}
            peers = {name: {path.next_hop.node for path in of} for name, of in sent.items()}
            candidates = {
                name: _candidates(sent[name]) for name in self._single_path.keys() & sent.keys()
            }
            known = self._known[announcements] = _Used(tuple(paths), peers, candidates)
        return known


def _paths_of(terms: PeerTerms, announcements: Announcements) -> Sequence[Announcement]:
    """The paths that a peer may be sent."""
    return in_use([path for path in announcements if terms.sent(path) is not None])


def _candidates(paths: Sequence[Announcement]) -> Sequence[NextHop]:
    """The next hops of which a peer with one path has one: those that are not drained, if any."""
    in_service = [path.next_hop for path in paths if path.drain is None]
    return tuple(sorted(in_service or [path.next_hop for path in paths], key=lambda hop: hop.node))


def _one_of(address: Address | Network, hops: Sequence[NextHop] | None) -> str:
    """The node to which a peer with one path has it, as `bgp.protocol.export` chooses; empty if it
    has none."""
    prefix = host_prefix(address) if isinstance(address, IPv4Address | IPv6Address) else address
    return choose(prefix, hops, 1)[0].node if hops else ""


def _effect(
    was: Standing,
    becomes: Standing,
    used: list[_Used],
    used_then: list[_Used],
    drained: Set[str],
) -> tuple[Effect, tuple[str, ...]]:
    """The effect of a change, and the peers that it is about, where it is not about all."""
    effect = effect_of(was.state, becomes.state, was.nodes, becomes.nodes)
    if effect in _WHATEVER_THE_PEERS:
        return effect, ()
    if any(nodes & drained for nodes in becomes.nodes.values()):
        return Effect.LAST_NEXT_HOP, ()
    pairs = list(zip(used, used_then, strict=True))
    stays = {p for _, then in pairs for p, nodes in then.peers.items() if nodes & drained}
    if stays:
        return Effect.LAST_NEXT_HOP, tuple(sorted(stays))
    # without any path here it is another instance that announces it
    lose = {p for now, then in pairs if then.paths for p in now.peers if _loses(p, now, then)}
    return (Effect.NOT_TO_EVERY_PEER, tuple(sorted(lose))) if lose else (effect, ())


def _loses(peer: str, used: _Used, used_then: _Used) -> bool:
    return bool(used.peers.get(peer)) and not used_then.peers.get(peer)
