"""docs/openapi.yaml has every path, parameter and key that there is, and no other."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from ryu.app.wsgi import WSGIApplication

from porter_ryu import report, report_peers, report_switches
from porter_ryu.bgp.bfd.monitor import BfdReport
from porter_ryu.bgp.peer_report import PeerReport
from porter_ryu.bgp.peer_table import LastTable, PeerTable
from porter_ryu.bgp.protocol.ending import Cause
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut
from porter_ryu.bgp.session_history import LastDown
from porter_ryu.domain.announcement import Announcement, Announcements, NextHop, SentPath
from porter_ryu.domain.communities import CommunityRequest
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.model import Address, Eip, Kind, Network
from porter_ryu.domain.pool_growth import PoolGrowth
from porter_ryu.history.change import ChangeKind, Part
from porter_ryu.history.record import History
from porter_ryu.http import api, catalogue
from porter_ryu.openflow.neighbours import Location
from porter_ryu.openflow.report import SwitchReport
from tests.openapi import Document
from tests.unit.outbound_scene import POLICY
from tests.unit.test_http_api import CONTEXT, ask
from tests.unit.world import World, endpoints, node, service

HOP = ip_address("192.168.9.11")
EIP = ip_network("203.0.113.0/32")
SWITCH = SwitchReport(
    datapath=1,
    address="192.0.2.7",
    version=6,
    state="filled",
    flows=9,
    groups=1,
    changes=12,
    since=0.0,
    doubted=False,
    refused=("flow for 203.0.113.0: flow refused (type 5, code 1): the table is full",),
    nodes=((HOP, Location(bytes(6), 3)),),
    packets=((("pool", HOP), 7),),
)


SETTING = {"group": "bgp", "key": "med", "value": 1, "means": "", "source": "file"}
CONFIG = {
    "files": ["/etc/porter-ryu/porter_ryu.conf"],
    "notLoaded": ["line 3"],
    "pending": ["[bgp] med: runs with 1, the file says 2: needs a restart"],
    "settings": [
        {**SETTING, "where": "/f:3", "needsRestart": True, "file": {"value": 2, "where": "/f:4"}}
    ],
}


@pytest.fixture
def document() -> Document:
    """The document, of which no key was seen yet."""
    return Document()


def world() -> World:
    """A Service of each kind, and an Eip with all that an Eip can have."""
    entry = AdvertisementEntry(frozenset(["leaf"]), aggregation_length=30)
    made = World(Eip("pool", "203.0.113.0/29", advertisements=(entry,))).put(
        node("n1", "192.168.9.11"),
        node("n2", "192.168.9.12", ready=False),
        service("web", requested="203.0.113.0", communities=CommunityRequest.parse(["65000:1"])),
        endpoints("web", "n1"),
        service("lost", pool="none"),
    )
    return made.unreadable(Kind.SERVICE, "web", "203.0.113.0")


def served() -> dict[str, Any]:
    """The fields of a context in which every key has a value."""
    made = world()
    announcements: dict[Address | Network, Announcements] = {
        ip_address(address): paths
        for address, paths in made.announcements.items()
        if "/" not in address
    }
    told = PeerReport(
        "leaf",
        "leaf",
        "192.0.2.1",
        "192.0.2.9",
        65001,
        "Active",
        "none",
        since=time.time(),
        paths={"ipv4": 1},
        last_up=time.time(),
        last_update_sent=time.time(),
        last_down=LastDown(time.time(), "the peer closed the connection", Cause.PEER_CLOSED),
        bfd=BfdReport("down", time.time(), "no answer yet", 300, 3),
    )
    routes = {EIP: frozenset([Announcement(NextHop("n1", HOP))])}
    table = AdjRibOut(POLICY, PathIds())
    table.sync(routes, routes)
    history = History()
    part = Part("203.0.113.0", "", "n1", ("203.0.113.0", "node n1"))
    history.add(
        ChangeKind.RESTART, "routes", "", "1 new", "it started", ("restart",), parts=(part,)
    )
    return {
        "planner": made.planner,
        "sent": lambda _prefix: {"leaf": (HOP,)},
        "unsent": lambda _prefix: {"other": "its session is down"},
        "peers": lambda: report_peers.peers([told]),
        "peer_table": lambda name: PeerTable(table, routes, 0.0, 1e9) if name == "leaf" else None,
        "last_table": lambda _name: LastTable({EIP: {1: SentPath(HOP)}}, POLICY, routes),
        "routes": lambda: announcements,
        "switches": lambda: [report_switches.switch(SWITCH, lambda _address: "n1")],
        "history": history,
        "config": lambda: CONFIG,
        "growth": lambda _eip: report.growth(PoolGrowth(9, 3600.0, 7200.0), 1e9),
    }


def test_every_path_is_in_the_document_in_the_index_and_served(document: Document) -> None:
    wsgi = WSGIApplication()
    api.register(wsgi, CONTEXT)
    served_paths = {
        (entry.routepath, method)
        for entry in wsgi.mapper.matchlist
        for method in entry.conditions["method"]
    }
    listed = {(entry.path, entry.method) for entry in catalogue.ENDPOINTS}
    assert listed == served_paths
    assert document.operations == served_paths


def test_docs_http_has_every_path() -> None:
    page = Path("docs/http.md").read_text()
    for entry in catalogue.ENDPOINTS:
        path = entry.path.replace("{namespace}", "NAMESPACE").replace("{name}", "NAME")
        path = path.replace("{address}", "ADDRESS")
        assert path in page, path


def test_every_key_of_an_answer_is_in_the_document_and_every_other_was_seen(
    document: Document,
) -> None:
    fields = served()
    for path in (
        "/v1",
        "/v1/version",
        "/v1/config",
        "/v1/status",
        "/v1/peers",
        "/v1/switches",
        "/v1/nodes",
        "/v1/services",
        "/v1/eips",
        "/v1/plan",
        "/v1/changes",
    ):
        document.check(path, ask(path, **fields).json)
    document.check("/v1/plan", ask("/v1/plan?without=n1", **fields).json)
    for text, status in (("203.0.113.0", 200), ("192.168.9.11", 200), ("web", 400)):
        answer = ask(f"/v1/addresses/{text}", **fields)
        document.check("/v1/addresses/{address}", answer.json, status)
    for name, status in (("n1", 200), ("n2", 200), ("gone", 404)):
        document.check("/v1/nodes/{name}", ask(f"/v1/nodes/{name}", **fields).json, status)
    document.check("/v1/peers/{name}", ask("/v1/peers/leaf", **fields).json)
    document.check("/v1/peers/{name}/routes", ask("/v1/peers/leaf/routes", **fields).json)
    last = ask("/v1/peers/leaf/routes?last=true", **fields).json
    assert [route["announced"] for route in last] == [False]
    document.check("/v1/peers/{name}/routes", last)
    explained = "/v1/services/{namespace}/{name}"
    for name, status in (("web", 200), ("lost", 200), ("gone", 404)):
        answer = ask(f"/v1/services/default/{name}", **fields)
        document.check(explained, answer.json, status)
    document.check("/v1/peers/{name}", ask("/v1/peers/gone", **fields).json, 404)
    assert document.unseen() == []


@pytest.mark.parametrize(
    ("path", "method"), [(e.path, e.method) for e in catalogue.ENDPOINTS if e.path[:3] == "/v1"]
)
def test_a_parameter_is_in_the_document_or_refused(
    document: Document, path: str, method: str
) -> None:
    concrete = path.replace("{namespace}", "default").replace("{name}", "leaf")
    concrete = concrete.replace("{address}", "203.0.113.9")
    refused = ask(f"{concrete}?colour=red", method)
    assert refused.status_int == 400
    _, _, names = refused.json["error"].partition("which has ")
    known = set() if names == "none" else set(names.removeprefix("only ").split(", "))
    assert known == document.parameters(path)
