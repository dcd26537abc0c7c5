"""Which entries of spec.advertisements of an Eip leave a node, a peer or everybody out, and why.

Every part that asks this asks here, so that all of them say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.model import Eip
from porter_ryu.domain.text import listed

Selects = Callable[[AdvertisementEntry], bool]
"""Whether an entry selects one of the nodes in question."""

_Placed = tuple[str, AdvertisementEntry]


def selects_one_of(hops: Iterable[NextHop]) -> Selects:
    """Selects for the nodes of these next hops."""
    labels: Sequence[Mapping[str, str]] = [dict(hop.labels) for hop in hops]
    return lambda entry: any(map(entry.selects, labels))


def why_not_node(eip: Eip, hop: NextHop, peers: Set[str]) -> str:
    """Why a node is no next hop of the addresses of an Eip; empty if its entries make it one.
    `peers` are the names of those that are configured."""
    applied = _unheard(eip, selects_one_of([hop]), peers)
    if applied is None:
        return ""
    if not applied:
        return f"no entry of spec.advertisements of Eip {eip.name} selects it"
    return (
        f"the entries of spec.advertisements of Eip {eip.name} that select it are only for peers "
        f"that are not configured: {_peers_of(applied)}"
    )


def why_nobody(eip: Eip, selects: Selects, peers: Set[str]) -> str:
    """Why no peer gets a path to the nodes in question; empty if one does.  `peers` are the names
    of those that are configured."""
    applied = _unheard(eip, selects, peers)
    if applied is None:
        return ""
    if not applied:
        return f"no entry of spec.advertisements of Eip {eip.name} selects one of its nodes"
    verb = "is" if len(applied) == 1 else "are"
    text = f"{_places(applied)} of Eip {eip.name} {verb} only for peers"
    text += f" that are not configured ({_peers_of(applied)})"
    others = [(place, entry) for place, entry in _placed(eip) if entry.is_heard(peers)]
    if others:
        text += f", and {_places(others)} selects none of its nodes"
    return f"{text}; configured are {listed(sorted(peers)) or 'none'}"


def why_not_peer(
    eip: Eip, peer: str, selects: Selects, selects_a_node: Callable[[LabelSelector], bool]
) -> str:
    """Why a peer gets no path to the nodes in question; empty if it gets one.  `selects_a_node`
    says whether a selector selects any node of the cluster."""
    entries = [(place, entry) for place, entry in _placed(eip) if entry.names(peer)]
    if not eip.advertisements or any(selects(entry) for _, entry in entries):
        return ""
    if not entries:
        return f"no entry of spec.advertisements of Eip {eip.name} names it"
    places = listed([f"{place}.nodeSelector" for place, _ in entries])
    of_all = any(selects_a_node(entry.nodes) for _, entry in entries)
    none = "none of its next hops" if of_all else "no node of the cluster"
    return f"{places} of Eip {eip.name} selects {none}"


def _unheard(eip: Eip, selects: Selects, peers: Set[str]) -> list[_Placed] | None:
    """The entries that select one of the nodes in question, if none of them is for one of these
    peers; None where that does not leave them out."""
    applied = [(place, entry) for place, entry in _placed(eip) if selects(entry)]
    if not eip.advertisements or any(entry.is_heard(peers) for _, entry in applied):
        return None
    return applied


def _placed(eip: Eip) -> list[_Placed]:
    return [(f"spec.advertisements[{i}]", entry) for i, entry in enumerate(eip.advertisements)]


def _places(entries: Iterable[_Placed]) -> str:
    return listed([place for place, _ in entries])


def _peers_of(entries: Iterable[_Placed]) -> str:
    return listed(sorted({name for _, entry in entries for name in entry.peers}))
