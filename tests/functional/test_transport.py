"""How sessions come up: connections of both sides, IPv6, MD5, GTSM, node instances."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest

from fabric import Fabric, end, inside, wait_for
from fabric.leaves import Bird, Frr, Leaf, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, Sections
from fabric.raw_peer import NOTIFICATION, UPDATE, RawPeer, open_message
from tests.functional.conftest import LEAF_AS, LEAVES, OURS

Started: TypeAlias = list[Program | Leaf]
SELF = {"porter": {"node_name": "n1", "allocate": "true"}}


@pytest.fixture
def started(fabric: Fabric) -> Iterator[Started]:
    """Ends everything that a test starts."""
    parts: Started = []
    yield parts
    for part in parts:
        part.stop()


def program_with(
    fabric: Fabric, started: Started, sections: Sections | None = None, **peer: Any
) -> Program:
    """One Service, one node, one peer."""
    address = peer.pop("address", LEAVES["bird"])
    remote_as = peer.pop("remote_as", LEAF_AS["bird"])
    program = Program(
        fabric.hosts["porter"],
        {
            **(sections or {}),
            "bgp": {
                "local_as": 65000,
                "router_id": OURS,
                "peers": "leaf",
                **(sections or {}).get("bgp", {}),
            },
            "peer:leaf": {
                "address": address,
                "remote_as": remote_as,
                "connect_retry": 1,
                **peer,
            },
            "bound_ip": {"mode": "none"},
        },
        name=f"t{len(list(fabric.folder.rglob('*.conf')))}",
    )
    program.put("pool", eip("pool", "203.0.113.1"))
    program.put("node", node("n1", "192.168.7.11", labels={"rack": "a"}))
    program.put("web", service("web"), slice_of("web", "n1"))
    started.append(program)
    return program


def routed(leaf: Leaf, hop: str = "192.168.7.11") -> None:
    """The leaf has the one route."""
    want = {"203.0.113.1": frozenset([hop])}
    wait_for(leaf.routes, lambda routes: routes == want, 12, f"the route by {hop}")


def ended(program: Program) -> float:
    """How many sessions have ended."""
    return float(sum(program.counted("porter_bgp_session_drops_total").values()))


def bird(fabric: Fabric, started: Started, **neighbour: Any) -> Bird:
    """BIRD as the leaf."""
    address = neighbour.pop("address", OURS)
    n = Neighbour(address, 65000, **neighbour)
    leaf = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], [n])
    started.append(leaf)
    return leaf.start()


@pytest.mark.parametrize("mode", ["both", "active", "passive"])
def test_both_sides_connect_and_one_session_is_kept(
    fabric: Fabric, started: Started, mode: str
) -> None:
    leaf = bird(fabric, started, passive=False)
    program = program_with(fabric, started, mode=mode).start()
    routed(leaf)
    for _ in range(3):
        before = ended(program)
        leaf.command("restart p0")  # the route may be back before anybody can see that it went
        wait_for(lambda: ended(program), before.__lt__, 2, "the session to end")
        routed(leaf)
    # the leaf keeps the route while a session is replaced
    wait_for(lambda: program.get("/v1/peers")[0]["state"], "Established".__eq__, 12, "the session")


def test_ipv4_routes_over_an_ipv6_session(fabric: Fabric, started: Started) -> None:
    leaf = bird(fabric, started, address="fd00:7::5", local="fd00:7::1")
    program_with(fabric, started, address="fd00:7::1").start()
    routed(leaf)


def test_tcp_md5_in_both_directions_and_its_key_is_never_logged(
    fabric: Fabric, started: Started
) -> None:
    leaf = bird(fabric, started, password="s3cret", passive=False)
    (fabric.folder / "key").write_text("s3cret\n")
    program = program_with(fabric, started, password_file=fabric.folder / "key").start()
    routed(leaf)
    assert "s3cret" not in program.host.log(program.log)
    (fabric.folder / "other").write_text("wrong\n")
    wrong = program_with(fabric, started, password_file=fabric.folder / "other")
    program.stop()
    wrong.start()
    wait_for(
        lambda: wrong.get("/v1/peers")[0]["lastError"], bool, 15, "no session with a wrong key"
    )
    assert wrong.get("/v1/peers")[0]["state"] != "Established"


def test_while_a_key_cannot_be_set_the_peer_is_rejected(fabric: Fabric, started: Started) -> None:
    host, theirs = fabric.hosts["porter"], LEAVES["gobgpd"]
    (fabric.folder / "key").write_text("s3cret\n")
    most = host.run("sysctl -n net.core.optmem_max").strip()
    host.run("sysctl -qw net.core.optmem_max=1")  # no memory for a key
    try:
        program = program_with(
            fabric,
            started,
            address=theirs,
            remote_as=LEAF_AS["gobgpd"],
            password_file=fabric.folder / "key",
            mode="passive",
        ).start()
        peer = RawPeer(fabric.hosts["gobgpd"], OURS, theirs)
        assert peer.read_until(NOTIFICATION)[:2] == b"\x06\x05"
        peer.close()
    finally:
        host.run(f"sysctl -qw net.core.optmem_max={most}")
    program.logs("cannot set its TCP MD5 key: Cannot allocate memory")

    def is_dropped() -> bool:
        """Whether a segment without the key is, as it is once the key is set."""
        with inside(fabric.hosts["gobgpd"]):
            caller = socket.socket()
        with caller:
            caller.bind((theirs, 0))
            caller.settimeout(0.3)
            try:
                caller.connect((OURS, 179))
            except TimeoutError:
                return True
        return False

    wait_for(is_dropped, bool, 10, "the key to be set by itself")


@pytest.mark.parametrize(("ours", "theirs"), [(OURS, LEAVES["frr"]), ("fd00:7::5", "fd00:7::2")])
@pytest.mark.parametrize("mode", ["passive", "active"])
def test_gtsm_with_a_router_that_uses_it_as_well(
    fabric: Fabric, started: Started, mode: str, ours: str, theirs: str
) -> None:
    us = Neighbour(ours, 65000, passive=mode == "active")
    more = f"router bgp {LEAF_AS['frr']}\n neighbor {ours} ttl-security hops 1\n"
    leaf = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], [us], more)
    started.append(leaf.start())
    program_with(
        fabric,
        started,
        address=theirs,
        remote_as=LEAF_AS["frr"],
        ttl_security="true",
        mode=mode,
    ).start()
    routed(leaf)


@pytest.mark.parametrize(("ours", "theirs"), [(OURS, LEAVES["gobgpd"]), ("fd00:7::5", "fd00:7::3")])
@pytest.mark.parametrize(("hops", "ttl", "near"), [(1, 254, False), (1, 255, True), (3, 253, True)])
def test_gtsm_refuses_a_connection_from_too_far_away(
    fabric: Fabric, started: Started, hops: int, ttl: int, near: bool, ours: str, theirs: str
) -> None:
    program = program_with(
        fabric,
        started,
        address=theirs,
        remote_as=LEAF_AS["gobgpd"],
        ttl_security="true",
        multihop_ttl=hops,
        mode="passive",
    ).start()
    peer = RawPeer(fabric.hosts["gobgpd"], ours, theirs, ttl=ttl)
    if near:
        peer.establish().read_until(UPDATE)
    else:
        assert peer.read() is None, "not even an OPEN"
        program.logs("connection refused by GTSM")
    peer.close()


def test_without_gtsm_our_answer_to_a_near_peer_has_a_ttl_of_one(
    fabric: Fabric, started: Started
) -> None:
    gobgpd = LEAVES["gobgpd"]
    program_with(fabric, started, address=gobgpd, remote_as=LEAF_AS["gobgpd"]).start()
    peer = RawPeer(fabric.hosts["gobgpd"], OURS, gobgpd, min_ttl=2)
    peer.sock.settimeout(2)
    with pytest.raises(TimeoutError):
        peer.read()
    peer.close()


def test_gtsm_and_a_hold_time_of_three_seconds(fabric: Fabric, started: Started) -> None:
    us = Neighbour(OURS, 65000)
    more = f"router bgp {LEAF_AS['frr']}\n neighbor {OURS} ttl-security hops 1\n"
    leaf = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], [us], more)
    started.append(leaf.start())
    program = program_with(
        fabric,
        started,
        address=LEAVES["frr"],
        remote_as=LEAF_AS["frr"],
        ttl_security="true",
        hold_time=3,
    ).start()
    routed(leaf)
    wait_for(
        lambda: program.get("/v1/peers")[0]["establishedSeconds"], lambda s: s > 8, 20, "its age"
    )
    assert program.get("/v1/peers")[0]["holdTime"] == 3


def test_a_wrong_as_is_refused_and_reported(fabric: Fabric, started: Started) -> None:
    bird(fabric, started, passive=False)
    program = program_with(fabric, started, remote_as=64999).start()
    error = wait_for(
        lambda: program.get("/v1/peers")[0]["lastError"], bool, 10, "the reason it is down"
    )
    assert "64999" in error or "Bad Peer AS" in error


def test_a_node_instance_announces_itself_to_peers_that_select_its_node(
    fabric: Fabric, started: Started
) -> None:
    leaf = bird(fabric, started, add_path=False)
    sections: Sections = {**SELF, "bgp": {"next_hops": "self"}}
    program = program_with(fabric, started, sections, node_selector="rack=a").start()
    routed(leaf, OURS)
    program.put("node", node("n1", "192.168.7.11", labels={"rack": "b"}))
    wait_for(leaf.routes, lambda routes: not routes, 5, "the route to go with the session")
    wait_for(lambda: program.get("/v1/peers"), lambda p: not p, 5, "no session with that peer")
    program.put("node", node("n1", "192.168.7.11", labels={"rack": "a"}))
    routed(leaf, OURS)


def test_reload_changes_one_peer_and_leaves_the_other(fabric: Fabric, started: Started) -> None:
    leaf = bird(fabric, started)
    us = [Neighbour(OURS, 65000)]
    frr = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us)
    started.append(frr.start())
    program = program_with(fabric, started).start()
    routed(leaf)
    text = program.config.read_text()
    second = f"[peer:frr]\naddress = {LEAVES['frr']}\nremote_as = {LEAF_AS['frr']}\n"
    program.config.write_text(text.replace("peers = leaf\n", "peers = leaf, frr\n") + second)
    program.process.send_signal(1)
    routed(frr)
    program.config.write_text(text.replace("peers = leaf\n", "peers = leaf, gone\n"))
    program.process.send_signal(1)
    wait_for(
        lambda: program.host.log(program.log), lambda log: "not reloaded: " in log, 5, "a refusal"
    )
    program.config.write_text(text)
    program.process.send_signal(1)
    wait_for(frr.routes, lambda routes: not routes, 5, "the second peer to go")
    assert not program.counted("porter_bgp_session_drops_total", peer="leaf")


def test_a_swapped_symlink_reloads_as_a_mounted_config_map_does(
    fabric: Fabric, started: Started
) -> None:
    leaf = bird(fabric, started)
    program = program_with(fabric, started)
    first, second = fabric.folder / "first", fabric.folder / "second"
    text = program.config.read_text()
    first.write_text(text)
    second.write_text(text.replace("peers = leaf\n", "peers =\n"))
    program.config.unlink()
    program.config.symlink_to(first)
    program.start()
    routed(leaf)
    swap = fabric.folder / "swap"
    swap.symlink_to(second)
    swap.replace(program.config)
    wait_for(leaf.routes, lambda routes: not routes, 5, "the peer to go")
    program.host.run(["ln", "-sfn", str(first), str(program.config)])
    routed(leaf)


def test_ipv4_routes_to_a_node_that_has_ipv6_only(fabric: Fabric, started: Started) -> None:
    more = f"router bgp {LEAF_AS['frr']}\n neighbor fd00:7::5 capability extended-nexthop\n"
    us = [Neighbour("fd00:7::5", 65000)]
    leaf = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us, more)
    started.append(leaf.start())
    program = program_with(fabric, started, address="fd00:7::2", remote_as=LEAF_AS["frr"])
    program.put("node", node("n1", "fd00:7::11"))
    program.start()
    wait_for(
        lambda: leaf.host.run("ip route show 203.0.113.1"),
        lambda text: "via inet6 fd00:7::11" in text,
        12,
        "an IPv4 route by an IPv6 next hop",
    )


def test_the_local_address_is_honoured_and_a_changed_key_touches_one_peer(
    fabric: Fabric, started: Started
) -> None:
    fabric.hosts["porter"].run("ip address replace 192.168.7.55/24 dev e1a")
    leaf = bird(fabric, started, address="192.168.7.55", password="one", passive=False)
    us = [Neighbour(OURS, 65000)]
    frr = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us)
    started.append(frr.start())
    key = fabric.folder / "changing"
    key.write_text("one")
    sections: Sections = {
        "bgp": {"peers": "leaf, frr"},
        "peer:frr": {"address": LEAVES["frr"], "remote_as": LEAF_AS["frr"], "connect_retry": 1},
    }
    program = program_with(
        fabric, started, sections, local_address="192.168.7.55", password_file=key
    ).start()
    routed(leaf)
    routed(frr)
    age = {peer["name"]: peer["establishedSeconds"] for peer in program.get("/v1/peers")}
    key.write_text("two")
    program.process.send_signal(1)
    wait_for(
        lambda: {p["name"]: p["state"] for p in program.get("/v1/peers")},
        lambda states: states["leaf"] != "Established" and states["frr"] == "Established",
        10,
        "the one session to end",
    )
    key.write_text("one")
    program.process.send_signal(1)
    wait_for(
        lambda: {p["name"]: p["state"] for p in program.get("/v1/peers")}["leaf"],
        lambda state: state == "Established",
        20,
        "the one session again",
    )
    (other,) = (p for p in program.get("/v1/peers") if p["name"] == "frr")
    assert other["establishedSeconds"] > age["frr"]


def test_a_peer_that_is_silent_on_our_connection_can_connect_itself(
    fabric: Fabric, started: Started
) -> None:
    host = fabric.hosts["gobgpd"]
    with inside(host):
        silent = socket.create_server((LEAVES["gobgpd"], 179))
    program = program_with(
        fabric, started, address=LEAVES["gobgpd"], remote_as=LEAF_AS["gobgpd"]
    ).start()
    taken, _ = silent.accept()
    peer = RawPeer(host, OURS, LEAVES["gobgpd"]).establish()
    assert peer.read_until(UPDATE)
    assert program.get("/v1/peers")[0]["state"] == "Established"
    for sock in (peer, taken, silent):
        sock.close()


def test_our_own_identifier_from_an_internal_peer_is_refused(
    fabric: Fabric, started: Started
) -> None:
    gobgpd = LEAVES["gobgpd"]
    program_with(fabric, started, address=gobgpd, remote_as=65000, mode="passive").start()
    peer = RawPeer(fabric.hosts["gobgpd"], OURS, gobgpd)
    peer.send(open_message(asn=65000, identifier=OURS))
    assert peer.read_until(NOTIFICATION)[:2] == b"\x02\x03"
    peer.close()


def answer_with_another_as(server: socket.socket, calls: list[object]) -> None:
    """Accepts connections until none arrives before the timeout of the socket."""
    while True:
        connection, remote = server.accept()
        calls.append(remote)
        with connection:
            connection.sendall(open_message())


def test_a_peer_with_a_wrong_as_is_connected_ever_more_rarely(
    fabric: Fabric, started: Started
) -> None:
    gobgpd = LEAVES["gobgpd"]
    with inside(fabric.hosts["gobgpd"]):
        server = socket.create_server((gobgpd, 179))
    server.settimeout(15)
    program_with(fabric, started, address=gobgpd, remote_as=64999).start()
    calls: list[object] = []
    with pytest.raises(TimeoutError):
        answer_with_another_as(server, calls)
    assert 2 <= len(calls) <= 6
    server.close()


def test_exabgp_receives_every_path(fabric: Fabric, started: Started) -> None:
    host = fabric.hosts["gobgpd"]
    heard = host.folder / "heard.json"
    config = host.folder / "exabgp.conf"
    config.write_text(
        f"""process log {{ run /bin/sh -c "cat >> {heard}"; encoder json; }}
neighbor {OURS} {{
  router-id {LEAVES["gobgpd"]}; local-address {LEAVES["gobgpd"]};
  local-as {LEAF_AS["gobgpd"]}; peer-as 65000;
  capability {{ add-path receive; route-refresh; graceful-restart 120; }}
  family {{ ipv4 unicast; ipv6 unicast; }}
  api {{ processes [ log ]; receive {{ parsed; update; }} }}
}}
"""
    )
    environment = {
        "exabgp.daemon.user": "root",
        "exabgp.cli.pipe": "",
        "exabgp.api.cli": "false",
        "exabgp.log.destination": "stdout",
    }
    process = host.spawn(["exabgp", str(config)], "exabgp.log", environment)
    program = program_with(
        fabric, started, address=LEAVES["gobgpd"], remote_as=LEAF_AS["gobgpd"], mode="passive"
    )
    program.put("nodes", node("n2", "192.168.7.12"))
    program.put("web", service("web"), slice_of("web", "n1", "n2"))
    program.start()

    def told() -> str:
        return heard.read_text() if heard.exists() else host.log("exabgp.log")[-500:]

    hops = ("192.168.7.11", "192.168.7.12", "203.0.113.1")
    wait_for(told, lambda text: all(word in text for word in hops), 15, "both paths")
    wait_for(told, lambda text: '"eor"' in text, 10, "End-of-RIB")
    program.put("web", service("web"), slice_of("web", "n1"))
    wait_for(told, lambda text: '"withdraw"' in text, 10, "the withdrawal")
    end(process)
