"""The paths of an address as JSON, and each path as text: its share and its attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from porter_ryu.domain.communities import Communities
from porter_ryu.domain.text import listed

if TYPE_CHECKING:
    from porter_ryu.domain.announcement import Advertisement, Announcement, NextHop, PathAttributes
    from porter_ryu.domain.sending import Sending

Json = dict[str, Any]

_MAX_SHARES = 16


def hop_text(hop: NextHop) -> str:
    """The address of a next hop; `self` where it is the local address of the session."""
    return "self" if hop.is_self else str(hop.address or hop.ipv6)


def rounded(share: float | None) -> float | None:
    """A share in per cent as it is shown."""
    return None if share is None else round(share, 1)


def path(entry: Announcement, share: float | None, sending: Sending) -> Json:
    """One path.  Its attributes are its own, without those of a peer's group; `sent` has those that
    the peers are sent.  `share` is in per cent, None if it is not known."""
    return {
        "node": entry.next_hop.node,
        "nextHop": hop_text(entry.next_hop),
        "share": rounded(share),
        "weight": entry.attributes.bandwidth,
        **_attributes(entry.attributes),
        "advertisements": [_advertisement(part) for part in entry.advertisements],
        "sent": [{"peers": list(peers), **_attributes(said)} for said, peers in sending.of(entry)],
        "toAll": sum(len(peers) for _, peers in sending.of(entry)) == len(sending.peers),
    }


def _advertisement(entry: Advertisement) -> Json:
    return {"peers": sorted(entry.peers), **_attributes(entry.attributes)}


def _attributes(said: PathAttributes) -> Json:
    return {
        "communities": Communities(said.communities, said.large_communities).texts(),
        "localPref": said.local_pref,
        "med": said.med,
        "asPathPrepend": said.as_path_prepend,
    }


def share_text(entry: Json) -> str:
    """The share of a path, and its weight if it has one; empty if nothing is known."""
    weight = f"weight {entry['weight']}" if entry["weight"] else ""
    if entry["share"] is None:
        return weight
    return f"{entry['share']:g} %{f' ({weight})' if weight else ''}"


def shares_text(route: Json, peer: str) -> str:
    """The shares of the nodes at a peer, if they are others than those that the paths have at a
    router that gets all of them: a peer may be sent some of them, or other attributes."""
    here = route["shares"].get(peer, {})
    everywhere = {path["node"]: path["share"] for path in route["paths"]}
    if None in here.values() or _positive(here) == _positive(everywhere):
        return ""
    return listed([f"{node} {share:g} %" for node, share in _positive(here).items()], _MAX_SHARES)


def _positive(shares: Json) -> Json:
    return {node: share for node, share in shares.items() if share}


def attributes_text(entry: Json) -> str:
    """The attributes of a path other than its weight, as each peer is sent them; empty if every
    peer is sent it without any."""
    sent = entry["sent"]
    if not sent or (len(sent) == 1 and entry["toAll"]):
        return "; ".join(_parts(sent[0] if sent else entry))
    parts = []
    for group in sent:
        peers, said = listed(group["peers"]), ", ".join(_parts(group))
        parts.append(f"to {peers}: {said}" if said else f"to {peers}")
    return "; ".join(parts)


def _parts(said: Mapping[str, Any]) -> Iterator[str]:
    if said["communities"]:
        yield f"communities {' '.join(said['communities'])}"
    if said["localPref"] is not None:
        yield f"local-pref {said['localPref']}"
    if said["med"] is not None:
        yield f"MED {said['med']}"
    if said["asPathPrepend"]:
        yield f"AS path prepended {said['asPathPrepend']} times"
