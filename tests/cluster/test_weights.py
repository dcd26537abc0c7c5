"""Weights by endpoints, with Pods that a real controller puts into EndpointSlices."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import pytest

from fabric import wait_for
from fabric.program import Program
from tests.cluster.harness import CLIENT, NODES, Cluster, web

EIP = "203.0.113.8"


@pytest.fixture(scope="module")
def program(cluster: Cluster) -> Iterator[Program]:
    """A central instance."""
    with cluster.running(bgp={"weights": "endpoints"}) as program:
        yield program


def shares(cluster: Cluster, **wanted: int) -> None:
    """The leaf's kernel comes to give these shares to nodes, in per cent."""
    by_address = {NODES[name]: share for name, share in wanted.items()}
    leaf = cluster.leaf.host
    wait_for(
        lambda: leaf.shares(EIP),
        lambda found: found == by_address,
        10,
        f"the shares to be {wanted}",
    )


def test_every_pod_gets_as_much_and_scaling_takes_no_route_away(
    program: Program, clean: Cluster
) -> None:
    pods = [clean.pod(name, name.partition("-")[0]) for name in ("n1-a", "n1-b", "n1-c", "n2-a")]
    clean.api.apply(web(policy="Local"), *pods)
    shares(clean, n1=75, n2=25)
    for node in ("n1", "n2"):
        clean.proxied(EIP, f"{node}-a", node)
    answers = [clean.ask(EIP) or ["nobody", CLIENT] for _ in range(200)]
    assert {client for _, client in answers} == {CLIENT}
    by_node = collections.Counter(pod.partition("-")[0] for pod, _ in answers)
    assert by_node.keys() == {"n1", "n2"}
    assert 0.6 * len(answers) < by_node["n1"] < 0.9 * len(answers)
    with clean.no_route_lost(EIP):
        clean.api.apply(clean.pod("n2-b", "n2"), clean.pod("n2-c", "n2"))
        shares(clean, n1=50, n2=50)
        for name in ("n1-b", "n1-c"):
            clean.api.delete("pod", name)
        shares(clean, n1=25, n2=75)
