"""Sessions with real routers: replay, one path without ADD-PATH, IPv6, attributes, selection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Leaf, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, command
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, peers

NODES = {f"n{i}": f"192.168.7.1{i}" for i in range(1, 5)}
NODES6 = {f"n{i}": f"fd00:7::1{i}" for i in range(1, 5)}


@pytest.fixture
def program(fabric: Fabric) -> Iterator[Program]:
    """Not started; four nodes, both families, ten Services with endpoints on all of them."""
    program = Program(fabric.hosts["porter"], peers())
    for path in program.manifests.rglob("*"):
        if path.is_file():
            path.unlink()
    for name, address in NODES.items():
        labels = {"rack": "a" if name in ("n1", "n2") else "b"}
        program.put(name, node(name, address, NODES6[name], labels=labels))
    program.put("pools", eip("pool", "203.0.113.0/28"), eip("six", "2001:db8:7::/124"))
    for i in range(10):
        families = ["IPv4", "IPv6"]
        dual: Json = {"families": families, "ipFamilyPolicy": "RequireDualStack"}
        pieces = [slice_of(f"s{i}", *NODES, family=family) for family in families]
        program.put(f"s{i}", service(f"s{i}", **dual), *pieces)
    yield program
    program.stop()


def has(
    leaf: Leaf, count: int, nodes: dict[str, str], version: int = 4
) -> dict[str, frozenset[str]]:
    """The leaf has so many routes, each by all of these nodes."""
    every = frozenset(nodes.values())
    return wait_for(
        lambda: leaf.routes(version),
        lambda routes: len(routes) == count and set(routes.values()) == {every},
        8,
        f"{count} routes by {sorted(every)}",
    )


def test_a_withdrawn_instance_keeps_its_process(fabric: Fabric, program: Program) -> None:
    """Otherwise a supervisor would restart it before it is deleted."""
    host = fabric.hosts["porter"]
    bird = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], [Neighbour(OURS, 65000)])
    bird.start()
    program.start()
    has(bird, 10, NODES)
    program.end_for_good("--stay")
    wait_for(bird.routes, lambda routes: not routes, 5, "the routes to go")
    program.put("late", service("late"), slice_of("late", "n1"))
    with open(program.config, "a", encoding="utf-8") as file:
        file.write("med = 7\n")
    again = "reloading the configuration"
    wait_for(lambda: host.log(program.log), lambda log: again in log, 5, "it to see its new file")
    host.run("sleep 2")
    assert bird.routes() == {}
    assert not program.is_ready()
    health = host.run("curl -s -o /dev/null -w %{http_code} http://127.0.0.1:8080/healthz")
    assert health == "200", "no liveness probe ends it"
    assert program.stop() == 0
    bird.stop()


def test_both_families_and_a_restart_of_either_side(fabric: Fabric, program: Program) -> None:
    bird = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], [Neighbour(OURS, 65000)])
    bird.start()
    program.start()
    has(bird, 10, NODES)
    has(bird, 10, NODES6, version=6)
    bird.stop()
    bird.start()
    has(bird, 10, NODES)
    has(bird, 10, NODES6, version=6)
    before = {name: program.status("services", f"default/s{i}") for i, name in enumerate("abc")}
    program.kill()
    program.start()
    has(bird, 10, NODES)
    after = {name: program.status("services", f"default/s{i}") for i, name in enumerate("abc")}
    assert after == before
    assert program.stop() == 0
    has(bird, 10, NODES)
    bird.stop()


def test_a_peer_without_add_path_gets_one_path_and_eips_spread(
    fabric: Fabric, program: Program
) -> None:
    us = [Neighbour(OURS, 65000, add_path=False)]
    frr = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start()
    program.start()
    routes = wait_for(frr.routes, lambda r: len(r) == 10, 8, "ten routes")
    assert all(len(hops) == 1 for hops in routes.values())
    assert len(frozenset().union(*routes.values())) > 1
    assert "rendezvous hash" in program.host.log(program.log)
    frr.stop()


def test_a_selector_limits_one_peer_and_not_the_other(fabric: Fabric, program: Program) -> None:
    us = [Neighbour(OURS, 65000)]
    bird = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start()
    frr = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start()
    text = program.config.read_text()
    text = text.replace("[peer:bird]\n", "[peer:bird]\nnode_selector = rack=a\nmed = 50\n")
    communities = "communities = 65000:1, no-export, 65000:1:2\nas_path_prepend = 2\n"
    program.config.write_text(text.replace("[peer:frr]\n", f"[peer:frr]\n{communities}"))
    program.start()
    has(bird, 10, {name: NODES[name] for name in ("n1", "n2")})
    has(frr, 10, NODES)
    shown = frr.command("show bgp ipv4 unicast 203.0.113.0/32")
    assert "65000 65000 65000" in shown
    assert "65000:1 no-export" in shown
    assert "65000:1:2" in shown
    assert "BGP.med: 50" in bird.command("show route 203.0.113.0/32 all")
    argv = [command("porter-ryu"), "explain", "default/s0", "--url", "http://127.0.0.1:8080"]
    text = program.host.run(argv)
    assert "default/s0: announced: 203.0.113.0, 2001:db8:7:: to bird, frr" in text
    frr.command("clear bgp 192.168.7.5 soft in")
    has(frr, 10, NODES)
    assert program.get("/v1/peers")[1]["state"] == "Established"
    bird.stop()
    frr.stop()


def test_connections_of_other_hosts_and_resets_do_not_affect_the_sessions(
    fabric: Fabric, program: Program
) -> None:
    us = [Neighbour(OURS, 65000)]
    bird = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start()
    program.start()
    has(bird, 10, NODES)
    attack = (
        "import socket,struct\n"
        "for n in range(300):\n"
        f"    s = socket.create_connection(('{OURS}', 179), 30)\n"
        "    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))\n"
        "    s.close()\n"
    )
    for name in ("frr", "bird"):
        fabric.hosts[name].run(["python3", "-c", attack])
    program.remove("n4")
    has(bird, 10, {name: NODES[name] for name in ("n1", "n2", "n3")})
    peer = program.get("/v1/peers")[0]
    assert peer["state"] == "Established"
    assert not program.counted("porter_bgp_session_drops_total", peer="bird")
    bird.stop()


@pytest.mark.parametrize("way", ["we call and listen to nobody", "the leaf calls another port"])
def test_beside_another_speaker_on_port_179_of_this_host(
    fabric: Fabric, program: Program, way: str
) -> None:
    """For example beside a CNI that runs BGP."""
    host = fabric.hosts["porter"]
    other = Frr(fabric, host, 64999, OURS, [])
    other.start()
    calls = way.startswith("we")
    leaf = Neighbour(OURS, 65000) if calls else Neighbour(OURS, 65000, passive=False, port=1179)
    bird = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], [leaf]).start()
    groups = peers(mode="active" if calls else "passive")
    groups["bgp"] |= {"listen_addresses": "none"} if calls else {"listen_port": 1179}
    groups["bgp"]["peers"] = "bird"
    del groups["peer:frr"], groups["peer:gobgpd"]
    beside = Program(host, groups, name="beside", manifests=program.manifests).start()
    has(bird, 10, NODES)
    assert beside.stop() == 0
    bird.stop()
    other.stop()


def test_ryus_classes_are_in_the_running_path(fabric: Fabric, program: Program) -> None:
    source = (
        "import eventlet; eventlet.monkey_patch()\n"
        "from ipaddress import ip_address\n"
        "from ryu.services.protocols.bgp.bgpspeaker import BGPSpeaker\n"
        "from ryu.services.protocols.bgp.core import CoreService\n"
        "from ryu.services.protocols.bgp.core_manager import CORE_MANAGER\n"
        "from ryu.services.protocols.bgp.peer import Peer\n"
        "from porter_ryu.domain.peering import SpeakerConfig\n"
        "from porter_ryu.bgp.speaker import Speaker\n"
        "from porter_ryu.supervisor import Supervisor\n"
        "config = SpeakerConfig(65000, ip_address('10.0.0.1'), None, 179, 0, 0, '/tmp')\n"
        "s = Speaker(config, Supervisor())\n"
        "s.neighbor_add\n"
        "core = CORE_MANAGER.get_core_service()\n"
        "assert isinstance(s, BGPSpeaker) and isinstance(core, CoreService)\n"
        "assert core.peer_manager is s.manager\n"
        "from porter_ryu.bgp.peer import Peer as Ours\n"
        "assert issubclass(Ours, Peer)\n"
    )
    fabric.hosts["porter"].run([command("python"), "-c", source])
