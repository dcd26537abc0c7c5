"""What goes wrong between the program and the API server, and in the API server's view.

Each test names its fault.  While it lasts nothing is withdrawn that should be there; after it, the
state is what the cluster implies, and the number of writes is bounded.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric import wait_for
from fabric.control_plane import NAMESPACE
from fabric.objects import eip
from fabric.program import Program
from tests.cluster.harness import (
    CONTROL,
    NODES,
    PROXY_PORT,
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
        lambda: {c["reason"] for c in cluster.api.get("service", "web")["status"]["conditions"]},
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
    with clean.running(bgp={"restart_time": "10"}) as program:
        placed(clean, "n1", "n2")
        bound(program)
        with clean.no_route_lost(), stays_bound(program.host, EIP):
            clean.api.kill_server()
            program.kill()
            program.start(ready=False)
            clean.leaf.host.run("sleep 15", seconds=20)
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


@pytest.fixture
def faults(cluster: Cluster) -> Iterator[Path]:
    """A proxy before the API server, and the file that tells it what to do."""
    host = cluster.fabric.hosts["control"]
    file = host.folder / "faults.json"
    file.write_text(json.dumps({"share": 0.2, "codes": [409, 429, 500]}))
    script = Path(__file__).parent / "fault_proxy.py"
    upstream = cluster.api.url.rsplit(":", 1)[1]
    proxy = host.spawn(
        [sys.executable, str(script), CONTROL, str(PROXY_PORT), upstream, str(file)], "proxy.log"
    )
    listening = f"ss -Htln sport = :{PROXY_PORT}"
    wait_for(lambda: host.run(listening), bool, 10, "the proxy to listen")
    yield file
    proxy.kill()
    proxy.wait()


@pytest.mark.parametrize("round_", rounds())
def test_a_fifth_of_all_calls_fails(clean: Cluster, faults: Path, round_: int) -> None:
    clean.api.apply(eip("big", "203.0.113.64/27"), clean.pod("p1", "n1"))
    account = clean.api.service_account("porter-ryu", f"http://{CONTROL}:{PROXY_PORT}")
    names = [f"s{i}" for i in range(20)]
    with clean.running("porter", account):
        writes = clean.api.writes()
        clean.api.apply(*(web(name, app=f"a{i % 4}") for i, name in enumerate(names)))
        for app in range(4):
            clean.api.apply(clean.pod(f"a{app}", f"n{app + 1}", app=f"a{app}"))
        want = {f"n{i % 4 + 1}" for i in range(20)}
        assert want == set(EVERY)

        def settled() -> bool:
            held = [clean.record(name) for name in names]
            return all(held) and len({h[0] for h in held}) == len(names)

        wait_for(settled, bool, 60, "every Service to have an address of its own")
        for i, name in enumerate(names):
            clean.routed(clean.record(name)[0], f"n{i % 4 + 1}", within=20)
        spent = clean.api.writes() - writes
        assert spent <= 6 * len(names), f"{spent} writes for {len(names)} Services"
        clean.api.kubectl("delete", "service", *names)
        wait_for(clean.leaf.routes, lambda routes: not routes, 30, "no route to be left")
        clean.free("big")
    clean.api.delete("eip", "big")


def restarts(program: Program) -> float:
    """How many watches had to be begun again, as a scrape says."""
    return sum(program.counted("porter_kubernetes_watch_restarts_total").values())


def test_every_watch_is_refused_for_a_while(clean: Cluster, faults: Path) -> None:
    """410 to each: what is there is still listed, ever more seldom, and all is well afterwards."""
    account = clean.api.service_account("porter-ryu", f"http://{CONTROL}:{PROXY_PORT}")
    faults.write_text(json.dumps({"share": 0, "codes": [500]}))
    with clean.running("porter", account) as program:
        placed(clean, "n1", "n2")
        with clean.no_route_lost():
            faults.write_text(json.dumps({"share": 0, "codes": [500], "watch": 410}))
            wait_for(lambda: restarts(program), lambda count: count > 5, 60, "the refusals")
            before = restarts(program)
            clean.leaf.host.run("sleep 20", seconds=30)
            assert restarts(program) - before <= 30, "six for each kind in 20 s"
        clean.api.apply(clean.pod("p3", "n3"))
        clean.routed(EIP, "n1", "n2", "n3", within=40)
        faults.write_text(json.dumps({"share": 0, "codes": [500]}))
        clean.api.delete("pod", "p3")
        clean.routed(EIP, "n1", "n2", within=40)


def test_a_token_that_is_refused_is_read_again_from_disk(clean: Cluster) -> None:
    """It is bound to a Secret, and ends with it."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": NAMESPACE},
    }
    clean.api.apply(secret)
    token = clean.fabric.hosts["porter"].folder / "token"
    bound = ("--bound-object-kind", "Secret", "--bound-object-name", "s")
    token.write_text(clean.api.token("porter-ryu", *bound))
    account = clean.api.kubeconfig("by-file", "", token_file=str(token))
    with clean.running("porter", account) as program:
        placed(clean, "n1", "n2")
        with clean.no_route_lost():
            clean.api.delete("secret", "s", "-n", NAMESPACE)
            wait_for(
                lambda: program.host.log(program.log),
                lambda log: "Unauthorized" in log,
                90,
                "it to be refused",
            )
            token.write_text(clean.api.token("porter-ryu"))
        clean.api.apply(web("late"), clean.pod("p3", "n3"))
        clean.routed(EIP, "n1", "n2", "n3", within=20)
        wait_for(lambda: clean.record("late"), bool, 20, "an address: it writes again")
        assert token.read_text() not in program.host.log(program.log)


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
                    for pod in clean.api.get("pods")["items"]
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
            clean.api.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=30s")
        clean.api.delete("pod", "p-n4")
        clean.routed(EIP, "n1", "n2", "n3")


def test_it_sleeps_through_a_change_and_wakes(clean: Cluster, program: Program) -> None:
    """SIGSTOP, shorter than the hold time."""
    program.process.send_signal(signal.SIGSTOP)
    clean.api.delete("pod", "p-n2")
    clean.api.apply(clean.pod("p3", "n3"))
    clean.api.kubectl("wait", "--for=condition=Ready", "pod/p3", "--timeout=20s")
    program.process.send_signal(signal.SIGCONT)
    clean.routed(EIP, "n1", "n3")
