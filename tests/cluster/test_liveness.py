"""[liveness] on a cluster: a node or a kube-proxy is gone, and the API server does not know."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from fabric import Host, wait_for
from fabric.metronome import Metronome
from fabric.program import Program
from fabric.watchers import seconds_to_lose
from tests.cluster.harness import NODES, Cluster, web
from tests.rounds import rounds

EIP = "203.0.113.8"
RATE = 100
SLACK = 0.3  # seconds


@pytest.fixture
def program(clean: Cluster) -> Iterator[Program]:
    """The one central instance, with a Local Service of one Pod on each node."""
    probes = {"probes": "icmp, http:10256/healthz"}
    with clean.running(liveness=probes) as program:
        clean.api.apply(web(policy="Local"), *(clean.pod(f"p-{node}", node) for node in NODES))
        clean.routed(EIP, *NODES, within=25)
        series = 'porter_nodes_probed{family="ipv4"}'
        wait_for(lambda: program.metric(series), lambda n: n == len(NODES), 15, "all to answer")
        yield program


@pytest.fixture(scope="module")
def metronome(cluster: Cluster) -> Iterator[Metronome]:
    """How late the machine itself is."""
    metronome = Metronome(cluster.fabric.folder)
    yield metronome
    metronome.stop()


def far_end(host: Host) -> str:
    """The port of the switch that a host is linked to."""
    name = host.run("ip -o link show type veth").split(": ")[1].partition("@")[0]
    return name.removesuffix("a") + "b"


def ready(cluster: Cluster, node: str) -> str:
    """What the API server says of a node."""
    conditions = cluster.api.get("node", node)["status"]["conditions"]
    return next(str(c["status"]) for c in conditions if c["type"] == "Ready")


def reason(program: Program, node: str) -> str:
    """Why a node is a next hop, or is not."""
    (route,) = program.get("/v1/services/default/web")["routes"]
    return next(f"{n['reason']}: {n['why']}" for n in route["nodes"] if n["node"] == node)


def served(cluster: Cluster, *nodes: str) -> None:
    """Each of these nodes comes to serve."""
    pods = {f"p-{node}" for node in nodes}
    seen: set[str] = set()
    wait_for(lambda: seen.update(cluster.ask(EIP)[:1]), lambda _: seen >= pods, 20, f"{pods}")


def test_the_link_of_a_node_goes_down_while_the_api_server_says_that_it_is_ready(
    clean: Cluster, program: Program, metronome: Metronome
) -> None:
    switch, port = clean.fabric.hosts["switch"], far_end(clean.workers["n4"].host)
    times: list[float] = []

    def cut() -> None:
        """Cuts the link, between two times that are noted."""
        times[:] = [time.time()]
        switch.run(f"ip link set {port} down")
        times.append(time.time())

    for _ in rounds():
        served(clean, *NODES)
        with clean.load(EIP, RATE) as load:
            with seconds_to_lose(clean.leaf.host, EIP, NODES["n4"], cut) as seconds:
                clean.routed(EIP, "n1", "n2", "n3", within=5)
            assert ready(clean, "n4") == "True"
            assert reason(program, "n4").startswith("Dead: it is dead: ")
            clean.client.run("sleep 4")  # the time of a request that was sent to n4
        assert seconds[0] < 1 + 3 * max(program.loop_lag(), metronome.late)
        # a request may have been under way when the link went, and a change is noted a little late
        first, last = times[0] - SLACK, times[1] + seconds[0] + SLACK
        lost = [error for error in load["errors"] if not first <= error[0] <= last]
        assert not lost, f"lost before or after that second: {lost}"
        assert load["lost"] <= RATE * (last - first)
        switch.run(f"ip link set {port} up")
        clean.routed(EIP, *NODES, within=20)


def test_kube_proxy_of_a_node_is_dead_and_its_next_hop_leaves(
    clean: Cluster, program: Program
) -> None:
    worker = clean.workers["n3"]
    for _ in rounds():
        worker.kill_proxy()
        clean.routed(EIP, "n1", "n2", "n4", within=5)
        assert ready(clean, "n3") == "True"
        assert "http:10256/healthz of 192.168.7.23 failed 3 times in a row" in reason(program, "n3")
        worker.start_proxy()
        clean.routed(EIP, *NODES, within=20)


def test_kube_proxy_says_that_its_node_is_about_to_be_deleted(
    clean: Cluster, program: Program
) -> None:
    """KEP-3836: /healthz says so, /livez does not.  It is drained for a moment, then dead."""
    taint = "ToBeDeletedByClusterAutoscaler"
    clean.api.kubectl("taint", "node", "n2", f"{taint}=now:NoSchedule")
    try:
        why = "http:10256/healthz of 192.168.7.22 failed 3 times in a row (status 503)"
        wait_for(lambda: reason(program, "n2"), lambda told: why in told, 5, "the status")
        clean.routed(EIP, "n1", "n3", "n4", within=5)
        look = "curl -s -o /dev/null -w %{http_code} http://192.168.7.22:10256/livez"
        assert program.host.run(look) == "200"
    finally:
        clean.api.kubectl("taint", "node", "n2", f"{taint}-")
    clean.routed(EIP, *NODES, within=20)
