"""A drained node leaves the multipath route of FRR and BIRD at once, and their tables later."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Gobgpd, Leaf, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program
from fabric.watchers import no_route_lost
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, peers
from tests.functional.test_next_hops import NODES, expect

PREFIX = "203.0.113.8"
SECONDS = 8  # what is seen "at once" may take some of them on a busy machine
RFC_8326 = "filter { if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; }"
DRAINED = {"porter.kubesphere.io/drain": "true"}
GRACEFUL_SHUTDOWN = {"frr": "gracefulShutdown", "bird": "(65535,0)"}


@pytest.fixture(scope="module")
def leaves(fabric: Fabric) -> dict[str, Leaf]:
    """BIRD with the filter of RFC 8326, FRR without configuration for it."""
    us, hosts = [Neighbour(OURS, 65000)], fabric.hosts
    bird = Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us, accepts=RFC_8326)
    return {
        "bird": bird.start(),
        "frr": Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start(),
    }


@pytest.fixture(scope="module")
def gobgpd(fabric: Fabric) -> Gobgpd:
    """A peer without ADD-PATH."""
    us = [Neighbour(OURS, 65000, add_path=False)]
    return Gobgpd(fabric.hosts["gobgpd"], LEAF_AS["gobgpd"], LEAVES["gobgpd"], us).start()


@pytest.fixture(scope="module")
def program(fabric: Fabric, leaves: object, gobgpd: object) -> Iterator[Program]:
    """The program with short drains."""
    program = Program(fabric.hosts["porter"], {**peers(), "drain": {"seconds": SECONDS}})
    yield program.start()
    program.stop()


@pytest.fixture(autouse=True)
def cluster(program: Program, leaves: dict[str, Leaf]) -> None:
    """Four nodes, and a Service with an endpoint on each; nothing is drained."""
    undrain(program, *NODES)
    program.put("pool", eip("pool", "203.0.113.8/29"))
    program.put("web", service("web"), slice_of("web", *NODES))
    expect(leaves, PREFIX, *NODES)


def drain(program: Program, *names: str) -> None:
    """Drains nodes."""
    for name in names:
        program.put(name, node(name, NODES[name], annotations=DRAINED))


def undrain(program: Program, *names: str) -> None:
    """Undoes their drain."""
    for name in names:
        program.put(name, node(name, NODES[name]))


def paths(leaf: Leaf) -> dict[str, str]:
    """The paths in the table of a leaf, by node: their text, with communities and MED."""
    by_next_hop: dict[str, str] = {}
    if isinstance(leaf, Frr):
        found = json.loads(leaf.command(f"show bgp ipv4 unicast {PREFIX}/32 json"))
        for path in found.get("paths", ()):
            by_next_hop[path["nexthops"][0]["ip"]] = json.dumps(path)
    elif isinstance(leaf, Bird):
        text = leaf.command(f"show route all {PREFIX}/32")
        for part in re.split(r"(?m)^(?=.*unicast \[)", text):
            next_hop = re.search(r"BGP.next_hop: (\S+)", part)
            if next_hop is not None:
                by_next_hop[next_hop[1]] = part
    return {name: by_next_hop[hop] for name, hop in NODES.items() if hop in by_next_hop}


def leaving(name: str, leaf: Leaf) -> set[str]:
    """The nodes whose paths in the table of a leaf have GRACEFUL_SHUTDOWN."""
    return {node for node, text in paths(leaf).items() if GRACEFUL_SHUTDOWN[name] in text}


def expect_tables(leaves: dict[str, Leaf], *nodes: str, seconds: float = SECONDS + 3) -> None:
    """Waits until the table of each leaf has paths by exactly these nodes."""
    for name, leaf in leaves.items():
        text = f"{name}'s paths to be by {nodes}"
        wait_for(partial(paths, leaf), lambda seen: seen.keys() == set(nodes), seconds, text)


def test_it_leaves_the_multipath_route_at_once_and_the_table_later(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    drain(program, "n2")
    expect(leaves, PREFIX, "n1", "n3", "n4")
    for name, leaf in leaves.items():
        assert set(paths(leaf)) == set(NODES), f"{name} still has the path in its table"
        assert leaving(name, leaf) == {"n2"}
        assert "4294967295" in paths(leaf)["n2"], "the MED"
    nodes = program.get("/v1/services/default/web")["routes"][0]["nodes"]
    (entry,) = (entry for entry in nodes if entry["node"] == "n2")
    assert entry["reason"] == "Draining"
    assert re.search(r"GRACEFUL_SHUTDOWN for [1-8] more seconds?, then withdrawn", entry["why"])
    assert program.metric("porter_nodes_drained") == 1
    expect_tables(leaves, "n1", "n3", "n4")
    expect(leaves, PREFIX, "n1", "n3", "n4")
    undrain(program, "n2")
    expect(leaves, PREFIX, *NODES)
    assert all(leaving(name, leaf) == set() for name, leaf in leaves.items()), "as it was"
    assert program.metric("porter_nodes_drained") == 0
    for text in ("node n2 is being drained", "node n2 is drained", "node n2 is not drained"):
        program.logs(text)


def test_undone_before_it_is_over_it_is_as_it_was(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    drain(program, "n2")
    expect(leaves, PREFIX, "n1", "n3", "n4")
    undrain(program, "n2")
    expect(leaves, PREFIX, *NODES)
    assert all(set(paths(leaf)) == set(NODES) for leaf in leaves.values())


def test_the_last_nodes_stay_in_use(program: Program, leaves: dict[str, Leaf]) -> None:
    drain(program, "n1")
    expect_tables(leaves, "n2", "n3", "n4")
    drain(program, "n2", "n3", "n4")
    left = {"n2", "n3", "n4"}
    for name, leaf in leaves.items():
        wait_for(partial(leaving, name, leaf), lambda seen: seen == left, 3, f"{name} to know")
    program.logs("node n4 is drained", SECONDS + 3)
    expect(leaves, PREFIX, "n2", "n3", "n4")
    expect_tables(leaves, "n2", "n3", "n4")
    last = dict.fromkeys(("n2", "n3", "n4"), "LastNextHop")
    entry = wait_for(
        lambda: program.get("/v1/services/default/web"),
        lambda seen: reasons(seen) == {"n1": "Drained", **last},
        3,
        "the reasons",
    )
    assert entry["announced"]


def reasons(explained: Json) -> dict[str, str]:
    """Of each node, why it is a next hop of the Service, or is not."""
    return {n["node"]: n["reason"] for n in explained["routes"][0]["nodes"]}


def test_a_peer_without_add_path_moves_to_another_node(program: Program, gobgpd: Gobgpd) -> None:
    wait_for(gobgpd.routes, lambda routes: PREFIX in routes, 10, "gobgpd to have the route")
    left = dict(NODES)
    while len(left) > 1:
        (hop,) = gobgpd.routes()[PREFIX]
        (name,) = (name for name, address in NODES.items() if address == hop)
        drain(program, name)
        del left[name]
        wait_for(
            lambda: gobgpd.routes().get(PREFIX, frozenset()),
            lambda hops: len(hops) == 1 and hops <= set(left.values()),
            3,
            f"gobgpd to leave {name}",
        )


@pytest.mark.parametrize("over", [True, False], ids=["over", "not-over"])
def test_a_restart_does_not_begin_a_drain_again(
    program: Program, leaves: dict[str, Leaf], over: bool
) -> None:
    drain(program, "n2")
    expect(leaves, PREFIX, "n1", "n3", "n4")
    if over:
        expect_tables(leaves, "n1", "n3", "n4")
    others = {PREFIX: frozenset(NODES[name] for name in ("n1", "n3", "n4"))}
    with ExitStack() as stack:
        for leaf in leaves.values():
            stack.enter_context(no_route_lost(leaf.host, others, or_gained=True))
        program.kill()
        program.start()
        program.logs("node n2 is found drained")
        expect_tables(leaves, "n1", "n3", "n4", seconds=3)
    undrain(program, "n2")
    expect(leaves, PREFIX, *NODES)


def test_the_taint_of_the_autoscaler_drains(program: Program, leaves: dict[str, Leaf]) -> None:
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"}
    program.put("n2", node("n2", NODES["n2"], spec={"taints": [taint]}))
    expect(leaves, PREFIX, "n1", "n3", "n4")
    assert all(leaving(name, leaf) == {"n2"} for name, leaf in leaves.items())
