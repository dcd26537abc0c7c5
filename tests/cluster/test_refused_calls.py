"""The API server refuses some calls, every watch, or the token."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric import wait_for
from fabric.control_plane import NAMESPACE
from fabric.files import replace
from fabric.objects import eip
from fabric.program import Program
from tests.cluster.harness import CONTROL, PROXY_PORT, Cluster, web
from tests.cluster.test_faults import EIP, EVERY, placed
from tests.rounds import rounds


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
    replace(faults, json.dumps({"share": 0, "codes": [500]}))
    with clean.running("porter", account) as program:
        placed(clean, "n1", "n2")
        with clean.no_route_lost():
            replace(faults, json.dumps({"share": 0, "codes": [500], "watch": 410}))
            wait_for(lambda: restarts(program), lambda count: count > 5, 60, "the refusals")
            before = restarts(program)
            clean.leaf.host.run("sleep 20", seconds=30)
            assert restarts(program) - before <= 30, "six for each kind in 20 s"
        clean.api.apply(clean.pod("p3", "n3"))
        clean.routed(EIP, "n1", "n2", "n3", within=40)
        replace(faults, json.dumps({"share": 0, "codes": [500]}))
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
            clean.api.delete("secret", "s", namespace=NAMESPACE)
            wait_for(
                lambda: program.host.log(program.log),
                lambda log: "Unauthorized" in log,
                90,
                "it to be refused",
            )
            replace(token, clean.api.token("porter-ryu"))
        clean.api.apply(web("late"), clean.pod("p3", "n3"))
        clean.routed(EIP, "n1", "n2", "n3", within=20)
        wait_for(lambda: clean.record("late"), bool, 20, "an address: it writes again")
        assert token.read_text() not in program.host.log(program.log)
