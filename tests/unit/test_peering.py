"""Which peers an instance speaks to, as a function of settings and nodes."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from porter_ryu.domain.labels import EVERYTHING, parse_selector
from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, SELF, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.peering import ConnectMode, PeerConfig, wanted_peers
from tests.unit.world import node


def peer(name: str, selector: str = "", **more: Any) -> PeerConfig:
    """A peer as [peer:NAME] with defaults would be; its address by its last letter."""
    fields = {
        "address": ip_address(f"192.0.2.{ord(name[-1])}"),
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
        "families": frozenset({Family.IPV4}),
        "node_selector": parse_selector(selector) if selector else EVERYTHING,
    }
    return PeerConfig(name, **{**fields, **more})


A, B, C = peer("a"), peer("b", "rack=one"), peer("c", "rack=two")
OWN = NextHopPolicy(SELF, "n1")


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES], ids=lambda mode: mode.name)
def test_a_central_instance_speaks_to_all(mode: NextHopMode) -> None:
    assert wanted_peers((A, B, C), NextHopPolicy(mode), None) == (A, B, C)


def test_a_node_instance_speaks_to_those_that_select_its_node() -> None:
    own = node("n1", labels={"rack": "one"})
    assert wanted_peers((A, B, C), OWN, own) == (A, B)


def test_a_node_that_is_not_known_is_selected_by_nobody() -> None:
    assert wanted_peers((A, B, C), OWN, None) == (A,)


def test_a_label_that_changes_changes_the_set() -> None:
    for rack, wanted in (("two", (A, C)), ("three", (A,)), ("one", (A, B))):
        own = node("n1", labels={"rack": rack})
        assert wanted_peers((A, B, C), OWN, own) == wanted
