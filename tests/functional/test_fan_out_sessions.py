"""What holds for one session holds for each session of a fan-out peer: TCP MD5, BFD, reload, who
connects, IPv6, weights."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from fabric import Fabric, inside, wait_for
from fabric.files import replace
from fabric.leaves import Bird, Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, first
from tests.functional.fan_out import (
    EIPS,
    FOUR,
    NODES,
    SESSIONS,
    WITHIN_SECONDS,
    Leaf,
    ages,
    device,
    established,
    leaf_of,
    neighbours,
    program_for,
    put,
    routed,
)

KEY = "s3cret"
OTHERS = tuple(address for address in SESSIONS if address != SESSIONS[1])
BFD = "".join(f" neighbor {address} bfd\n" for address in SESSIONS) + "bfd\n"
BFD += "".join(
    f" peer {address}\n  receive-interval 300\n  transmit-interval 300\n exit\n"
    for address in SESSIONS
)

Started = list[Leaf | Program]


@pytest.fixture
def started() -> Iterator[Started]:
    """What the test has started, which is stopped at its end."""
    found: Started = []
    yield found
    for part in reversed(found):
        part.stop()


def paths(leaf: Leaf, count: int) -> None:
    """Waits until each address has so many paths."""
    wait_for(
        lambda: {address: len(hops) for address, hops in leaf.routes().items()},
        lambda seen: seen == dict.fromkeys(EIPS, count),
        WITHIN_SECONDS,
        f"{count} paths",
    )


def key_file(fabric: Fabric) -> str:
    """The file with the TCP MD5 key."""
    path = fabric.folder / "fan-out.key"
    path.write_text(KEY)
    return str(path)


def test_md5_and_bfd_on_each_session(fabric: Fabric, started: Started) -> None:
    """An address that our host loses takes its own session with it, within the detection time."""
    first(fabric, "porter", "frr")  # the detection time is 900 ms
    host = fabric.hosts["frr"]
    more = f"router bgp {LEAF_AS['frr']}\n{BFD}"
    frr = Frr(fabric, host, LEAF_AS["frr"], LEAVES["frr"], neighbours(password=KEY), more)
    started.append(frr.start(("zebra", "bfdd", "bgpd")))
    program = program_for(
        fabric, "fan-bfd", "frr", password_file=key_file(fabric), bfd="true", hold_time=90
    )
    put(program, *FOUR)
    started.append(program.start())
    routed(frr, *FOUR)

    def by_bfd() -> dict[str, str]:
        return {
            peer["peer"]: peer["status"] for peer in json.loads(frr.command("show bfd peers json"))
        }

    wait_for(by_bfd, lambda seen: seen == dict.fromkeys(SESSIONS, "up"), 20, "BFD with each")
    before = ages(program)
    ours = f"{SESSIONS[1]}/24 dev {device(fabric)}"
    program.host.run(f"ip address del {ours}")
    wait_for(lambda: set(ages(program)), lambda up: up == set(OTHERS), 5, "one session less")
    paths(frr, 3)
    alone = {**dict.fromkeys(SESSIONS, "up"), SESSIONS[1]: "down"}
    wait_for(by_bfd, alone.__eq__, 5, "BFD to be down with this one alone")
    program.host.run(f"ip address add {ours}")
    routed(frr, *FOUR)
    after = ages(program)
    assert all(after[address] > before[address] for address in OTHERS)
    assert after[SESSIONS[1]] < min(after[address] for address in OTHERS)


def test_an_address_is_added_and_removed_by_a_reload(fabric: Fabric, started: Started) -> None:
    """The other sessions stay up, and their TCP MD5 key stays on the listening sockets."""
    leaf = leaf_of(fabric, "bird", neighbours(passive=False, password=KEY))
    started.append(leaf.start())
    program = program_for(
        fabric, "fan-reload", "bird", password_file=key_file(fabric), mode="passive"
    )
    put(program, *FOUR)
    all_of_them = program.config.read_text()
    three = all_of_them.replace(",".join(SESSIONS), ",".join(OTHERS))
    assert three != all_of_them
    program.config.write_text(three)
    started.append(program.start())
    established(program, *OTHERS)
    for text, sessions in ((all_of_them, SESSIONS), (three, OTHERS), (all_of_them, SESSIONS)):
        before = ages(program)
        replace(program.config, text)
        established(program, *sessions)
        after = ages(program)
        assert all(after[address] > before[address] for address in OTHERS)
        paths(leaf, len(sessions))
    replace(program.config, three)
    established(program, *OTHERS)
    assert isinstance(leaf, Bird)
    began = time.monotonic()
    for number in range(len(SESSIONS)):
        leaf.command(f"restart p{number}")
    wait_for(
        lambda: (max(ages(program).values(), default=1e9), time.monotonic() - began),
        lambda seen: seen[0] < seen[1],
        8,
        "new sessions",
    )
    established(program, *OTHERS)


@pytest.mark.parametrize("listens", ["", "0.0.0.0"])
def test_the_router_connects_to_each_address(
    fabric: Fabric, started: Started, listens: str
) -> None:
    """A connection to another address of this host is none of its sessions."""
    leaf = leaf_of(fabric, "bird", neighbours(passive=False)).start()
    started.append(leaf)
    program = program_for(fabric, f"fan-in{len(listens)}", "bird", mode="passive")
    text = program.config.read_text()
    program.config.write_text(text.replace("[bgp]\n", f"[bgp]\nlisten_addresses = {listens}\n"))
    put(program, *FOUR)
    started.append(program.start())
    established(program)
    routed(leaf, *FOUR)
    if listens:
        with inside(leaf.host), socket.create_connection((OURS, 179), 60) as sock:
            cease, rejected = 6, 5
            assert sock.recv(64)[-2:] == bytes((cease, rejected))


def test_sessions_over_ipv6(fabric: Fabric, started: Started) -> None:
    ours = ("fd00:7::51", "fd00:7::52")
    nodes = {f"n{number}": f"fd00:7::{10 + number}" for number in (1, 2)}
    for address in ours:
        fabric.hosts["porter"].run(f"ip address replace {address}/64 dev {device(fabric)} nodad")
    us = [Neighbour(address, 65000, add_path=False) for address in ours]
    leaf = leaf_of(fabric, "bird", us).start()
    started.append(leaf)
    program = program_for(
        fabric,
        "fan-ipv6",
        "bird",
        address="fd00:7::1",
        local_addresses=",".join(ours),
        families="ipv6",
    )
    program.put("pool", eip("pool", "2001:db8:9::/125"))
    program.put("nodes", *(node(name, address) for name, address in nodes.items()))
    program.put("web", service("web", families=("IPv6",)), slice_of("web", *nodes, family="IPv6"))
    started.append(program.start())
    wait_for(
        lambda: leaf.routes(6),
        lambda seen: list(seen.values()) == [frozenset(nodes.values())],
        WITHIN_SECONDS,
        "both nodes",
    )


def test_weights_hold_over_several_sessions(fabric: Fabric, started: Started) -> None:
    frr = leaf_of(fabric, "frr", neighbours()).start()
    started.append(frr)
    program = program_for(fabric, "fan-weights", "frr")
    text = program.config.read_text()
    program.config.write_text(text.replace("[bgp]\n", "[bgp]\nweights = endpoints\n"))
    program.put("web", service("web"), slice_of("web", "n1", "n1", "n1", "n2"))
    started.append(program.start())

    def weights() -> dict[str, int]:
        (route,) = frr.host.json("ip -j route show 203.0.113.0") or [{}]
        return {hop["gateway"]: hop["weight"] for hop in route.get("nexthops", ())}

    wait_for(
        weights,
        lambda seen: (
            seen.keys() == {NODES["n1"], NODES["n2"]} and seen[NODES["n1"]] == 3 * seen[NODES["n2"]]
        ),
        WITHIN_SECONDS,
        "three to one",
    )
