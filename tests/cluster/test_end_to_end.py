"""From a client through the leaf, a node's kube-proxy and a Pod, while the cluster changes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from fabric import wait_for
from fabric.objects import Json, eip
from fabric.program import Program
from tests.cluster.harness import CLIENT, CLIENT6, Cluster, web
from tests.cluster.kubelet import READY

EIP, EIP6 = "203.0.113.8", "2001:db8:8::"
POLICIES = pytest.mark.parametrize("policy", ["Cluster", "Local"])


@pytest.fixture(scope="module")
def program(cluster: Cluster) -> Iterator[Program]:
    """The one central instance."""
    with cluster.running() as program:
        yield program


def answering(cluster: Cluster, *pods: str, policy: str = "Cluster", address: str = EIP) -> None:
    """The client comes to be answered by exactly these Pods; `Local` keeps its address.

    A node's kube-proxy may be a moment behind the leaf's route to it.
    """
    own = CLIENT6 if ":" in address else CLIENT

    def asked() -> set[str]:
        answers = [cluster.ask(address) or ["nobody", own] for _ in range(10 * (3 + len(pods)))]
        assert policy == "Cluster" or {client for _, client in answers} == {own}
        return {pod for pod, _ in answers}

    wait_for(asked, lambda seen: seen == set(pods), 20, f"{address} to be answered by {pods}")


@POLICIES
def test_pods_ready_not_ready_deleted(program: Program, clean: Cluster, policy: str) -> None:
    clean.api.apply(web(policy=policy), clean.pod("p1", "n1"), clean.pod("p2", "n2"))
    clean.routed(EIP, "n1", "n2")
    answering(clean, "p1", "p2", policy=policy)
    clean.api.kubectl("annotate", "pod", "p1", f"{READY}=false")
    clean.routed(EIP, "n2")
    answering(clean, "p2", policy=policy)
    clean.api.kubectl("annotate", "pod", "p1", f"{READY}-")
    clean.routed(EIP, "n1", "n2")
    clean.api.delete("pod", "p2")
    clean.routed(EIP, "n1")
    answering(clean, "p1", policy=policy)
    clean.api.delete("pod", "p1")
    clean.routed(EIP)
    assert clean.record("web") == [EIP], "the address stays"


@POLICIES
@pytest.mark.parametrize("families", [("IPv4", "IPv6"), ("IPv6",)], ids=["both", "IPv6 only"])
def test_ipv6(program: Program, clean: Cluster, families: tuple[str, ...], policy: str) -> None:
    clean.api.apply(eip("six", "2001:db8:8::/125"))
    stack = "RequireDualStack" if len(families) > 1 else "SingleStack"
    clean.api.apply(
        web(policy=policy, families=families, ipFamilyPolicy=stack),
        clean.pod("p1", "n1"),
        clean.pod("p2", "n2"),
    )
    addresses = (EIP, EIP6)[-len(families) :]
    for address in addresses:
        clean.routed(address, "n1", "n2")
        answering(clean, "p1", "p2", policy=policy, address=address)
    assert clean.record("web") == list(addresses)
    clean.api.kubectl("annotate", "pod", "p1", f"{READY}=false")
    for address in addresses:
        clean.routed(address, "n2")
        answering(clean, "p2", policy=policy, address=address)
    clean.api.delete("service", "web")
    for address in addresses:
        clean.routed(address)
    clean.free("six")
    clean.api.delete("eip", "six")


@POLICIES
def test_every_pod_is_replaced_and_no_request_is_lost(
    program: Program, clean: Cluster, policy: str
) -> None:
    nodes = [f"n{1 + i % 4}" for i in range(8)]
    # the EndpointSlice controller, whose cache is behind for a moment, tries again after 1, 2, 4 s
    old = [clean.pod(f"old{i}", node, grace=8) for i, node in enumerate(nodes)]
    clean.api.apply(web(policy=policy), *old)
    clean.routed(EIP, *set(nodes))
    # a request that meets a node before its kube-proxy knows the Service loops until its TTL ends
    answering(clean, *(f"old{i}" for i in range(8)), policy=policy)
    with clean.load(EIP, rate=100) as seen:
        for i, node in enumerate(nodes):
            clean.api.apply(clean.pod(f"new{i}", node))
            clean.api.kubectl("wait", "--for=condition=Ready", f"pod/new{i}", "--timeout=120s")
            clean.api.delete("pod", f"old{i}")
        clean.api.kubectl("wait", "--for=delete", "pod/old7", "--timeout=120s")
    assert seen["lost"] == 0, seen
    assert {f"new{i}" for i in range(8)} <= seen["answers"].keys()
    if policy == "Local":
        assert set(seen["clients"]) == {CLIENT}


@POLICIES
def test_a_node_falls_silent_and_comes_back(program: Program, clean: Cluster, policy: str) -> None:
    clean.api.apply(web(policy=policy), *(clean.pod(f"p{i}", f"n{i}") for i in range(1, 5)))
    clean.routed(EIP, "n1", "n2", "n3", "n4")
    clean.workers["n2"].fall_silent()
    clean.routed(EIP, "n1", "n3", "n4", within=20)
    answering(clean, "p1", "p3", "p4", policy=policy)
    clean.workers["n2"].speak()
    clean.routed(EIP, "n1", "n2", "n3", "n4", within=20)


def test_a_node_is_deleted_and_joins_again(program: Program, clean: Cluster) -> None:
    clean.api.apply(web(), *(clean.pod(f"p{i}", f"n{i}") for i in (1, 2)))
    clean.routed(EIP, "n1", "n2")
    clean.api.delete("node", "n2")
    clean.routed(EIP, "n1")
    clean.api.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}})
    clean.routed(EIP, "n1", "n2", within=20)


def test_a_cordoned_node_stays_and_an_excluded_one_goes(program: Program, clean: Cluster) -> None:
    clean.api.apply(web(), *(clean.pod(f"p{i}", f"n{i}") for i in (1, 2)))
    clean.routed(EIP, "n1", "n2")
    label = "node.kubernetes.io/exclude-from-external-load-balancers"
    clean.api.kubectl("cordon", "n1")
    clean.api.kubectl("label", "node", "n2", f"{label}=")
    clean.routed(EIP, "n1")
    answering(clean, "p1", "p2")
    clean.api.kubectl("uncordon", "n1")
    clean.api.kubectl("label", "node", "n2", f"{label}-")
    clean.routed(EIP, "n1", "n2")


def test_what_happens_while_the_program_is_down_is_done_when_it_is_back(
    program: Program, clean: Cluster
) -> None:
    names = ("kept", "retyped", "gone")
    clean.api.apply(*(web(name) for name in names), clean.pod("p1", "n1"))
    clean.routed(EIP, "n1")
    addresses = {
        name: wait_for(partial(clean.record, name), bool, 5, f"an address of {name}")[0]
        for name in names
    }
    for address in addresses.values():
        clean.routed(address, "n1")
    assert program.stop() == 0
    clean.api.kubectl("patch", "service", "retyped", "-p", '{"spec": {"type": "ClusterIP"}}')
    clean.api.delete("service", "gone")
    clean.api.apply(web("created"), clean.pod("p2", "n2"))
    assert clean.leaf.routes().keys() == set(addresses.values()), "the leaf keeps all routes"
    program.start()
    clean.routed(addresses["kept"], "n1", "n2")
    # it may be an address that was given back: then the route never goes for longer than a write
    created = wait_for(lambda: clean.record("created"), bool, 10, "an address of the new one")[0]
    wait_for(
        lambda: clean.leaf.routes().keys(),
        lambda routes: routes == {addresses["kept"], created},
        10,
        "routes of two Services",
    )
    clean.routed(created, "n1", "n2")
    assert clean.record("kept") == [addresses["kept"]]
    wait_for(
        lambda: clean.api.get("service", "retyped")["status"].get("conditions", []),
        lambda conditions: not any(c["type"].startswith("porter.") for c in conditions),
        10,
        "no condition of ours",
    )
    assert not clean.record("retyped")


def test_a_kind_in_which_nothing_changes_is_still_heard_of(
    program: Program, clean: Cluster
) -> None:
    """Its watches end and begin again; the API server may send no event for days."""
    assert clean.api
    last = 'porter_kubernetes_last_{}_timestamp_seconds{{kind="namespaces"}}'.format

    def watched() -> float:
        return program.metric(last("watch")) or 0.0

    listed = program.metric(last("list"))
    assert listed
    begun = wait_for(watched, bool, 10, "a watch")
    wait_for(watched, lambda at: at > begun, 100, "another watch")
    assert program.metric(last("list")) == listed, "it was watched, not listed again"


def test_a_namespace_is_deleted(program: Program, clean: Cluster) -> None:
    def of_tenant(obj: Json) -> Json:
        return {**obj, "metadata": {**obj["metadata"], "namespace": "tenant"}}

    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant"}}
    clean.api.apply(namespace, of_tenant(web()), of_tenant(clean.pod("p1", "n1")))
    clean.routed(EIP, "n1")
    clean.api.delete("namespace", "tenant")
    clean.routed(EIP)
    clean.free("pool")
    clean.api.apply(web("next"), clean.pod("p2", "n2"))
    clean.routed(EIP, "n2")


def test_conditions_events_and_the_pool_say_what_is(program: Program, clean: Cluster) -> None:
    clean.api.apply(
        web(), web("wish", annotations={"eip.porter.kubesphere.io/v1alpha1": "9.9.9.9"})
    )

    def reasons(name: str) -> set[tuple[str, str]]:
        found = clean.api.get("service", name)["status"].get("conditions", [])
        return {(c["reason"], c["status"]) for c in found if c["type"].startswith("porter.")}

    want = {("Allocated", "True"), ("NoReadyEndpoints", "False")}
    wait_for(lambda: reasons("web"), lambda seen: seen == want, 5, "the conditions")
    clean.api.apply(clean.pod("p1", "n1"))
    want = {("Allocated", "True"), ("Announced", "True")}
    wait_for(lambda: reasons("web"), lambda seen: seen == want, 5, "the conditions")
    want = {("AddressNotInPool", "False"), ("NoAddress", "False")}
    wait_for(lambda: reasons("wish"), lambda seen: seen == want, 5, "the reason")
    # the Service of an earlier test may have held it a moment ago
    holder = {EIP: "default/web"}
    wait_for(lambda: clean.used("pool", 1)["used"], lambda seen: seen == holder, 5, "the holder")
    events = {("web", "Allocated"), ("web", "Announced"), ("wish", "AddressNotInPool")}
    wait_for(
        lambda: {
            (event["involvedObject"].get("name"), event["reason"])
            for event in clean.api.get("event")["items"]
        },
        events.issubset,
        5,
        "the Events",
    )
    bound = "ip -br address show"
    wait_for(
        lambda: program.host.run(bound),
        lambda text: f"{EIP}/32" in text,
        5,
        "the instance that leads to bind the address",
    )
    # a pool that changes moves who is outside it, and says so
    clean.api.apply(eip("pool", "203.0.113.12-203.0.113.15"))
    clean.routed("203.0.113.12", "n1")
    clean.routed(EIP)
    wait_for(
        lambda: [e.get("message", "") for e in clean.api.get("event")["items"]],
        lambda texts: any(text.startswith(f"from {EIP} to 203.0.113.12: ") for text in texts),
        5,
        "the Event of the move",
    )


def test_what_stops_being_ours_is_cleaned(program: Program, clean: Cluster) -> None:
    clean.api.apply(web(), clean.pod("p1", "n1"))
    clean.routed(EIP, "n1")
    clean.api.kubectl("annotate", "service", "web", "lb.kubesphere.io/v1alpha1-")
    clean.routed(EIP)
    wait_for(
        lambda: clean.api.get("service", "web")["status"],
        lambda s: not s["loadBalancer"] and not s.get("conditions"),
        10,
        "its status to be cleaned",
    )
