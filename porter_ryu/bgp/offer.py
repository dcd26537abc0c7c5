"""Derives the OPEN that we send and the export policy from the settings of a peer."""

from __future__ import annotations

from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.open_message import GracefulRestart, Open
from porter_ryu.bgp.protocol.roles import ROLE_VALUES
from porter_ryu.bgp.session import Session
from porter_ryu.domain.nodes.fan_out import FanOut
from porter_ryu.domain.peering import PeerConfig, SpeakerConfig
from porter_ryu.socket_address import canonical

_ADD_PATH_SEND = 2  # RFC 7911, 4


def is_internal(peer: PeerConfig, speaker: SpeakerConfig) -> bool:
    """Whether the peer is an internal one: its AS is ours."""
    return peer.remote_as == speaker.local_as


def our_open(
    peer: PeerConfig, speaker: SpeakerConfig, restarting: bool, withdraws: bool = False
) -> Open:
    """The OPEN for a peer; `restarting` is the R bit of RFC 4724, 3.  `withdraws`: without graceful
    restart, so that the peer removes what it keeps from the session before (RFC 4724, 4.2)."""
    graceful = None
    if speaker.restart_time and not withdraws:
        graceful = GracefulRestart(
            speaker.restart_time, restarting, notification=True, families=peer.families
        )
    add_path = sorted(peer.families) if peer.add_path else ()
    return Open(
        speaker.local_as,
        peer.hold_time,
        speaker.router_id,
        peer.families,
        four_octet_as=True,
        route_refresh=True,
        add_path=tuple((family, _ADD_PATH_SEND) for family in add_path),
        enhanced_refresh=True,
        extended_message=True,
        ipv4_over_ipv6=peer.ipv4_over_ipv6,
        graceful=graceful,
        roles=frozenset(ROLE_VALUES[role] for role in (peer.role,) if role),
    )


def export_policy(
    peer: PeerConfig, speaker: SpeakerConfig, session: Session, fan_out: FanOut | None
) -> ExportPolicy:
    """The export policy of an Established session."""
    return ExportPolicy(
        families=session.families,
        add_path=session.add_path,
        local_as=speaker.local_as,
        internal=is_internal(peer, speaker),
        four_octet_as=session.four_octet_as,
        attributes=peer.attributes,
        role=peer.role,
        selector=peer.node_selector,
        max_next_hops=speaker.max_next_hops,
        # peers that differ in it alone share an update group where it is of no use
        local_address=canonical(session.local_name[0]) if speaker.announces_self else None,
        ipv4_over_ipv6=session.ipv4_over_ipv6,
        peer=peer.peer,
        fan_out=fan_out,
    )


def configured_policy(peer: PeerConfig, speaker: SpeakerConfig) -> ExportPolicy:
    """The export policy by the settings alone, as far as the attributes of paths depend on it."""
    return ExportPolicy(
        families=peer.families,
        add_path=peer.families if peer.add_path else frozenset(),
        local_as=speaker.local_as,
        internal=is_internal(peer, speaker),
        four_octet_as=True,
        attributes=peer.attributes,
        role=peer.role,
        selector=peer.node_selector,
        max_next_hops=speaker.max_next_hops,
        local_address=peer.local_address if speaker.announces_self else None,
        ipv4_over_ipv6=peer.ipv4_over_ipv6,
        peer=peer.peer,
        fan_out=None,
    )
