"""What a peer's settings mean for its sessions: the OPEN that we send, and what it may be sent."""

from __future__ import annotations

from porter_ryu.bgp.protocol import update
from porter_ryu.bgp.protocol.open_message import GracefulRestart, Open
from porter_ryu.bgp.protocol.rib_out import View
from porter_ryu.bgp.session import Session
from porter_ryu.domain.peering import PeerConfig, SpeakerConfig
from porter_ryu.socket_address import canonical

_ADD_PATH_SEND = 2  # RFC 7911, 4


def is_internal(peer: PeerConfig, speaker: SpeakerConfig) -> bool:
    """Whether the peer is of our own AS."""
    return peer.remote_as == speaker.local_as


def our_open(peer: PeerConfig, speaker: SpeakerConfig, restarting: bool) -> Open:
    """The OPEN for a peer; `restarting` is the R bit of RFC 4724, 3."""
    graceful = None
    if speaker.restart_time:
        graceful = GracefulRestart(
            speaker.restart_time, restarting, notification=True, families=peer.families
        )
    several = sorted(peer.families) if peer.add_path else ()
    return Open(
        speaker.local_as,
        peer.hold_time,
        speaker.router_id,
        peer.families,
        four_octet_as=True,
        route_refresh=True,
        add_path=tuple((family, _ADD_PATH_SEND) for family in several),
        enhanced_refresh=True,
        extended_message=True,
        ipv4_over_ipv6=peer.ipv4_over_ipv6,
        graceful=graceful,
    )


def view(peer: PeerConfig, speaker: SpeakerConfig, session: Session) -> View:
    """What goes to a peer over a session that is Established."""
    internal = is_internal(peer, speaker)
    attributes = update.Attributes(
        () if internal else (speaker.local_as,) * (1 + peer.as_path_prepend),
        session.four_octet_as,
        peer.med,
        peer.local_pref,
        peer.communities,
        peer.large_communities,
    )
    return View(
        session.families,
        session.add_path,
        attributes,
        peer.node_selector,
        speaker.max_next_hops,
        canonical(session.local_name[0]),
        session.ipv4_over_ipv6,
        session.longest,
    )
