"""Fan-out ([peer:NAME] local_addresses): ECMP on routers without ADD-PATH, from one speaker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from fabric import Fabric, end, wait_for
from fabric.leaves import Bird, Frr, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, Sections, command
from tests.functional.conftest import LEAF_AS, LEAVES, OURS

SESSIONS = tuple(f"192.168.7.{number}" for number in range(51, 55))
NODES = {f"n{number}": f"192.168.7.{10 + number}" for number in range(1, 8)}
FOUR = ("n1", "n2", "n3", "n4")
EIPS = tuple(f"203.0.113.{number}" for number in range(8))
POOL = "203.0.113.0/29"
WITHIN_SECONDS = 12.0
SETTLED_SECONDS = 5.5
KINDS = ("bird", "frr")

Leaf = Bird | Frr


def neighbours(**more: object) -> list[Neighbour]:
    """Our addresses, as a router without ADD-PATH has them."""
    return [Neighbour(address, 65000, add_path=False, **more) for address in SESSIONS]  # type: ignore[arg-type]


def leaf_of(fabric: Fabric, kind: str, ours: list[Neighbour], more: str = "") -> Leaf:
    """A router without ADD-PATH."""
    host = fabric.hosts[kind]
    if kind == "bird":
        return Bird(host, LEAF_AS[kind], LEAVES[kind], ours, more)
    return Frr(fabric, host, LEAF_AS[kind], LEAVES[kind], ours, more)


def program_for(fabric: Fabric, name: str, kind: str, **more: object) -> Program:
    """An instance with this one fan-out peer, and seven nodes."""
    for address in SESSIONS:
        fabric.hosts["porter"].run(f"ip address replace {address}/24 dev {device(fabric)}")
    group = {
        "address": LEAVES[kind],
        "remote_as": LEAF_AS[kind],
        "connect_retry": 1,
        "local_addresses": ",".join(SESSIONS),
        **more,
    }
    sections: Sections = {
        "bgp": {"local_as": 65000, "router_id": OURS, "peers": "leaf"},
        "bound_ip": {"mode": "none"},
        "peer:leaf": group,
    }
    program = Program(fabric.hosts["porter"], sections, name)
    program.put("pool", eip("pool", POOL))
    program.put("nodes", *(node(name, address) for name, address in NODES.items()))
    return program


def device(fabric: Fabric) -> str:
    """The interface of our host to the switch."""
    routes = fabric.hosts["porter"].json("ip -j route show 192.168.7.0/24")
    return str(routes[0]["dev"])


def put(program: Program, *nodes: str) -> None:
    """As many Services as there are addresses, each with endpoints on these nodes."""
    for number in range(len(EIPS)):
        program.put(f"web{number}", service(f"web{number}"), slice_of(f"web{number}", *nodes))


def routed(leaf: Leaf, *nodes: str) -> None:
    """Waits until the kernel spreads every address over these nodes."""
    wanted = dict.fromkeys(EIPS, frozenset(NODES[name] for name in nodes))
    wait_for(leaf.routes, lambda seen: seen == wanted, WITHIN_SECONDS, f"ECMP over {nodes}")


def established(program: Program, count: int = len(SESSIONS)) -> None:
    """Waits until so many sessions are Established."""

    def up() -> list[str]:
        return [p["name"] for p in program.get("/v1/peers") if p["state"] == "Established"]

    wait_for(up, lambda names: len(names) == count, WITHIN_SECONDS, f"{count} sessions")


def wait_until_settled(program: Program) -> None:
    """Waits until the routes of every session count as read by the router."""
    wait_for(
        lambda: min(report["established_seconds"] for report in program.get("/v1/peers")),
        lambda youngest: youngest > SETTLED_SECONDS,
        WITHIN_SECONDS,
        "sessions that have settled",
    )


def disable(leaf: Leaf, address: str) -> None:
    """Has the router end its session with one of our addresses, and start no other."""
    if isinstance(leaf, Bird):
        leaf.command(f"disable p{SESSIONS.index(address)}")
    else:
        leaf.command(
            f"configure terminal\nrouter bgp {LEAF_AS['frr']}\nneighbor {address} shutdown"
        )


def enable(leaf: Leaf, address: str) -> None:
    """Undoes `disable`."""
    if isinstance(leaf, Bird):
        leaf.command(f"enable p{SESSIONS.index(address)}")
    else:
        leaf.command(
            f"configure terminal\nrouter bgp {LEAF_AS['frr']}\nno neighbor {address} shutdown"
        )


@contextlib.contextmanager
def watched(leaf: Leaf) -> Iterator[Callable[[], tuple[list[str], int]]]:
    """Yields what tells which routes to our addresses the kernel of the router has removed since
    then, and the smallest number of next hops that one was given."""
    log = f"monitor{len(list(leaf.host.folder.glob('monitor*')))}.log"
    monitor = leaf.host.spawn(["stdbuf", "-oL", "ip", "-4", "-o", "monitor", "route"], log)

    def beacon() -> bool:
        for verb in ("add", "del"):
            leaf.host.run(f"ip route {verb} 198.51.100.0/24 dev lo")
        return "198.51.100.0" in leaf.host.log(log)

    def seen() -> tuple[list[str], int]:
        lines = [line for line in leaf.host.log(log).splitlines() if "203.0.113." in line]
        counts = [line.count(" via ") for line in lines if not line.startswith("Deleted")]
        removed = [line for line in lines if line.startswith("Deleted")]
        return removed, min(counts, default=len(NODES))

    wait_for(beacon, bool, 5, "the monitor to see a route")
    yield seen
    end(monitor)


@pytest.fixture(params=KINDS)
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
    assert [report["local_address"] for report in reports] == list(SESSIONS)
    for report in reports:
        assert (report["peer"], report["add_path"]) == ("leaf", [])
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


def updates(program: Program) -> dict[str, float]:
    """How many UPDATEs each session was sent."""
    found = {}
    for address in SESSIONS:
        series = f'porter_bgp_updates_sent_total{{peer="leaf@{address}"}}'
        found[address] = program.metric(series) or 0
    return found


def test_a_session_that_is_down_takes_its_share_alone(scene: tuple[Program, Leaf]) -> None:
    """The other sessions are not sent anything; with fewer nodes than sessions, another session
    takes the share, and no node is missing at any time."""
    program, leaf = scene
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
            established(program, 3)
            routed(leaf, "n1", "n2")
            enable(leaf, address)
            established(program)
            routed(leaf, "n1", "n2")
            wait_until_settled(program)
        routed(leaf, "n1", "n2")
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


@pytest.mark.parametrize("count", [4, 3])
def test_a_restart_by_kill_loses_no_path(scene: tuple[Program, Leaf], count: int) -> None:
    """Graceful restart holds on each session, also on those that have the same next hops."""
    program, leaf = scene
    put(program, *FOUR[:count])
    routed(leaf, *FOUR[:count])
    with watched(leaf) as seen:
        for _ in range(3):
            program.kill()
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
