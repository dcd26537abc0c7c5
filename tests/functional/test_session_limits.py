"""A program that was stopped for a while, or has no free descriptors, keeps its peers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from fabric import Fabric, Host, wait_for
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, Sections
from fabric.raw_peer import KEEPALIVE, UPDATE, RawPeer, message
from tests.functional.conftest import LEAF_AS, LEAVES, OURS

PEER = LEAVES["gobgpd"]
SECTIONS: Sections = {
    "bgp": {"local_as": 65000, "router_id": OURS, "peers": "leaf", "hold_time": 3},
    "peer:leaf": {"address": PEER, "remote_as": LEAF_AS["gobgpd"], "mode": "passive"},
    "bound_ip": {"mode": "none"},
}
_SILENT_NAME_SERVER = """
import signal, socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("127.0.0.1", 53))
    server.recv(512)
    print("asked", flush=True)
    signal.pause()
"""
_WITH_RESOLVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
_KUBECONFIG = (
    "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: "
    "{server: 'http://api.example.com:6443'}}], users: [{name: u, user: {}}], contexts: "
    "[{name: c, context: {cluster: c, user: u}}]}"
)


@pytest.fixture
def program(fabric: Fabric, request: pytest.FixtureRequest) -> Iterator[Program]:
    """One passive peer."""
    program = Program(fabric.hosts["porter"], SECTIONS, name=request.node.name)
    program.put("pool", eip("pool", "203.0.113.1"))
    program.put("web", node("n1", "192.168.7.11"), service("web"), slice_of("web", "n1"))
    yield program.start()
    program.stop()


@pytest.fixture
def host(fabric: Fabric) -> Host:
    """The peer's."""
    return fabric.hosts["gobgpd"]


def test_keepalives_that_wait_in_the_socket_count_as_in_time(program: Program, host: Host) -> None:
    peer = RawPeer(host, OURS, PEER).establish()
    peer.read_until(UPDATE)
    program.process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + 4.5
    while time.monotonic() < until:
        peer.send(message(KEEPALIVE))
        time.sleep(0.5)
    program.process.send_signal(signal.SIGCONT)

    def look() -> Json:
        """What is told of the peer, which goes on saying that it is alive."""
        peer.send(message(KEEPALIVE))
        return program.get("/v1/peers")[0]  # type: ignore[no-any-return]

    told = wait_for(
        look,
        lambda p: p["establishedSeconds"] > 5 or p["state"] != "Established",
        10,
        "its age",
    )
    assert told["state"] == "Established"
    assert told["lastDown"] is None
    peer.close()


def test_a_name_server_that_does_not_answer_holds_up_nobody(fabric: Fabric, host: Host) -> None:
    ours = fabric.hosts["porter"]
    ours.spawn([sys.executable, "-c", _SILENT_NAME_SERVER], "names.log")
    resolver = fabric.folder / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    kubeconfig = fabric.folder / "named.kubeconfig"
    kubeconfig.write_text(_KUBECONFIG)
    own: Sections = {**SECTIONS, "kubernetes": {"manifests": "", "kubeconfig": kubeconfig}}
    program = Program(ours, own, name="named")
    program.start(ready=False, under=["unshare", "-m", "sh", "-c", _WITH_RESOLVER, str(resolver)])
    wait_for(lambda: ours.log("names.log"), lambda log: "asked" in log, 60, "a question")
    wait_for(lambda: ours.run("ss -Hltn sport = :179"), bool, 60, "the port of BGP")
    peer = RawPeer(host, OURS, PEER).establish()
    assert [told["peer"] for told in program.get("/v1/peers")] == ["leaf"]
    program.process.terminate()
    assert program.process.wait(60) == 0, "nor does the end: the answer may take 150 s"
    peer.close()


def test_without_free_descriptors_accepting_is_retried(program: Program, host: Host) -> None:
    pid = program.process.pid
    most = len(os.listdir(f"/proc/{pid}/fd"))
    limit(pid, most)
    waiting = [RawPeer(host, OURS, PEER) for _ in range(20)]
    before = processor_seconds(pid)
    time.sleep(2)
    assert processor_seconds(pid) - before < 1, "it does not spin"
    limit(pid, 1024)
    for peer in waiting:
        peer.reset()
    peer = RawPeer(host, OURS, PEER).establish()
    assert peer.read_until(UPDATE)
    peer.close()


def test_a_journal_that_could_not_be_written_is_written_afterwards(
    fabric: Fabric, host: Host
) -> None:
    sections: Sections = {
        "porter": {"allocate": "false"},
        "bgp": {"local_as": 65000, "router_id": OURS, "peers": "leaf", "graceful_restart": "true"},
        "peer:leaf": {"address": PEER, "remote_as": LEAF_AS["gobgpd"], "mode": "passive"},
        "bound_ip": {"mode": "none"},
    }
    program = Program(fabric.hosts["porter"], sections, name="unnoted")
    program.put("pool", eip("pool", "203.0.113.1"))
    web = {**service("web"), "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}
    program.put("web", node("n1", "192.168.7.11"), web, slice_of("web", "n1"))
    program.start()
    pid = program.process.pid
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = next(number for number in range(len(used) + 1) if number not in used)
    assert free > max(used), "the connection will have the last one"
    limit(pid, free + 1)
    graceful = bytes.fromhex("400600780001 0180")
    peer = RawPeer(host, OURS, PEER).establish(more=graceful, hold_time=9)
    peer.read_until(UPDATE)
    peer.read_until(KEEPALIVE)  # three seconds, in which writing it is tried again
    peer.send(message(KEEPALIVE))
    program.logs("cannot be written (Too many open files)")
    limit(pid, 1024)

    def noted() -> str:
        peer.send(message(KEEPALIVE))  # the end of the session would be one more occasion
        path = program.host.folder / "unnoted.state" / "announced" / "leaf"
        return path.read_text() if path.exists() else ""

    wait_for(noted, lambda text: "203.0.113.1" in text, 10, "its journal")
    peer.close()
    assert program.stop() == 0


def limit(pid: int, descriptors: int) -> None:
    """Sets how many descriptors a process may have."""
    subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={descriptors}:1024"], check=True)


def processor_seconds(pid: int) -> float:
    """The CPU time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
