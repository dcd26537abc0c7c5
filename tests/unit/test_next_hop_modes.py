"""The modes of [bgp] next_hops, each as an object alone."""

from __future__ import annotations

import pytest

from porter_ryu.domain.nodes.backends import Backends
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, MODES, NODES, SELF, NextHopMode
from porter_ryu.domain.verdict import NodeReason, Reason
from porter_ryu.options import BGP

ALL = ("n1", "n2", "n3")
SOMEWHERE = Backends(frozenset({"n1"}), anywhere=True)
HOMELESS = Backends(frozenset(), anywhere=True)
NOWHERE = Backends(frozenset(), anywhere=False)

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())


@pytest.mark.parametrize(
    ("mode", "found", "local", "expected"),
    [
        (ENDPOINTS, SOMEWHERE, False, {"n1"}),
        (ENDPOINTS, SOMEWHERE, True, {"n1"}),
        (ENDPOINTS, HOMELESS, False, set()),
        (NODES, SOMEWHERE, False, set(ALL)),
        (NODES, SOMEWHERE, True, {"n1"}),
        (NODES, HOMELESS, False, set(ALL)),
        (NODES, HOMELESS, True, set()),
        (SELF, SOMEWHERE, False, {"n2"}),
        (SELF, SOMEWHERE, True, set()),
        (SELF, HOMELESS, False, {"n2"}),
    ],
)
def test_which_nodes_have_a_service(
    mode: NextHopMode, found: Backends, local: bool, expected: set[str]
) -> None:
    assert set(mode.candidates(found, local, ALL, "n2")) == expected


@every_mode
@pytest.mark.parametrize("local", [False, True])
def test_without_an_endpoint_no_node_has_it(mode: NextHopMode, local: bool) -> None:
    assert not mode.candidates(NOWHERE, local, ALL, "n2")


def test_self_needs_a_node_that_is_there() -> None:
    assert not SELF.candidates(SOMEWHERE, False, ALL, "n4")
    assert SELF.candidates(SOMEWHERE, True, ALL, "n1") == ("n1",)


def test_on_which_nodes_a_service_depends_that_has_no_endpoint_there() -> None:
    depends = {name: [n for n in ALL if mode.depends_on(n, "n2")] for name, mode in MODES.items()}
    assert depends == {"endpoints": [], "nodes": list(ALL), "self": ["n2"]}


@every_mode
def test_a_mode_depends_on_each_node_that_it_may_choose_without_an_endpoint(
    mode: NextHopMode,
) -> None:
    chosen = mode.candidates(HOMELESS, False, ALL, "n2")
    assert all(mode.depends_on(node, "n2") for node in chosen)


@every_mode
def test_why_a_node_is_not_chosen(mode: NextHopMode) -> None:
    for node in ALL:
        verdict = mode.why_not(node, "n2")
        other = mode is SELF and node != "n2"
        assert not verdict.ok
        assert verdict.reason is (NodeReason.NOT_THIS_NODE if other else NodeReason.NO_ENDPOINT)


@every_mode
def test_why_no_node_is_chosen(mode: NextHopMode) -> None:
    verdict = mode.why_none("n2")
    assert (verdict.ok, verdict.reason) == (False, Reason.NO_USABLE_NODE)
    assert ("n2" in verdict.message) is (mode is SELF)


def test_the_configuration_offers_each_mode() -> None:
    (option,) = (option for option in BGP if option.dest == "next_hops")
    assert list(option.type.choices) == list(MODES) == ["endpoints", "nodes", "self"]
    assert option.default == "endpoints"
    assert [mode.central for mode in MODES.values()] == [True, True, False]
