"""Fan-out ([peer:NAME] local_addresses): ECMP on routers without ADD-PATH, from one speaker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fabric import Fabric, wait_for
from fabric.objects import Json
from fabric.program import Program, command
from tests.functional.fan_out import (
    EIPS,
    FOUR,
    NODES,
    SESSIONS,
    WITHIN_SECONDS,
    Leaf,
    disable,
    enable,
    established,
    leaf_of,
    neighbours,
    program_for,
    put,
    routed,
    updates,
    wait_until_settled,
    watched,
)


@pytest.fixture(params=["bird", "frr"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which router."""
    return str(request.param)


@pytest.fixture
def scene(fabric: Fabric, kind: str) -> Iterator[tuple[Program, Leaf]]:
    """The router and the program, with eight addresses on four nodes."""
    leaf = leaf_of(fabric, kind, neighbours()).start()
    program = program_for(fabric, f"fan-{kind}", kind)
    put(program, *FOUR)
    program.start()
    routed(leaf, *FOUR)
    yield program, leaf
    program.end_for_good()
    leaf.stop()


def test_a_router_without_add_path_has_ecmp(scene: tuple[Program, Leaf]) -> None:
    """Each session carries one path of a prefix; with more nodes than sessions the prefixes share
    all nodes, and with fewer no node is missing."""
    program, leaf = scene
    reports = program.get("/v1/peers")
    assert [report["name"] for report in reports] == [f"leaf@{address}" for address in SESSIONS]
    assert [report["localAddress"] for report in reports] == list(SESSIONS)
    for report in reports:
        assert (report["peer"], report["addPath"]) == ("leaf", [])
        assert report["paths"] == {"ipv4": len(EIPS), "ipv6": 0}
    put(program, *NODES)
    wait_for(
        leaf.routes,
        lambda seen: set(map(len, seen.values())) == {4} and len(set().union(*seen.values())) == 7,
        WITHIN_SECONDS,
        "four of seven nodes for each address, and all nodes in use",
    )
    put(program, "n1", "n2")
    routed(leaf, "n1", "n2")
    put(program, *FOUR)
    routed(leaf, *FOUR)
    explained: Json = program.get("/v1/services/default/web0")
    (route,) = explained["routes"]
    assert sorted(route["peers"]["leaf"]) == sorted(NODES[name] for name in FOUR)
    text = program.host.run(
        [command("porter-ryu"), "explain", "default/web0", "--url", "http://127.0.0.1:8080"]
    )
    assert "leaf" in text
    assert "leaf@" not in text


def test_a_session_that_is_down_takes_its_share_alone(scene: tuple[Program, Leaf]) -> None:
    """The other sessions are not sent anything; with fewer nodes than sessions, another session
    takes the share, and no node is missing at any time."""
    program, leaf = scene
    wait_until_settled(program)  # End-of-RIB is an UPDATE, too
    before = updates(program)
    disable(leaf, SESSIONS[1])
    left = wait_for(
        leaf.routes, lambda seen: {len(h) for h in seen.values()} == {3}, WITHIN_SECONDS, "3 of 4"
    )
    assert left.keys() == set(EIPS)
    after = updates(program)
    assert {s for s in SESSIONS if after[s] != before[s]} <= {SESSIONS[1]}
    enable(leaf, SESSIONS[1])
    routed(leaf, *FOUR)
    wait_until_settled(program)
    put(program, "n1", "n2")
    routed(leaf, "n1", "n2")
    with watched(leaf) as seen:
        for address in SESSIONS[:2]:
            disable(leaf, address)
            established(program, *(other for other in SESSIONS if other != address))
            routed(leaf, "n1", "n2")
            with watched(leaf) as seen_at_return:
                enable(leaf, address)
                established(program)
                wait_until_settled(program)
                routed(leaf, "n1", "n2")
                _, fewest = seen_at_return()
            assert fewest >= 2
        removed, _ = seen()
    assert removed == []


def test_nodes_come_and_go_and_no_address_is_ever_without_a_route(
    scene: tuple[Program, Leaf],
) -> None:
    program, leaf = scene
    with watched(leaf) as seen:
        for nodes in (FOUR[:3], (*FOUR[:3], "n5"), ("n5",), FOUR):
            put(program, *nodes)
            routed(leaf, *nodes)
        removed, _ = seen()
    assert removed == []


@pytest.mark.parametrize(("how", "count"), [("kill", 4), ("kill", 3), ("stop", 3)])
def test_a_restart_loses_no_path(scene: tuple[Program, Leaf], how: str, count: int) -> None:
    """Graceful restart holds on each session, also on those that have the same next hops."""
    program, leaf = scene
    put(program, *FOUR[:count])
    routed(leaf, *FOUR[:count])
    with watched(leaf) as seen:
        for _ in range(2):
            getattr(program, how)()
            program.start()
            established(program)
            routed(leaf, *FOUR[:count])
            wait_until_settled(program)
        removed, fewest = seen()
        assert removed == []
        assert fewest >= count
        program.kill()
        put(program, *FOUR[1:count])
        program.start()
        routed(leaf, *FOUR[1:count])
        removed, _ = seen()
    assert removed == []
