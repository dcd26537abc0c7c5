"""The program against a real kube-apiserver, with the rights that its manifest ships."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.fabric import Fabric, FabricError, wait_for
from tests.fabric.leaves import Bird, Neighbour
from tests.fabric.objects import eip, node, service, slice_of
from tests.fabric.program import Program

CONTROL, OURS, LEAF, SECOND = "192.168.7.10", "192.168.7.5", "192.168.7.1", "192.168.7.6"
NODES = {f"n{i}": f"192.168.7.2{i}" for i in range(1, 4)}
NO_MANIFESTS = {"manifests": ""}


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    """Hosts for the control plane, two instances and the leaf."""
    with Fabric() as fabric:
        switch = fabric.switch("switch")
        addresses = {"control": CONTROL, "porter": OURS, "second": SECOND, "bird": LEAF}
        for name, address in addresses.items():
            fabric.link(fabric.host(name), switch, [f"{address}/24"], [])
            fabric.hosts[name].run(f"ip route add default via {CONTROL}", check=False)
        yield fabric


@pytest.fixture(scope="module")
def cluster(fabric: Fabric) -> Iterator[ControlPlane]:
    """The control plane with the shipped manifests applied, three nodes and a pool."""
    binaries = Path(os.environ["PORTER_RYU_KUBERNETES"])
    cluster = ControlPlane(fabric.hosts["control"], CONTROL, binaries).start()
    for manifest in ("deploy/porter-ryu.yaml", "deploy/porter-ryu-node.yaml"):
        cluster.kubectl("apply", "-f", manifest)
    cluster.kubectl(
        "wait", "--for=condition=Established", "crd/eips.network.kubesphere.io", "--timeout=20s"
    )
    cluster.apply(*(node(name, address) for name, address in NODES.items()))
    cluster.apply(eip("pool", "203.0.113.8/29"))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def leaf(fabric: Fabric) -> Iterator[Bird]:
    """BIRD, called by both instances."""
    us = [Neighbour(OURS, 65000), Neighbour(SECOND, 65000)]
    bird = Bird(fabric.hosts["bird"], 65001, LEAF, us).start()
    yield bird
    bird.stop()


def instance(fabric: Fabric, cluster: ControlPlane, host: str, address: str) -> Program:
    """An instance that runs with the ServiceAccount's token."""
    kubeconfig = cluster.service_account("porter-ryu")
    return Program(
        fabric.hosts[host],
        {
            # two of them announce the same: a dead one must not pin its next hops
            "porter": {"single_instance": "false"},
            "kubernetes": {"kubeconfig": kubeconfig, **NO_MANIFESTS},
            "bgp": {"local_as": 65000, "router_id": address, "peers": "leaf"},
            "peer:leaf": {"address": LEAF, "remote_as": 65001, "connect_retry": 1},
            "bound_ip": {"mode": "none"},
        },
    )


@pytest.fixture(scope="module")
def program(fabric: Fabric, cluster: ControlPlane, leaf: Bird) -> Iterator[Program]:
    """The first instance."""
    program = instance(fabric, cluster, "porter", OURS).start()
    yield program
    program.stop()


def routed(leaf: Bird, prefix: str, *names: str) -> None:
    """The leaf has exactly these next hops."""
    want = frozenset(NODES[name] for name in names)
    wait_for(
        lambda: leaf.routes().get(prefix, frozenset()),
        lambda seen: seen == want,
        10,
        f"{prefix} by {names}",
    )


def test_from_an_annotated_service_to_a_route_and_back(program, cluster, leaf):
    cluster.apply(service("web"), slice_of("web", "n1", "n2"))
    routed(leaf, "203.0.113.8", "n1", "n2")
    status = cluster.get("service", "web")["status"]
    assert status["loadBalancer"]["ingress"] == [{"ip": "203.0.113.8", "ipMode": "VIP"}]
    wait_for(
        lambda: {
            (c["reason"], c["status"])
            for c in cluster.get("service", "web")["status"]["conditions"]
            if c["type"].startswith("porter.kubesphere.io/")
        },
        lambda seen: seen == {("Allocated", "True"), ("Announced", "True")},
        5,
        "the conditions",
    )
    pool = wait_for(
        lambda: cluster.get("eip", "pool")["status"], lambda s: s["usage"] == 1, 5, "the usage"
    )
    assert pool["used"] == {"203.0.113.8": "default/web"}
    wait_for(
        lambda: {event["reason"] for event in cluster.get("events")["items"]},
        lambda seen: seen >= {"Allocated", "Announced"},
        5,
        "the Events",
    )

    cluster.apply(slice_of("web", "n3"))
    routed(leaf, "203.0.113.8", "n3")
    cluster.apply(node("n3", NODES["n3"], ready=False))
    routed(leaf, "203.0.113.8")
    cluster.apply(node("n3", NODES["n3"]))
    routed(leaf, "203.0.113.8", "n3")


def test_a_pool_in_use_is_protected_and_nonsense_is_refused(program, cluster, leaf):
    cluster.apply(service("web"), slice_of("web", "n3"))
    routed(leaf, "203.0.113.8", "n3")
    with pytest.raises(FabricError, match="in use"):
        cluster.kubectl("delete", "eip", "pool")
    with pytest.raises(FabricError, match="must be an IP address"):
        cluster.apply(eip("bad", "10.0.0.1/99"))
    openelb = eip("openelb", "10.9.0.1-10.9.0.9", protocol="bgp", interface="eth0", disable=True)
    cluster.apply(openelb)
    cluster.kubectl("delete", "eip", "openelb")


def test_a_request_that_is_refused_says_so(program, cluster, leaf):
    wish = {"eip.porter.kubesphere.io/v1alpha1": "10.11.12.13"}
    cluster.apply(service("wish", annotations=wish))
    wait_for(
        lambda: [
            c["reason"] for c in cluster.get("service", "wish")["status"].get("conditions", [])
        ],
        lambda reasons: "AddressNotInPool" in reasons,
        5,
        "the reason",
    )
    cluster.kubectl("delete", "service", "wish")


def test_the_api_server_goes_and_nothing_is_withdrawn(program, cluster, leaf):
    cluster.apply(service("web"), slice_of("web", "n1", "n3"))
    routed(leaf, "203.0.113.8", "n1", "n3")
    cluster.kill_server()
    wait_for(
        lambda: program.host.log(program.log), lambda log: "cannot be read" in log, 15, "a report"
    )
    assert leaf.routes()["203.0.113.8"] == frozenset([NODES["n1"], NODES["n3"]])
    cluster.start_server()
    cluster.apply(slice_of("web", "n2"))
    wait_for(
        lambda: leaf.routes().get("203.0.113.8"),
        lambda hops: hops == frozenset([NODES["n2"]]),
        25,
        "the change after the return",
    )


def test_a_second_instance_announces_the_same_and_takes_over(fabric, program, cluster, leaf):
    cluster.apply(service("web"), slice_of("web", "n1", "n2"))
    routed(leaf, "203.0.113.8", "n1", "n2")
    second = instance(fabric, cluster, "second", SECOND).start()
    wait_for(lambda: second.get("/v1/peers")[0]["paths"]["ipv4"], lambda n: n == 2, 10, "its paths")
    program.kill()
    wait_for(lambda: second.host.log(second.log), lambda log: "leads now" in log, 20, "a takeover")
    routed(leaf, "203.0.113.8", "n1", "n2")
    cluster.apply(service("late"), slice_of("late", "n1"))
    routed(leaf, "203.0.113.9", "n1")
    program.start()
    second.stop()
    routed(leaf, "203.0.113.9", "n1")


def test_what_stops_being_ours_is_cleaned(program, cluster, leaf):
    cluster.apply(service("web"), slice_of("web", "n1"))
    routed(leaf, "203.0.113.8", "n1")
    cluster.kubectl("annotate", "service", "web", "lb.kubesphere.io/v1alpha1-")
    routed(leaf, "203.0.113.8")
    wait_for(
        lambda: cluster.get("service", "web")["status"],
        lambda s: not s["loadBalancer"] and not s.get("conditions"),
        10,
        "its status to be cleaned",
    )
    cluster.kubectl("delete", "service", "late")
    routed(leaf, "203.0.113.9")
