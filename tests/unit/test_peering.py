"""The peers of an instance, from settings and nodes."""

from __future__ import annotations

import pytest

from porter_ryu.domain.announcement import PathAttributes
from porter_ryu.domain.labels import EVERYTHING, parse_selector
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, SELF, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.peering import BgpRole, PeerConfig, Secret, wanted_peers
from tests.unit.peers import peer
from tests.unit.world import node


def selecting(name: str, selector: str = "") -> PeerConfig:
    """A peer that selects nodes by their labels."""
    return peer(name, node_selector=parse_selector(selector) if selector else EVERYTHING)


A, B, C = selecting("a"), selecting("b", "rack=one"), selecting("c", "rack=two")
OWN = NextHopPolicy(SELF, "n1")


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES], ids=lambda mode: mode.name)
def test_a_central_instance_speaks_to_all(mode: NextHopMode) -> None:
    assert wanted_peers((A, B, C), NextHopPolicy(mode), None) == (A, B, C)


def test_a_node_instance_speaks_to_the_peers_that_select_its_node() -> None:
    own = node("n1", labels={"rack": "one"})
    assert wanted_peers((A, B, C), OWN, own) == (A, B)


def test_no_selector_matches_an_unknown_node() -> None:
    assert wanted_peers((A, B, C), OWN, None) == (A,)


def test_a_changed_label_changes_the_peers() -> None:
    for rack, wanted in (("two", (A, C)), ("three", (A,)), ("one", (A, B))):
        own = node("n1", labels={"rack": rack})
        assert wanted_peers((A, B, C), OWN, own) == wanted


def test_what_changed_is_named_as_in_the_configuration() -> None:
    before = peer("a")
    after = peer(
        "a", role=BgpRole.CUSTOMER, password=Secret(b"x"), attributes=PathAttributes(med=5)
    )
    assert after.changed_session_options(before) == ["password_file", "role"]
    changed = ["password_file", "the attributes of its paths", "role"]
    assert after.changed_options(before) == changed
    assert after.changed_session_options(after) == []
