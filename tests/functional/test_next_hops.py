"""After each change of the cluster every leaf has exactly the right next hops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from fabric import wait_for
from fabric.leaves import Leaf
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program

NODES = {"n1": "192.168.7.11", "n2": "192.168.7.12", "n3": "192.168.7.13", "n4": "192.168.7.14"}
WITHIN_SECONDS = 3.0


def next_hops(leaf: Leaf, prefix: str, version: int) -> frozenset[str]:
    """The next hops of a prefix on a leaf."""
    return leaf.routes(version).get(prefix, frozenset())


def expect(
    leaves: Mapping[str, Leaf],
    prefix: str,
    *nodes: str,
    version: int = 4,
    addresses: Mapping[str, str] = NODES,
) -> None:
    """Waits until each leaf has exactly these nodes as next hops of the prefix (none: no route)."""
    wanted = frozenset(addresses[n] for n in nodes)
    for name, leaf in leaves.items():
        wait_for(
            partial(next_hops, leaf, prefix, version),
            lambda seen: seen == wanted,
            WITHIN_SECONDS,
            f"{name}'s next hops of {prefix} to be {sorted(wanted)}",
        )


@pytest.fixture(autouse=True)
def cluster(program: Program, leaves: dict[str, Leaf]) -> Iterator[None]:
    """Four nodes, a pool, and a Service with endpoints on two of them."""
    for name, address in NODES.items():
        program.put(name, node(name, address))
    program.put("pool", eip("pool", "203.0.113.8/29"))
    program.put("web", service("web"))
    program.put("slice", slice_of("web", "n1", "n2"))
    expect(leaves, "203.0.113.8", "n1", "n2")
    yield
    for file in list(program.manifests.glob("*.yaml")):
        file.unlink()
    wait_for(
        lambda: program.get("/v1/eips"), lambda left: not left, WITHIN_SECONDS, "the Eips to go"
    )
    wait_for(
        lambda: program.get("/v1/services"), lambda left: not left, WITHIN_SECONDS, "all to go"
    )
    for address in ("203.0.113.8", "203.0.113.9", "203.0.113.10"):
        expect(leaves, address)


def test_an_endpoint_comes_and_goes(program: Program, leaves: dict[str, Leaf]) -> None:
    program.put("slice", slice_of("web", "n1", "n2", "n3"))
    expect(leaves, "203.0.113.8", "n1", "n2", "n3")
    program.put("slice", slice_of("web", "n3"))
    expect(leaves, "203.0.113.8", "n3")
    program.put("slice", slice_of("web"))
    expect(leaves, "203.0.113.8")
    wait_for(
        lambda: {
            c["type"].split("/")[1]: c["reason"]
            for c in program.status("services", "default/web").get("conditions", [])
        },
        lambda seen: seen == {"Allocated": "Allocated", "Announced": "NoReadyEndpoints"},
        WITHIN_SECONDS,
        "the conditions",
    )


def test_most_of_the_nodes_are_lost_and_come_back(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    program.put("slice", slice_of("web", *NODES))
    expect(leaves, "203.0.113.8", *NODES)
    for name in ("n1", "n2", "n3"):
        program.put(name, node(name, NODES[name], ready=False))
    expect(leaves, "203.0.113.8", "n4")
    for name in ("n1", "n2", "n3"):
        program.put(name, node(name, NODES[name]))
    expect(leaves, "203.0.113.8", *NODES)


def test_next_hops_come_from_all_slices_of_a_service(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    program.put("second", slice_of("web", "n4", name="web-2"))
    expect(leaves, "203.0.113.8", "n1", "n2", "n4")
    program.put("slice", slice_of("web"))
    expect(leaves, "203.0.113.8", "n4")


def test_terminating_endpoints_serve_only_while_nothing_is_ready(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    draining = slice_of("web", "n3", name="web-2", ready=False, serving=True, terminating=True)
    program.put("second", draining)
    program.put("slice", slice_of("web", "n1"))
    expect(leaves, "203.0.113.8", "n1")
    program.put("slice", slice_of("web"))
    expect(leaves, "203.0.113.8", "n3")


@pytest.mark.parametrize(
    "unusable",
    [
        node("n2", NODES["n2"], ready=False),
        node("n2", NODES["n2"], unavailable=True),
        node(
            "n2",
            NODES["n2"],
            labels={"node.kubernetes.io/exclude-from-external-load-balancers": ""},
        ),
        node("n2", NODES["n2"], deletionTimestamp="2026-01-01T00:00:00Z"),
        node("n2"),
        node("n2", NODES["n2"], spec={"taints": [{"key": "node.kubernetes.io/out-of-service"}]}),
    ],
    ids=[
        "not-ready",
        "network-unavailable",
        "excluded",
        "being-deleted",
        "no-address",
        "out-of-service",
    ],
)
def test_an_unusable_node_is_no_next_hop_until_it_is_usable_again(
    program: Program, leaves: dict[str, Leaf], unusable: Json
) -> None:
    program.put("n2", unusable)
    expect(leaves, "203.0.113.8", "n1")
    program.put("n2", node("n2", NODES["n2"]))
    expect(leaves, "203.0.113.8", "n1", "n2")


def test_a_cordoned_node_stays(program: Program, leaves: dict[str, Leaf]) -> None:
    program.put("n2", node("n2", NODES["n2"], spec={"unschedulable": True}))
    program.put("slice", slice_of("web", "n2"))
    expect(leaves, "203.0.113.8", "n2")


def test_a_node_that_changes_its_address_or_is_deleted(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    program.put("n2", node("n2", "192.168.7.22"))
    expect(leaves, "203.0.113.8", "n1", "new", addresses={**NODES, "new": "192.168.7.22"})
    program.remove("n2")
    expect(leaves, "203.0.113.8", "n1")


@pytest.mark.parametrize(
    "other",
    [service("web", ours=False), service("web", type="ClusterIP")],
    ids=["annotation-removed", "retyped"],
)
def test_a_service_that_stops_being_ours(
    program: Program, leaves: dict[str, Leaf], other: Json
) -> None:
    program.put("web", other)
    expect(leaves, "203.0.113.8")
    wait_for(lambda: program.status("services", "default/web"), lambda s: not s, 2, "its status")
    program.put("web", service("web"))
    expect(leaves, "203.0.113.8", "n1", "n2")


def test_a_changed_pool_changes_only_addresses_that_it_no_longer_has(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    program.put("other", service("other"), slice_of("other", "n3"))
    expect(leaves, "203.0.113.9", "n3")
    program.put("pool", eip("pool", "203.0.113.9-203.0.113.12"))
    expect(leaves, "203.0.113.10", "n1", "n2")
    expect(leaves, "203.0.113.8")
    expect(leaves, "203.0.113.9", "n3")


def test_a_service_deleted_frees_its_address(program: Program, leaves: dict[str, Leaf]) -> None:
    program.remove("web")
    expect(leaves, "203.0.113.8")
    wait_for(lambda: program.status("services", "default/web"), lambda s: not s, 2, "its status")


def test_broken_objects_affect_no_other_and_are_reported_once(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    (program.manifests / "broken.yaml").write_text("kind: [\n")
    program.put("odd", {**slice_of("nowhere", "n1"), "endpoints": "none"})
    program.put("orphan", slice_of("orphan", "n1"))
    program.put("bare", node("bare"))
    program.put("bad-eip", eip("bad", "not-an-address"))
    program.put(
        "bad-service", service("bad", annotations={"eip.porter.kubesphere.io/v1alpha1": "nonsense"})
    )
    program.put("slice", slice_of("web", "n4"))
    expect(leaves, "203.0.113.8", "n4")
    wait_for(
        lambda: program.status("services", "default/bad").get("conditions", [{}])[0].get("reason"),
        lambda reason: reason == "InvalidRequest",
        2,
        "the reason of the bad request",
    )
    wait_for(
        lambda: program.status("eips", "bad").get("conditions", [{}])[0].get("reason"),
        lambda reason: reason == "InvalidAddress",
        2,
        "the reason of the bad Eip",
    )
    said = (
        "broken.yaml:2:",
        "node bare has no address",
        "odd.yaml:1: endpointslices default/nowhere-ipv4",
    )
    for text in said:
        program.logs(text)
    orphan = "endpointslice default/orphan-ipv4 is of Service default/orphan, which is not there"
    log = wait_for(
        lambda: program.host.log(program.log),
        lambda text: orphan in text,
        30,
        "the EndpointSlice without a Service, which is told when that lasts",
    )
    assert [log.count(text) for text in (*said, orphan)] == [1] * 4
