"""What the loss or the drain of a node would change: the same as when it really happens."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from msgspec import structs

from porter_ryu import report
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Eip, Endpoint, EndpointSlice, Kind, Node, Port, Service
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, SELF, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.weights import BY_CAPACITY, BY_ENDPOINTS, UNWEIGHTED, WeightMode
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.what_if import Supposition
from tests.unit.test_http_api import ask
from tests.unit.world import World, endpoints, key, node, service

NAMES = ("n1", "n2", "n3", "n4")
DRAIN = DrainPolicy("example.com/drain", seconds=30, med=77)
Json = dict[str, Any]


def up(name: str, **fields: Any) -> Node:
    """A node that is Ready."""
    return node(name, f"192.168.0.{name[1:]}", **fields)


def world(mode: NextHopMode = ENDPOINTS, weights: WeightMode = UNWEIGHTED) -> World:
    """Four nodes; the instance runs on n1."""
    policy = Policy(NextHopPolicy(mode, "n1", weights=weights), drain=DRAIN)
    return World(Eip("pool", "203.0.113.0/26"), policy=policy).put(*map(up, NAMES))


def supposed(w: World, name: str, drained: bool) -> list[Json]:
    """What would change."""
    return list(report.consequences(w.planner, Supposition(name, drained)))


def happens(w: World, name: str, drained: bool) -> None:
    """The node is lost with its endpoints, or is drained for long enough."""
    present = w.planner.cluster.node(name)
    assert present is not None
    if drained:
        w.put(structs.replace(present, annotations={DRAIN.annotation: "true"}))
        w.now += DRAIN.seconds + 1
        w.turn()
        return
    for owner in list(w.planner.cluster.services_on(name)):
        for piece in list(w.planner.cluster.slices_of(owner)):
            left = tuple(e for e in piece.endpoints if e.node != name)
            w.stage(structs.replace(piece, endpoints=left))
    w.remove(Kind.NODE, name)


def standings(found: list[Json]) -> dict[str, str]:
    """By Service, its state and the next hops of its addresses, before and after."""
    return {
        entry["service"].removeprefix("default/"): " -> ".join(
            side(entry[when]) for when in ("was", "becomes")
        )
        for entry in found
    }


def side(standing: Json) -> str:
    """The state of a Service, and the last digits of its next hops."""
    hops = "; ".join(",".join(hop[-1] for hop in one) for one in standing["nextHops"].values())
    return f"{standing['state']} {hops}"


def test_the_loss_of_a_node() -> None:
    w = world().put(
        service("both"),
        endpoints("both", "n1", "n2"),
        service("only"),
        endpoints("only", "n2"),
        service("other"),
        endpoints("other", "n3"),
        service("none"),
    )
    assert standings(supposed(w, "n2", drained=False)) == {
        "both": "Announced 1,2 -> Announced 1",
        "only": "Announced 2 -> NoReadyEndpoints ",
    }
    assert supposed(w, "n4", drained=False) == []


def test_the_drain_of_a_node_takes_no_last_path() -> None:
    w = world().put(
        service("both"), endpoints("both", "n1", "n2"), service("only"), endpoints("only", "n2")
    )
    found = supposed(w, "n2", drained=True)
    assert standings(found) == {
        "both": "Announced 1,2 -> Announced 1",
        "only": "Announced 2 -> Announced 2",
    }
    [stays] = found[1]["becomes"]["paths"]["203.0.113.1"]
    assert (stays["communities"], stays["med"]) == (["graceful-shutdown"], 77)


def test_pods_that_are_ending_elsewhere_serve_when_the_last_ready_one_is_lost() -> None:
    pieces = (
        Endpoint("n1", ready=True),
        Endpoint("n2", ready=False, serving=True, terminating=True),
    )
    w = world().put(service("web"), structs.replace(endpoints("web", "n1"), endpoints=pieces))
    assert standings(supposed(w, "n1", drained=False)) == {"web": "Announced 1 -> Announced 2"}


def test_local_services_and_shared_addresses() -> None:
    shared = {"share_key": "k", "requested": "203.0.113.9"}
    w = world(NODES).put(
        service("alone", local_traffic=True),
        endpoints("alone", "n1", "n2"),
        service("first", local_traffic=True, ports=frozenset([Port("TCP", 81)]), **shared),
        endpoints("first", "n2", "n3"),
        service("second", local_traffic=True, ports=frozenset([Port("TCP", 82)]), **shared),
        endpoints("second", "n2", "n4"),
        service("wide"),
        endpoints("wide", "n3"),
    )
    assert standings(supposed(w, "n2", drained=False)) == {
        "alone": "Announced 1,2 -> Announced 1",
        "first": "Announced 2 -> NoUsableNode ",
        "second": "Announced 2 -> NoUsableNode ",
        "wide": "Announced 1,2,3,4 -> Announced 1,3,4",
    }


def test_nothing_of_the_question_reaches_what_runs() -> None:
    w = world(weights=BY_ENDPOINTS).put(service("web"), endpoints("web", *NAMES, "n1"))
    before = json.dumps(report.plan(w.planner), default=str)
    entries = w.planner.cached_entries
    for drained in (True, False):
        for name in NAMES:
            assert supposed(w, name, drained)
    assert json.dumps(report.plan(w.planner), default=str) == before
    assert w.planner.cached_entries == entries
    assert w.planner.idle
    assert w.planner.drains.count == 0


MODES = [
    (ENDPOINTS, UNWEIGHTED),
    (ENDPOINTS, BY_ENDPOINTS),
    (ENDPOINTS, BY_CAPACITY),
    (NODES, UNWEIGHTED),
    (NODES, BY_ENDPOINTS),
    (SELF, UNWEIGHTED),
    (SELF, BY_ENDPOINTS),
]


@pytest.mark.parametrize("drained", [False, True], ids=["loss", "drain"])
@pytest.mark.parametrize(("mode", "weights"), MODES)
@pytest.mark.parametrize("seed", range(12))
def test_what_is_supposed_is_what_happens(
    mode: NextHopMode, weights: WeightMode, drained: bool, seed: int
) -> None:
    chance = random.Random(seed)
    w = world(mode, weights)
    if chance.random() < 0.5:
        w.put(Eip("pool", "203.0.113.0/26", advertisements=(entry(),)))
    for name in NAMES:
        labels = {"rack": chance.choice("ab")}
        annotations = {"porter.kubesphere.io/weight": str(chance.randint(1, 9))}
        w.put(up(name, ready=chance.random() < 0.9, labels=labels, annotations=annotations))
    if chance.random() < 0.3:
        happens(w, chance.choice(NAMES), drained=True)
    for number in range(8):
        w.put(*one_service(f"s{number}", chance))
    name = chance.choice(NAMES)
    was, found = report.plan(w.planner), supposed(w, name, drained)
    if chance.random() < 0.5:
        w.put(service("another"), endpoints("another", name))
        w.remove(Kind.SERVICE, "another")
    happens(w, name, drained)
    assert found == report.difference(was, report.plan(w.planner))


def entry() -> AdvertisementEntry:
    """An entry of spec.advertisements that selects a part of the nodes."""
    return AdvertisementEntry(nodes=parse_selector("rack=a"))


def one_service(name: str, chance: random.Random) -> tuple[Service, EndpointSlice]:
    """A Service and its endpoints, some of which are not ready, or on no named node."""
    places = [chance.choice((*NAMES, *NAMES, None)) for _ in range(chance.randint(0, 4))]
    states: list[Json] = [
        {"ready": True},
        {"ready": True},
        {"ready": False},
        {"ready": False, "serving": True, "terminating": True},
    ]
    pieces = tuple(Endpoint(place, **chance.choice(states)) for place in places)
    shared: Json = {"share_key": "k", "requested": "203.0.113.60"} if chance.random() < 0.4 else {}
    ports = frozenset([Port("TCP", 8000 + chance.randrange(1000))])
    made = service(name, local_traffic=chance.random() < 0.4, ports=ports, **shared)
    return made, structs.replace(endpoints(name), endpoints=pieces)


def test_over_http() -> None:
    w = world().put(service("web"), endpoints("web", "n1", "n2"))
    answer = ask("/v1/plan?without=n2", planner=w.planner)
    assert standings(answer.json) == {"web": "Announced 1,2 -> Announced 1"}
    assert ask("/v1/plan?drain=n2", planner=w.planner).json[0]["service"] == "default/web"
    assert ask("/v1/plan?drain=n3", planner=w.planner).json == []
    assert w.planner.node("n2") is not None
    assert key("web") in w.planner.decisions


@pytest.mark.parametrize(
    ("query", "status", "why"),
    [
        ("without=n9", 404, "there is no Node 'n9'"),
        ("drain=", 404, "there is no Node ''"),
        ("drain=%1b%5b2J%ff", 404, "there is no Node"),
        ("without=n1&drain=n1", 400, "either"),
        ("without=n1&drain=n2", 400, "either"),
        ("without=n1&without=n2", 400, "given twice"),
        ("lose=n1", 400, "only without, drain"),
    ],
)
def test_what_cannot_be_supposed(query: str, status: int, why: str) -> None:
    answer = ask(f"/v1/plan?{query}", planner=world().planner)
    assert answer.status_int == status
    assert why in answer.json["error"]
    assert answer.text.isprintable() or answer.text.strip().isprintable()
