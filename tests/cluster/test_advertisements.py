"""spec.advertisements on a cluster: an aggregate under load, a Local Service beside it, and what a
Service may not add."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fabric import wait_for
from fabric.objects import Json, eip
from fabric.program import Program
from tests.cluster.conftest import POOL
from tests.cluster.harness import NODES, Cluster, web
from tests.cluster.test_end_to_end import answering

EIP = "203.0.113.8"


@pytest.fixture(scope="module")
def program(cluster: Cluster) -> Iterator[Program]:
    """The one central instance."""
    with cluster.running() as program:
        yield program


def advertise(cluster: Cluster, *entries: Json, **spec: object) -> None:
    """Changes the Eip."""
    cluster.api.apply(eip("pool", POOL, advertisements=list(entries), **spec))


def test_no_request_is_lost_when_an_aggregate_takes_the_place_of_an_address(
    program: Program, clean: Cluster
) -> None:
    clean.api.apply(web(), *(clean.pod(f"p{i}", node) for i, node in enumerate(NODES)))
    clean.routed(EIP, *NODES)
    for node in NODES:
        clean.proxied(EIP, "p0", node)
    with clean.load(EIP) as seen:
        for _ in range(3):
            advertise(clean, {"aggregationLength": 29})
            clean.routed(EIP)
            clean.routed(POOL, *NODES)
            advertise(clean)
            clean.routed(POOL)
            clean.routed(EIP, *NODES)
    assert (seen["lost"], len(seen["answers"])) == (0, len(NODES)), seen


def test_a_local_service_has_a_route_of_its_own_beside_the_aggregate(
    program: Program, clean: Cluster
) -> None:
    advertise(clean, {"aggregationLength": 29})
    clean.api.apply(web(policy="Local"), clean.pod("p1", "n1"))
    clean.routed(POOL, *NODES)
    clean.routed(EIP, "n1")
    clean.proxied(EIP, "p1", "n1")
    answering(clean, "p1", policy="Local")
    clean.api.delete("service", "web")
    clean.routed(POOL)
    clean.routed(EIP)


def test_a_community_that_is_not_allowed_is_an_event_of_the_service(
    program: Program, clean: Cluster
) -> None:
    advertise(clean, allowedCommunities=["65000:1"])
    asked = web()
    asked["metadata"]["annotations"]["eip.porter.kubesphere.io/communities"] = "65000:1,65000:2"
    clean.api.apply(asked, clean.pod("p1", "n1"))
    clean.routed(EIP, "n1")

    def events() -> list[str]:
        found = clean.api.get("event")
        return [
            event["message"]
            for event in found["items"]
            if event["reason"] == "CommunityNotAllowed"
            and event["involvedObject"].get("name") == "web"
            and event["count"] == 1
        ]

    message = "Eip pool does not allow a Service to add 65000:2"
    wait_for(events, lambda found: found == [message], 5, "one Event")
