"""A router without ADD-PATH, and an instance with several sessions with it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from fabric import Fabric, end, wait_for
from fabric.leaves import Bird, Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, Sections
from tests.functional.conftest import LEAF_AS, LEAVES, OURS

SESSIONS = tuple(f"192.168.7.{number}" for number in range(51, 55))
NODES = {f"n{number}": f"192.168.7.{10 + number}" for number in range(1, 8)}
FOUR = ("n1", "n2", "n3", "n4")
EIPS = tuple(f"203.0.113.{number}" for number in range(8))
POOL = "203.0.113.0/29"
WITHIN_SECONDS = 12.0
SETTLED_SECONDS = 5.5

Leaf = Bird | Frr


def neighbours(passive: bool = True, password: str = "") -> list[Neighbour]:
    """Our addresses, as a router without ADD-PATH has them."""
    return [
        Neighbour(address, 65000, add_path=False, passive=passive, password=password)
        for address in SESSIONS
    ]


def leaf_of(fabric: Fabric, kind: str, ours: list[Neighbour], more: str = "") -> Leaf:
    """A router without ADD-PATH; `more` is for its configuration."""
    host = fabric.hosts[kind]
    if kind == "bird":
        return Bird(host, LEAF_AS[kind], LEAVES[kind], ours, more)
    return Frr(fabric, host, LEAF_AS[kind], LEAVES[kind], ours, more)


def program_for(fabric: Fabric, name: str, kind: str, **more: object) -> Program:
    """An instance with this one fan-out peer, and seven nodes."""
    add_addresses(fabric)
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


def add_addresses(fabric: Fabric) -> None:
    """Gives our host the addresses of the sessions."""
    for address in SESSIONS:
        fabric.hosts["porter"].run(f"ip address replace {address}/24 dev {device(fabric)}")


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


def ages(program: Program) -> dict[str, float]:
    """How long the sessions have been Established, in seconds, by local address."""
    return {
        report["localAddress"]: report["establishedSeconds"]
        for report in program.get("/v1/peers")
        if report["state"] == "Established"
    }


def established(program: Program, *sessions: str) -> None:
    """Waits until exactly these sessions are Established; none: all."""
    wanted = set(sessions or SESSIONS)
    wait_for(
        lambda: set(ages(program)), lambda up: up == wanted, WITHIN_SECONDS, f"sessions {wanted}"
    )


def wait_until_settled(program: Program) -> None:
    """Waits until the routes of every session count as read by the router."""
    wait_for(
        lambda: min(ages(program).values(), default=0),
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


def updates(program: Program) -> dict[str, float]:
    """How many UPDATEs each session was sent."""
    found = {}
    for address in SESSIONS:
        series = f'porter_bgp_updates_sent_total{{peer="leaf@{address}"}}'
        found[address] = program.metric(series) or 0
    return found
