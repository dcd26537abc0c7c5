"""Peers with the defaults of a [peer:NAME] group."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import Any

from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import ConnectMode, PeerConfig, SpeakerConfig

BOTH_FAMILIES = frozenset(Family)


def peer(name: str = "leaf", address: str = "192.0.2.1", **more: Any) -> PeerConfig:
    """A peer of AS 65001; `more` overrides the defaults."""
    fields: dict[str, Any] = {
        "address": ip_address(address),
        "remote_as": 65001,
        "port": 179,
        "mode": ConnectMode.BOTH,
        "local_address": None,
        "password": None,
        "ttl_security": False,
        "multihop_ttl": 1,
        "hold_time": 90,
        "connect_retry": 5,
        "add_path": True,
        "families": BOTH_FAMILIES,
    }
    return PeerConfig(name, **{**fields, **more})


def speaker(**more: Any) -> SpeakerConfig:
    """The local side: AS 65000, graceful restart for two minutes, no listener."""
    fields: dict[str, Any] = {
        "local_as": 65000,
        "router_id": IPv4Address("192.0.2.200"),
        "listen_addresses": None,
        "listen_port": 179,
        "max_next_hops": 0,
        "restart_time": 120,
        "state_dir": "",
    }
    return SpeakerConfig(**{**fields, **more})
