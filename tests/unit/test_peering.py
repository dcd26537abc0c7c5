"""Which peers an instance speaks to, as a function of settings and nodes."""

from __future__ import annotations

import pytest

from porter_ryu.domain.labels import EVERYTHING, parse_selector
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, SELF, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.peering import PeerConfig, wanted_peers
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


def test_a_node_instance_speaks_to_those_that_select_its_node() -> None:
    own = node("n1", labels={"rack": "one"})
    assert wanted_peers((A, B, C), OWN, own) == (A, B)


def test_a_node_that_is_not_known_is_selected_by_nobody() -> None:
    assert wanted_peers((A, B, C), OWN, None) == (A,)


def test_a_label_that_changes_changes_the_set() -> None:
    for rack, wanted in (("two", (A, C)), ("three", (A,)), ("one", (A, B))):
        own = node("n1", labels={"rack": rack})
        assert wanted_peers((A, B, C), OWN, own) == wanted
