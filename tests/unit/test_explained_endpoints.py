"""Where the endpoints of a Service are, as its explanation tells it."""

from __future__ import annotations

from msgspec import structs

from porter_ryu import report
from porter_ryu.domain.model import Eip, Endpoint, Family
from tests.unit.world import World, endpoints, key, node, service


def test_endpoints_are_counted_by_node_and_state() -> None:
    pieces = (
        Endpoint("n2"),
        Endpoint("n2"),
        Endpoint("n1", ready=False, serving=True, terminating=True),
        Endpoint("n1", ready=False, serving=False, terminating=True),
        Endpoint("n1", ready=False),
        Endpoint(None),
    )
    w = World(Eip("pool", "203.0.113.0/30")).put(
        node("n1", "192.168.0.1"),
        node("n2", "192.168.0.2"),
        service("web", local_traffic=True),
        structs.replace(endpoints("web"), endpoints=pieces),
        endpoints("web", "n1", family=Family.IPV6),
    )
    entry = report.explanation(w.planner, key("web"), None)
    assert entry["externalTrafficPolicy"] == "Local"
    mend = "kubectl -n default get endpointslices,pods -o wide"
    assert entry["routes"][0]["endpoints"] == [
        {"node": "n1", "ready": 0, "terminating": 1, "notReady": 2, "mend": mend},
        {"node": "n2", "ready": 2, "terminating": 0, "notReady": 0, "mend": ""},
        {"node": None, "ready": 1, "terminating": 0, "notReady": 0, "mend": ""},
    ]


def test_a_service_without_slices_has_none() -> None:
    w = World(Eip("pool", "203.0.113.0/30")).put(service("web"))
    entry = report.explanation(w.planner, key("web"), None)
    assert entry["routes"][0]["endpoints"] == []
    assert entry["externalTrafficPolicy"] == "Cluster"
