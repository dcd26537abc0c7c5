"""What goes wrong between the program and the API server, and in the API server's view; the calls
that it refuses are in test_refused_calls.

Each test names its fault.  While it lasts nothing is withdrawn that should be there; after it, the
state is what the cluster implies, and the number of writes is bounded.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from fabric import wait_for
from fabric.program import Program
from tests.cluster.harness import (
    CONTROL,
    NODES,
    Cluster,
    end_silence,
    silence,
    stays_bound,
    web,
)
from tests.rounds import rounds

EIP = "203.0.113.8"
EVERY = tuple(NODES)


def placed(cluster: Cluster, *nodes: str) -> None:
    """A Service with a Pod on each of these nodes, and its route."""
    cluster.api.apply(web(), *(cluster.pod(f"p-{node}", node) for node in nodes))
    cluster.routed(EIP, *nodes, within=25)  # the holder before may have left without a word
    wait_for(
        lambda: {
            c["reason"] for c in cluster.api.get("service", "web")["status"].get("conditions", [])
        },
        lambda seen: seen == {"Allocated", "Announced"},
        10,
        "the conditions",
    )


@pytest.fixture
def program(clean: Cluster) -> Iterator[Program]:
    """The one central instance, with a Service of two Pods announced."""
    with clean.running() as program:
        placed(clean, "n1", "n2")
        yield program


def doubts(program: Program) -> bool:
    """Whether the alarm is raised."""
    return program.metric("porter_nodes_doubted") == 1


def bound(program: Program) -> None:
    """The EIP comes to be bound where the program runs."""
    look = "ip -br address show"
    wait_for(lambda: program.host.run(look), lambda seen: f"{EIP}/32" in seen, 20, "the binding")


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "in order"])
def test_a_restart_takes_no_route_and_unbinds_nothing(
    clean: Cluster, program: Program, killed: bool
) -> None:
    """Though whoever held the Lease is to be taken for alive for a while."""
    bound(program)
    with clean.no_route_lost(), stays_bound(program.host, EIP):
        if killed:
            program.kill()
        else:
            assert program.stop() == 0
        program.start()
        clean.api.apply(web("late"))
        wait_for(lambda: clean.record("late"), bool, 20, "it to assign again")
        wait_for(
            lambda: program.host.run("ip -br address show"),
            lambda seen: f"{clean.record('late')[0]}/32" in seen,
            5,
            "it to bind again",
        )


def test_the_api_server_is_away_for_a_minute(clean: Cluster, program: Program) -> None:
    writes = clean.api.writes()
    bound(program)
    with clean.no_route_lost(), stays_bound(program.host, EIP):
        clean.api.kill_server()
        clean.leaf.host.run("sleep 60", seconds=70)
        clean.api.start_server()
        clean.api.apply(web("late"))
        wait_for(lambda: clean.record("late"), bool, 10, "the resync within 10 s of its return")
    clean.api.apply(clean.pod("p3", "n3"))
    clean.routed(EIP, "n1", "n2", "n3", within=60)  # Kubernetes' own controllers take their time
    assert clean.api.writes() - writes <= 12, "a few for the new Service, none for the old"


def test_a_restart_while_the_api_server_is_away_keeps_every_route(clean: Cluster) -> None:
    with clean.running(bgp={"restart_time": "20"}) as program:
        placed(clean, "n1", "n2")
        bound(program)
        with clean.no_route_lost(), stays_bound(program.host, EIP):
            clean.api.kill_server()
            program.kill()
            program.start(ready=False)
            # after half of the restart time; before, the leaf keeps what it had
            program.logs("the routes of the earlier run are announced", 30)
            clean.api.start_server()
            wait_for(program.is_ready, bool, 30, "it to be ready")
        clean.api.apply(clean.pod("p3", "n3"))
        clean.routed(EIP, "n1", "n2", "n3", within=60)


def test_the_watches_hang_and_nobody_says_so(clean: Cluster, program: Program) -> None:
    """A firewall forgets the connections that are there; new ones pass."""
    sockets = program.host.run(f"ss -Htn state established dst {CONTROL}").splitlines()
    ports = [line.split()[2].rsplit(":", 1)[1] for line in sockets]
    assert len(ports) >= 5
    rules = [f"-p tcp -s {CONTROL} --dport {port} -j DROP" for port in ports]
    for rule in rules:
        program.host.run(f"iptables -I INPUT {rule}")
    try:
        clean.api.delete("pod", "p-n2")
        clean.routed(EIP, "n1", within=30)
    finally:
        for rule in rules:
            program.host.run(f"iptables -D INPUT {rule}")


def recorded(cluster: Cluster, name: str, address: str) -> None:
    """A Service of which another instance would have written the record."""
    cluster.api.apply(web(name))
    patch = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
    words = ("patch", "service", name, "--subresource=status", "--type=merge", "-p")
    cluster.api.kubectl(*words, json.dumps(patch))


@pytest.mark.parametrize("round_", rounds())
def test_etcd_is_compacted_under_a_watch_that_is_behind(clean: Cluster, round_: int) -> None:
    """410: what is listed anew differs, and the difference alone is acted upon.

    An instance that only follows: one that takes the Lease lists anew for that reason alone.
    """
    gone, late = "203.0.113.9", "203.0.113.10"
    with clean.running(porter={"allocate": "false"}) as program:
        clean.api.apply(clean.pod("p1", "n1"), clean.pod("p2", "n2"))
        recorded(clean, "web", EIP)
        recorded(clean, "gone", gone)
        clean.routed(EIP, "n1", "n2")
        clean.routed(gone, "n1", "n2")
        silence(program.host, CONTROL)
        with clean.no_route_lost(EIP):
            for _ in range(2):
                # twice: the first one's kernel still delivers what it had to say before it ended
                clean.api.kill_server()
                clean.api.start_server()
                clean.api.delete("service", "gone")
                recorded(clean, "late", late)
                clean.api.compact()
            assert clean.leaf.routes().keys() == {EIP, gone}
            end_silence(program.host, CONTROL)
            clean.routed(gone, within=30)
            clean.routed(late, "n1", "n2", within=30)
        restarts = "porter_kubernetes_watch_restarts_total"
        assert program.counted(restarts, reason="Gone"), program.counted(restarts)


def test_etcd_comes_back_from_a_backup(clean: Cluster, program: Program) -> None:
    """Versions begin again, far below those that were known; what was made since is gone."""
    clean.api.back_up()
    blank = {"apiVersion": "v1", "kind": "ConfigMap"}
    clean.api.apply(*({**blank, "metadata": {"name": f"c{i}"}} for i in range(200)))
    clean.api.apply(web("since"))
    wait_for(lambda: clean.record("since"), bool, 5, "an address")
    since = clean.record("since")[0]
    clean.routed(since, "n1", "n2")
    clean.api.kubectl("annotate", "service", "web", "lb.kubesphere.io/v1alpha1-")
    clean.routed(EIP)
    clean.api.restore()
    clean.routed(EIP, "n1", "n2", within=60)
    clean.routed(since, within=30)
    assert clean.record("web") == [EIP]
    clean.api.apply(web("late"))
    wait_for(lambda: clean.record("late"), bool, 20, "it writes again")
    # as Kubernetes asks for: what a kube-proxy knows of the time after the backup never ends
    for worker in clean.workers.values():
        worker.kill_proxy()
        worker.start_proxy()


@pytest.mark.parametrize("round_", rounds())
def test_all_nodes_fall_silent_at_once(clean: Cluster, round_: int) -> None:
    with clean.running() as program:
        placed(clean, *EVERY)
        with clean.no_route_lost():
            for worker in clean.workers.values():
                worker.fall_silent()
            wait_for(lambda: doubts(program), bool, 30, "the alarm")
            wait_for(
                lambda: [
                    condition["status"]
                    for pod in clean.api.get("pod")["items"]
                    for condition in pod["status"]["conditions"]
                    if condition["type"] == "Ready"
                ],
                lambda seen: seen == ["False"] * len(EVERY),
                30,
                "the Pods to be called not ready",
            )
            for worker in clean.workers.values():
                worker.speak()
            wait_for(lambda: doubts(program), lambda d: not d, 30, "the end of the alarm")
            clean.api.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s")
        clean.api.delete("pod", "p-n4")
        clean.routed(EIP, "n1", "n2", "n3")


def test_it_sleeps_through_a_change_and_wakes(clean: Cluster, program: Program) -> None:
    """SIGSTOP, shorter than the hold time."""
    program.process.send_signal(signal.SIGSTOP)
    clean.api.delete("pod", "p-n2")
    clean.api.apply(clean.pod("p3", "n3"))
    clean.api.kubectl("wait", "--for=condition=Ready", "pod/p3", "--timeout=120s")
    program.process.send_signal(signal.SIGCONT)
    clean.routed(EIP, "n1", "n3")
