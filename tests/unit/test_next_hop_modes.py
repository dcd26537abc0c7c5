"""The modes of [bgp] next_hops as objects."""

from __future__ import annotations

import pytest

from porter_ryu.domain.nodes.backends import Backends
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, MODES, NODES, SELF, NextHopMode
from porter_ryu.domain.verdict import NodeReason, Reason
from porter_ryu.options import BGP

ALL = ("n1", "n2", "n3")
ON_N1 = Backends(frozenset({"n1"}), anywhere=True)
WITHOUT_NODE = Backends(frozenset(), anywhere=True)
NO_BACKENDS = Backends(frozenset(), anywhere=False)

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())


@pytest.mark.parametrize(
    ("mode", "backends", "local", "expected"),
    [
        (ENDPOINTS, ON_N1, False, {"n1"}),
        (ENDPOINTS, ON_N1, True, {"n1"}),
        (ENDPOINTS, WITHOUT_NODE, False, set()),
        (NODES, ON_N1, False, set(ALL)),
        (NODES, ON_N1, True, {"n1"}),
        (NODES, WITHOUT_NODE, False, set(ALL)),
        (NODES, WITHOUT_NODE, True, set()),
        (SELF, ON_N1, False, {"n2"}),
        (SELF, ON_N1, True, set()),
        (SELF, WITHOUT_NODE, False, {"n2"}),
    ],
)
def test_the_candidates_of_each_mode(
    mode: NextHopMode, backends: Backends, local: bool, expected: set[str]
) -> None:
    assert set(mode.candidates(backends, local, ALL, "n2")) == expected


@every_mode
@pytest.mark.parametrize("local", [False, True])
def test_without_an_endpoint_there_is_no_candidate(mode: NextHopMode, local: bool) -> None:
    assert not mode.candidates(NO_BACKENDS, local, ALL, "n2")


def test_self_needs_an_existing_node() -> None:
    assert not SELF.candidates(ON_N1, False, ALL, "n4")
    assert SELF.candidates(ON_N1, True, ALL, "n1") == ("n1",)


def test_which_modes_depend_on_nodes_without_endpoints() -> None:
    depends = {name: [n for n in ALL if mode.depends_on(n, "n2")] for name, mode in MODES.items()}
    assert depends == {"endpoints": [], "nodes": list(ALL), "self": ["n2"]}


@every_mode
def test_a_mode_depends_on_each_node_that_it_may_choose_without_an_endpoint(
    mode: NextHopMode,
) -> None:
    chosen = mode.candidates(WITHOUT_NODE, False, ALL, "n2")
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
