"""A new configuration takes effect as if the program had started with it, or not at all."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fabric import Fabric, wait_for
from fabric.files import replace
from fabric.leaves import Bird, Frr, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, Sections
from fabric.watchers import no_route_lost
from tests.functional.conftest import LEAF_AS, LEAVES, OURS


@pytest.fixture(scope="module")
def frr(fabric: Fabric) -> Iterator[Frr]:
    """A leaf whose session must stay up."""
    us = [Neighbour(OURS, 65000)]
    leaf = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us)
    yield leaf.start()
    leaf.stop()


@pytest.fixture
def bird(fabric: Fabric) -> Iterator[Bird]:
    """A leaf that is added and removed."""
    us = [Neighbour(OURS, 65000)]
    leaf = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us)
    yield leaf.start()
    leaf.stop()


def group(name: str, **more: object) -> str:
    """A [peer:NAME] group."""
    keys = {"address": LEAVES[name], "remote_as": LEAF_AS[name], "connect_retry": 1, **more}
    return f"[peer:{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


class Instance:
    """A program whose configuration file changes."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.host = program.host
        self.head = program.config.read_text()

    def write(self, peers: str, *groups: str, more: str = "") -> None:
        """Replaces the file atomically, like a mounted ConfigMap."""
        head = self.head.replace("[bgp]\n", f"[bgp]\npeers = {peers}\n{more}")
        self.put((head + "\n" + "\n".join(groups)).encode())

    def put(self, octets: bytes) -> None:
        """Replaces the file by any content."""
        replace(self.program.config, octets)

    def peers(self) -> dict[str, Json]:
        """The reports of the peers, by name."""
        return {peer["name"]: peer for peer in self.program.get("/v1/peers")}

    def up(self, *names: str) -> None:
        """Waits until exactly these peers exist and are Established."""
        wait_for(
            self.peers,
            lambda found: (
                set(found) == set(names)
                and all(peer["state"] == "Established" for peer in found.values())
            ),
            15,
            f"sessions with {names}",
        )

    def says(self, text: str, seconds: float = 8) -> None:
        """Waits for a line in its log."""
        self.program.logs(text, seconds)


@pytest.fixture
def instance(fabric: Fabric, frr: Frr, request: pytest.FixtureRequest) -> Iterator[Instance]:
    """A running program with FRR as its peer; at the end FRR must still have the first session."""
    sections: Sections = {
        "bgp": {"local_as": 65000, "router_id": OURS},
        "bound_ip": {"mode": "none"},
    }
    program = Program(fabric.hosts["porter"], sections, name=request.node.name[:40])
    program.put("pool", eip("pool", "203.0.113.0/24"))
    program.put("nodes", node("n1", "192.168.7.11"))
    program.put("web", service("web"), slice_of("web", "n1"))
    made = Instance(program)
    made.write("frr", group("frr"))
    program.start()
    made.up("frr")
    began = time.monotonic()
    yield made
    if program.process.poll() is None:
        lasted = time.monotonic() - began
        assert made.peers()["frr"]["establishedSeconds"] > lasted
        assert made.program.metric('porter_task_restarts_total{task="turns"}') == 0
    assert program.stop() == 0


def test_peers_are_added_changed_and_removed_without_affecting_another(
    instance: Instance, bird: Bird
) -> None:
    instance.write("frr, bird", group("frr"), group("bird"))
    instance.up("frr", "bird")
    wait_for(bird.routes, lambda routes: "203.0.113.0" in routes, 5, "the route")
    instance.write("frr, bird", group("frr"), group("bird", med=77))
    wait_for(
        lambda: bird.command("show route 203.0.113.0/32 all"),
        lambda text: "BGP.med: 77" in text,
        15,
        "the new MED",
    )
    assert instance.program.metric('porter_bgp_session_up{peer="bird"}') == 1
    bird_up = instance.peers()["bird"]["establishedSeconds"]
    instance.write("frr, bird", group("frr"), group("bird", med=77, hold_time=30))
    wait_for(
        lambda: instance.peers()["bird"],
        lambda peer: peer["state"] == "Established" and peer["holdTime"] == 30,
        15,
        "a new session",
    )
    assert instance.peers()["bird"]["establishedSeconds"] < bird_up + 15
    instance.write("frr", group("frr"))
    instance.up("frr")
    wait_for(bird.routes, lambda routes: not routes, 5, "no route")
    text = instance.program.metrics()
    assert 'peer="bird"' not in text, "a peer that is not configured is not down"
    assert 'porter_bgp_session_up{peer="frr"} 1.0' in text


def contains(marks: list[str], text: str) -> bool:
    """Whether a text has all of these marks."""
    return all(mark in text for mark in marks)


def test_what_a_peer_is_told_of_a_path_changes_within_its_session(
    instance: Instance, frr: Frr, fabric: Fabric
) -> None:
    wait_for(frr.routes, lambda routes: "203.0.113.0" in routes, 5, "the route")
    leaf = fabric.hosts["frr"]
    with no_route_lost(leaf, leaf.multipath()):
        for settings, marks in (
            ({"med": 77}, ["metric 77"]),
            ({"med": 78, "communities": "65000:5, no-export"}, ["metric 78", "65000:5 no-export"]),
            ({"as_path_prepend": 2}, ["65000 65000 65000"]),
            ({"communities": "65000:6"}, ["Community: 65000:6\n"]),
        ):
            instance.write("frr", group("frr", **settings))
            wait_for(
                lambda: frr.command("show ip bgp 203.0.113.0/32"),
                partial(contains, marks),
                15,
                f"{marks}",
            )
    # the fixture sees at the end that the session is still the first one
    instance.write("frr", group("frr", node_selector="rack=none"))
    wait_for(frr.routes, lambda routes: not routes, 5, "no route by the nodes of another rack")


BAD = {
    "unparsable": (b"[bgp]\nlocal_as 5\n", "line 2: 'local_as 5' is neither [group] nor key ="),
    "binary": (b"\x7fELF\x02\0\0\0\xff", "line 1: is not UTF-8 text"),
    "not UTF-8": (b"[porter]\nnode_name = M\xfcnchen\n", "line 2: is not UTF-8 text"),
    "a peer that cannot be": (
        b"[bgp]\npeers = a\n[peer:a]\naddress = fe80::1%eth9\nremote_as = 1\n",
        "line 4: [peer:a] address: fe80::1%eth9 is link-local: unnumbered peering is not supported",
    ),
    "a mapped address": (
        b"[bgp]\npeers = a\n[peer:a]\naddress = ::ffff:192.168.10.1\nremote_as = 1\n",
        "line 4: [peer:a] address: ::ffff:192.168.10.1 is IPv4-mapped: write 192.168.10.1",
    ),
    "a dollar": (
        b"[porter]\nnode_name = $x\n",
        "line 2: [porter] node_name: '$x': $ refers to an option",
    ),
    "a doubled key": (
        b"[bgp]\nlocal_as = 1\nlocal_as = 2\n",
        "line 3: [bgp] local_as: is set twice",
    ),
    "an unknown group": (
        b"[prter]\n",
        "line 1: [prter]: there is no such group; did you mean [porter]?",
    ),
}


def test_an_invalid_file_changes_nothing_and_the_next_valid_one_is_read(instance: Instance) -> None:
    for what, (octets, line) in BAD.items():
        instance.put(octets)
        instance.says(f"not reloaded: {instance.program.config}: {line}")
        read(instance, False, what)
    instance.write("frr", group("frr"), more="next_hops = nodes\n")
    instance.says("[bgp] next_hops: runs with endpoints, the file says nodes: needs a restart")
    read(instance, True, "the good file")


def read(instance: Instance, well: bool, what: str) -> None:
    """What was read last comes to count as valid, or as invalid."""
    series = "porter_config_last_reload_successful"
    wait_for(lambda: instance.program.metric(series), lambda value: value == well, 8, what)


@pytest.mark.parametrize("how", ["removed", "a directory", "a dangling link", "a pipe"])
def test_a_file_that_cannot_be_read_changes_nothing(instance: Instance, how: str) -> None:
    path: Path = instance.program.config
    kept = path.read_bytes()
    path.unlink()
    if how == "a directory":
        path.mkdir()
    elif how == "a dangling link":
        path.symlink_to("nothing")
    elif how == "a pipe":
        os.mkfifo(path)
    instance.says(f"not reloaded: {path}: ")
    assert set(instance.peers()) == {"frr"}
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    instance.put(kept)
    read(instance, True, "the good file")


def test_sigterm_works_after_a_failed_reload(instance: Instance) -> None:
    process = instance.program.process
    instance.put(BAD["binary"][0])
    for _ in range(20):
        process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_repeated_sigterm_stops_the_program_once(instance: Instance) -> None:
    host, process = instance.host, instance.program.process
    deadline = time.monotonic() + 60
    while "stopping" not in host.log(instance.program.log) and time.monotonic() < deadline:
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert "Traceback" not in host.log(instance.program.log)


def test_a_replaced_key_file_takes_effect_by_itself(fabric: Fabric, instance: Instance) -> None:
    us = [Neighbour(OURS, 65000, password="two")]
    bird = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start()
    key = instance.host.folder / "bird.key"
    key.write_text("one\n")
    instance.write("frr, bird", group("frr"), group("bird", password_file=key))
    wait_for(instance.peers, lambda found: "bird" in found, 8, "the new peer")
    assert instance.peers()["bird"]["state"] != "Established"
    key.write_text("")
    instance.says(f"password_file: {key} must hold 1 to 80 bytes")
    key.write_text("two\n")
    instance.up("frr", "bird")
    bird.stop()


def test_many_reloads_end_with_the_last_file(instance: Instance, bird: Bird) -> None:
    for number in range(60):
        some = [group("bird", med=number)] if number % 3 else []
        instance.write("frr, bird" if some else "frr", group("frr"), *some)
        instance.program.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    instance.up("frr", "bird")
    wait_for(
        lambda: bird.command("show route 203.0.113.0/32 all"),
        lambda text: "BGP.med: 59" in text,
        15,
        "the last MED",
    )


def test_a_peer_that_cannot_be_reached_affects_only_itself(instance: Instance, bird: Bird) -> None:
    lonely = "[peer:lonely]\naddress = 198.51.100.7\nremote_as = 1\nbfd = true\nmode = passive\n"
    absent = "[peer:absent]\naddress = 192.168.7.9\nremote_as = 1\nlocal_address = 10.9.9.9\n"
    absent += "bfd = true\n"
    names = "lonely, absent, frr, bird"
    instance.write(names, lonely, absent, group("frr"), group("bird"))
    wait_for(
        instance.peers,
        lambda found: found.get("bird", {}).get("state") == "Established",
        15,
        "the session with the good one",
    )
    instance.says("peer lonely: no route to 198.51.100.7")
    instance.says("peer absent: BFD does not run: cannot listen on 10.9.9.9 port 3784")
    assert instance.program.answers("/healthz")


def reason(instance: Instance, wish: str) -> str:
    """The condition of a new Service that requests an address."""
    asks = {"eip.porter.kubesphere.io/v1alpha1": wish}
    instance.program.put("asks", service("asks", annotations=asks))
    conditions = wait_for(
        lambda: instance.program.status("services", "default/asks").get("conditions", []),
        bool,
        8,
        "an answer",
    )
    instance.program.remove("asks")
    wait_for(
        lambda: instance.program.status("services", "default/asks"), lambda s: not s, 8, "its end"
    )
    return next(str(c["reason"]) for c in conditions if c["type"].endswith("/Allocated"))


def test_reserved_addresses_follow_peers_and_the_host(instance: Instance) -> None:
    """Out of the pool: .1 becomes a peer's, .2 the host's, .3 its gateway's; .0 is on record."""
    host = instance.host
    every = [f"203.0.113.{last}" for last in (1, 2, 3)]
    assert [reason(instance, wish) for wish in every] == ["Allocated"] * 3
    instance.write("frr, new", group("frr"), "[peer:new]\naddress = 203.0.113.1\nremote_as = 1\n")
    device = host.run("ip -o -4 address show to 192.168.7.5").split()[1]
    host.run(f"ip address add 203.0.113.2/29 dev {device}")
    host.run("ip route replace default via 203.0.113.3")
    try:
        for wish in every:
            wait_for(
                partial(reason, instance, wish),
                lambda seen: seen == "AddressInUse",
                20,
                f"nobody to get {wish}",
            )
        record = instance.program.status("services", "default/web")
        assert record["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.0"
        host.run("ip route del default")
        assert reason(instance, "203.0.113.3") == "AddressInUse", "the gateway may come back"
        instance.write("frr", group("frr"))
        wait_for(
            lambda: reason(instance, "203.0.113.1"),
            lambda seen: seen == "Allocated",
            20,
            "the address of a peer that is none any more",
        )
    finally:
        host.run(f"ip address del 203.0.113.2/29 dev {device}")


def test_the_log_has_no_traceback(fabric: Fabric, instance: Instance) -> None:
    instance.put(json.dumps({"a": 1}).encode())
    instance.says("not reloaded")
    logs = [
        host.log(path.name)
        for host in fabric.hosts.values()
        for path in host.folder.glob("*")
        if path.suffix == ".log"
    ]
    assert not [text for text in logs if "Traceback" in text]
