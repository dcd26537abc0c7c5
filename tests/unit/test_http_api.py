"""The HTTP endpoints, through Ryu's router."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from msgspec.structs import replace
from ryu.app.wsgi import WSGIApplication
from webob import Request, Response

from porter_ryu import report, report_plan, report_text
from porter_ryu.bgp.peer_table import NO_TABLE
from porter_ryu.domain.model import Eip, Family, Kind
from porter_ryu.domain.ports import Role, SourceState
from porter_ryu.history.change import ChangeKind
from porter_ryu.history.record import History
from porter_ryu.http import api
from porter_ryu.http.context import Context
from porter_ryu.http.eip_addresses import EipAddresses
from porter_ryu.http.router import Router
from porter_ryu.report_problems import Health, Stopped
from tests.unit.test_http_exposition import PROCESS
from tests.unit.world import World, endpoints, node, service

HEALTHY = Health(
    unready="",
    faults=(),
    role=Role.LEADER,
    source=SourceState("directory /m", {}, dict.fromkeys(Kind, 1.0), ""),
)
CONTEXT = Context(
    planner=World().planner,
    faults=lambda: (),
    unready=lambda: "",
    health=lambda: HEALTHY,
    peers=list,
    peer_table=lambda _name: None,
    last_table=lambda _name: None,
    routes=dict,
    sent=report.nothing_sent,
    unsent=report.nothing_unsent,
    is_sent=lambda _prefix: False,
    kept_by=lambda _prefix: {},
    process=PROCESS,
    stop=lambda withdraw, stay: None,
    token="s3cret",
    history=History(),
    started_at=1_764_000_000.0,
)


def router(**fields: Any) -> Router:
    """The routes over these parts."""
    wsgi = WSGIApplication()
    api.register(wsgi, replace(CONTEXT, **fields))
    return Router(wsgi, lambda: frozenset({"porter.example"}))


def ask(
    path: str, method: str = "GET", headers: dict[str, str] | None = None, **fields: Any
) -> Response:
    """The response of a path to a client on loopback."""
    return request(path, method, headers).get_response(router(**fields))


def request(path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Request:
    """A request of a client on loopback."""
    environ = {"SERVER_NAME": "127.0.0.1", "REMOTE_ADDR": "127.0.0.1"}
    return Request.blank(path, environ=environ, method=method, headers=headers or {})


def test_healthz_reports_each_fault() -> None:
    assert ask("/healthz").status_int == 200
    faults = ("task turns has made no progress for 12 s", "task watch nodes died 6 times\x1b[2J")
    answer = ask("/healthz", faults=lambda: faults)
    assert answer.status_int == 503
    assert answer.text == f"{faults[0]}\ntask watch nodes died 6 times\\x1b[2J\n"


def test_readyz_reports_the_reason() -> None:
    assert ask("/readyz").status_int == 200
    answer = ask("/readyz", unready=lambda: "/manifests: Permission denied")
    assert (answer.status_int, answer.text) == (503, "/manifests: Permission denied\n")


def test_not_ready_is_healthy() -> None:
    assert ask("/healthz", unready=lambda: "the instance is stopping").status_int == 200


@pytest.mark.parametrize(
    ("path", "method", "status", "allow"),
    [
        ("/nothing", "GET", 404, None),
        ("/v1/services/a/b/c", "GET", 404, None),
        ("/v1/services/a%2Fb", "GET", 200, None),
        ("/%ff%00", "GET", 404, None),
        ("//healthz", "GET", 404, None),
        ("/healthz", "POST", 405, "GET, HEAD"),
        ("/healthz", "BREW", 405, "GET, HEAD"),
        ("/v1/stop", "GET", 405, "POST"),
        ("/v1/services", "DELETE", 405, "GET, HEAD"),
    ],
)
def test_unknown_paths_and_methods_are_json_errors(
    path: str, method: str, status: int, allow: str | None
) -> None:
    answer = ask(path, method)
    if status != 200:
        assert (answer.status_int, answer.headers.get("Allow")) == (status, allow)
        assert answer.json["error"]


def test_head_is_supported_where_get_is() -> None:
    """The connection leaves out the body."""
    assert ask("/healthz", "HEAD").status_int == 200


def test_a_service_and_the_plan() -> None:
    world = World(Eip("pool", "203.0.113.0/30")).put(
        node("n1", "192.168.9.11"), service("web"), endpoints("web", "n1")
    )
    hop = (ip_address("192.168.9.11"),)
    fields: dict[str, Any] = {"planner": world.planner, "sent": lambda _prefix: {"leaf": hop}}
    [line] = ask("/v1/services", **fields).json
    assert (line["state"], line["announced"]) == ("Announced", True)
    entry = ask("/v1/services/default/web", **fields).json
    assert entry["routes"][0]["peers"] == {"leaf": ["192.168.9.11"]}
    tag = {"If-None-Match": ask("/v1/services/default/web", **fields).headers["ETag"]}
    assert ask("/v1/services/default/web", headers=tag, **fields).status_int == 304
    assert ask("/v1/eips", **fields).json[0]["usage"] == 1
    plan = ask("/v1/plan", **fields).json
    assert plan == report_plan.plan(world.planner)
    gone = ask("/v1/services/default/gone", **fields)
    assert (gone.status_int, gone.json["state"]) == (404, "NotFound")


def test_empty_lists_are_valid_json() -> None:
    assert ask("/v1/services").json == []
    assert ask("/v1/peers").json == []
    assert ask("/v1/plan").json == {"services": [], "eips": [], "warnings": []}


def test_changes_after_a_number_and_about_a_subject() -> None:
    history = History(now=lambda: 1_764_000_000.25)
    history.add(ChangeKind.ROUTE, "203.0.113.8", "", "n1", "Node n1", ("203.0.113.8", "node n1"))
    history.add(ChangeKind.ROUTE, "203.0.113.9", "", "n2", "Node n2", ("203.0.113.9", "node n2"))
    first, second = ask("/v1/changes", history=history).json
    assert first == {
        "sequence": 1,
        "time": "2025-11-24T16:00:00.250Z",
        "kind": "route",
        "object": "203.0.113.8",
        "from": "",
        "to": "n1",
        "cause": "Node n1",
        "about": ["203.0.113.8", "node n1"],
        "secondsToWire": None,
        "parts": [],
    }
    assert ask("/v1/changes?since=1", history=history).json == [second]
    assert ask("/v1/changes?since=2", history=history).json == []
    earlier = ask("/v1/changes?since=9", history=history)
    assert earlier.json == [first, second], "a number of an earlier process"
    tag = {"If-None-Match": earlier.headers["ETag"]}
    assert ask("/v1/changes?since=9", headers=tag, history=history).status_int == 304
    history.add(ChangeKind.NODE, "n1", "usable", "", "Node n1 deleted")
    assert ask("/v1/changes?since=9", headers=tag, history=history).status_int == 200
    assert ask("/v1/changes?about=node+n1", history=history).json == [first]
    assert ask("/v1/changes?since=1&about=203.0.113.9/32", history=history).json == [second]


@pytest.mark.parametrize(
    "query", ["since=", "since=-1", "since=x", "since=1e3", f"since={'9' * 5000}", "since=%d9%a1"]
)
def test_what_is_no_number_of_a_change(query: str) -> None:
    answer = ask(f"/v1/changes?{query}")
    assert (answer.status_int, answer.content_type) == (400, "application/json")
    assert "is not the sequence number of a change" in answer.json["error"]


@pytest.mark.parametrize(
    "query", ["about=", "about=web", "about=pod+a", "about=%ff%00", "about=a/b/c"]
)
def test_what_is_no_subject_of_a_change(query: str) -> None:
    answer = ask(f"/v1/changes?{query}")
    assert (answer.status_int, answer.content_type) == (400, "application/json")
    assert "is not NAMESPACE/NAME, ADDRESS" in answer.json["error"]


def stop(
    headers: dict[str, str], path: str = "/v1/stop?withdraw=true"
) -> tuple[int, list[tuple[bool, bool]]]:
    """The status code of a stop request, and the calls that it made."""
    done: list[tuple[bool, bool]] = []
    fields = {"stop": lambda withdraw, stay: done.append((withdraw, stay))}
    headers = {"Host": "127.0.0.1:8080", **headers}
    return ask(path, "POST", headers, **fields).status_int, done


def test_stop_needs_the_token_and_no_web_page() -> None:
    good = {"Authorization": "Bearer s3cret"}
    assert stop(good) == (202, [(True, False)])
    assert stop(good, "/v1/stop?withdraw=true&stay=true") == (202, [(True, True)])
    assert stop(good, "/v1/stop") == (202, [(False, False)])
    assert stop({}) == (401, [])
    assert stop({**good, "Origin": "null"}) == (403, [])
    assert stop({**good, "Origin": ""}) == (403, [])
    assert stop({**good, "Host": "evil.example"}) == (403, [])


def test_an_address_is_an_eip_while_it_is_assigned_or_recorded_or_bound() -> None:
    world = World(Eip("pool", "203.0.113.0/30"), leading=False)
    world.put(service("web", ingress=(ip_address("203.0.113.2"),)))
    bound = {ip_network("198.51.100.7/32")}
    now = [0.0]
    eips = EipAddresses(world.planner, bound.__contains__, lambda: now[0])
    for text in ("203.0.113.2", "198.51.100.7"):
        assert eips.has(ip_address(text))
    for text in ("203.0.113.1", "192.168.9.1", "127.0.0.1", "::1"):
        assert not eips.has(ip_address(text))
    bound.clear()
    assert not eips.has(ip_address("198.51.100.7"))
    assert not eips.has(ip_address("fe80::1"))


def test_an_address_in_no_pool_costs_no_scan_of_the_services() -> None:
    world = World(Eip("pool", "203.0.113.0/30"), leading=False)
    world.put(service("web", ingress=(ip_address("203.0.113.2"),)))
    scans: list[float] = []

    def clock() -> float:
        scans.append(0.0)
        return 0.0

    eips = EipAddresses(world.planner, frozenset().__contains__, clock)
    assert not eips.has(ip_address("192.168.9.1"))
    assert scans == []
    assert eips.has(ip_address("203.0.113.2"))


def test_a_recorded_address_outside_every_pool_is_not_an_eip() -> None:
    """So a user who can write the status of a Service cannot block an address of this host."""
    world = World(Eip("pool", "203.0.113.0/30"))
    world.put(service("web", ingress=(ip_address("192.168.9.1"),)))
    assert not EipAddresses(world.planner, frozenset().__contains__).has(ip_address("192.168.9.1"))


def listed(query: str) -> list[str]:
    """The names of the Services that a query chooses."""
    world = World(Eip("pool", "203.0.113.0/29"), Eip("zone", "198.51.100.0/30")).put(
        node("n1", "192.168.9.11"),
        service("a"),
        endpoints("a", "n1"),
        service("b"),
        service("team/a", pool="zone"),
        service("team/c", pool="none"),
    )
    answer = ask(f"/v1/services{query}", planner=world.planner)
    return [f"{entry['namespace']}/{entry['name']}" for entry in answer.json]


def test_some_of_the_services() -> None:
    everything = ["default/a", "default/b", "team/a", "team/c"]
    assert listed("") == everything
    assert listed("?state=NoReadyEndpoints") == ["default/b", "team/a"]
    assert listed("?state=NoPool,Allocated") == ["default/a", "team/c"]
    assert listed("?q=team/") == ["team/a", "team/c"]
    assert listed("?q=203.0.113.1") == ["default/b"]
    assert listed("?q=203.0.113") == ["default/a", "default/b"]
    assert listed("?q=Team/A") == ["team/a"]
    assert listed("?q=zone") == ["team/a"]
    assert listed("?limit=2") == everything[:2]
    assert listed("?limit=2&after=default/b") == everything[2:]
    assert listed("?after=default/zz") == everything[2:]
    assert listed("?state=&q=") == everything


def test_a_complete_address_is_found_in_any_spelling_and_on_record_alone() -> None:
    world = World(Eip("six", "2001:db8::/126"), leading=False).put(
        service("a", families=(Family.IPV6,), ingress=(ip_address("2001:db8::"),)),
        service("left", pool="none", ingress=(ip_address("203.0.113.9"),)),
    )

    def found(text: str) -> list[str]:
        answer = ask(f"/v1/services?q={text}", planner=world.planner)
        return [entry["name"] for entry in answer.json]

    assert found("2001:DB8:0::0") == found("2001:db8::") == ["a"]
    assert found("203.0.113.9") == ["left"]
    assert found("203.0.113.90") == []


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=x",
        "?limit=",
        "?after=web",
        "?q=a&q=b",
        f"?q={'x' * 301}",
        "?stat=x",
        "?state=announced",
        "?state=Announced,Nope",
        f"?{'&'.join(f'a{n}=1' for n in range(50))}",
    ],
)
def test_a_query_that_is_not_valid_is_refused(query: str) -> None:
    answer = ask(f"/v1/services{query}")
    assert (answer.status_int, answer.content_type) == (400, "application/json")
    assert answer.json["error"]


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/"])
def test_what_others_ask_for_takes_any_parameter(path: str) -> None:
    """Prometheus (`params`), load balancers and browsers add some of their own."""
    for query in ("x=1", "name[]=up&name[]=porter_services", "&".join(["a=%ff"] * 50), "="):
        assert ask(f"{path}?{query}").status_int == 200


def test_what_the_client_has_is_not_sent_again() -> None:
    for path in ("/v1", "/v1/version", "/v1/status", "/v1/peers", "/v1/services", "/v1/eips"):
        tag = ask(path).headers["ETag"]
        for named in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*", " * "):
            again = ask(path, headers={"If-None-Match": named})
            assert (again.status_int, again.body, again.headers["ETag"]) == (304, b"", tag), path
        for named in ('W/"other"', "", '"*"', "W/", tag.removesuffix('"')):
            assert ask(path, headers={"If-None-Match": named}).status_int == 200
    for path, status in (("/healthz", 200), ("/v1/plan", 200), ("/v1/peers/gone", 404)):
        assert ask(path, headers={"If-None-Match": "*"}).status_int == status


def test_changes_of_the_last_seconds_and_the_newest() -> None:
    now = [time.time() - 1_000_000]
    history = History(now=lambda: now[0])
    for number in range(3):
        history.add(ChangeKind.ROUTE, f"r{number}", "", "n1", "Node n1", (f"node n{number % 2}",))
        now[0] += 400_000
    kept = {
        "": "r0 r1 r2",
        "seconds=1100000": "r0 r1 r2",
        "seconds=700000": "r1 r2",
        "seconds=1": "",
        "seconds=999999999999999999": "r0 r1 r2",
        "limit=1": "r2",
        "limit=2": "r1 r2",
        "limit=999999999999999999": "r0 r1 r2",
        "limit=1&about=node+n0": "r2",
        "limit=1&about=node+n1": "r1",
        "since=1&seconds=700000&limit=1": "r2",
        "since=3&limit=1": "",
    }
    for query, names in kept.items():
        found = ask(f"/v1/changes?{query}", history=history).json
        assert [entry["object"] for entry in found] == names.split(), query
    tag = {"If-None-Match": ask("/v1/changes?seconds=700000", history=history).headers["ETag"]}
    for seconds, status in ((700_000, 304), (1_100_000, 200), (1, 200)):
        path = f"/v1/changes?seconds={seconds}"
        assert ask(path, headers=tag, history=history).status_int == status, "as if time went on"


@pytest.mark.parametrize("name", ["seconds", "limit"])
@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "10m", "%d9%a3", "1" * 19, "1&limit=2&limit=3"]
)
def test_what_is_no_number_of_changes_or_seconds(name: str, text: str) -> None:
    answer = ask(f"/v1/changes?{name}={text}")
    assert answer.status_int == 400
    assert answer.json["error"]


def test_what_changes_gets_another_tag_and_the_seconds_do_not_count() -> None:
    told = {"name": "leaf", "peer": "leaf", "state": "Established", "establishedSeconds": 1.0}
    first = ask("/v1/peers", peers=lambda: [told]).headers["ETag"]
    later = ask("/v1/peers", peers=lambda: [{**told, "establishedSeconds": 2.0}])
    assert later.headers["ETag"] == first
    assert later.json[0]["establishedSeconds"] == 2.0
    down = ask("/v1/peers", peers=lambda: [{**told, "state": "Active"}]).headers["ETag"]
    assert down != first


def test_a_directory_that_is_looked_at_again_has_not_changed() -> None:
    def status(seconds: float, trouble: str = "") -> Response:
        times = dict.fromkeys(Kind, seconds)
        source = SourceState("directory /m", times, times, trouble)
        return ask("/v1/status", health=lambda: replace(HEALTHY, source=source))

    assert status(1.0).headers["ETag"] == status(2.0).headers["ETag"]
    assert status(1.0).json["source"] != status(2.0).json["source"]
    assert status(1.0).headers["ETag"] != status(1.0, "is unmounted").headers["ETag"]


def test_a_304_takes_no_place_of_a_long_response() -> None:
    routes = router()
    for path in ("/v1/services", "/v1/eips") * 5:
        tag = ask(path).headers["ETag"]
        again = request(path, headers={"If-None-Match": tag})
        assert again.get_response(routes).status_int == 304
    assert request("/v1/services").get_response(routes).status_int == 200


def test_one_session_and_its_routes() -> None:
    entries = [{"name": f"leaf@10.0.0.{n}", "peer": "leaf"} for n in (1, 2)]
    fields: dict[str, Any] = {
        "peers": lambda: entries,
        "peer_table": lambda name: NO_TABLE if name in {e["name"] for e in entries} else None,
    }
    assert ask("/v1/peers/leaf@10.0.0.1", **fields).json == entries[0]
    assert ask("/v1/peers/leaf@10.0.0.1/routes", **fields).json == []
    assert ask("/v1/peers/leaf/routes", **fields).json == []
    assert ask("/v1/peers/leaf%4010.0.0.1/routes?prefix=10.0.0.0/8", **fields).json == []
    answer = ask("/v1/peers/leaf", **fields)
    text = "the peer 'leaf' has several sessions: ask for leaf@10.0.0.1 or leaf@10.0.0.2"
    assert (answer.status_int, answer.json["error"]) == (404, text)
    for path in ("/v1/peers/spine", "/v1/peers/spine/routes", "/v1/peers/leaf@10.0.0.3/routes"):
        gone = ask(path, **fields)
        assert gone.status_int == 404
        assert gone.json["error"].endswith("'; the peers are 'leaf'")
    assert ask("/v1/peers/leaf/routes?last=1", **fields).status_int == 400
    wrong = ask("/v1/peers/leaf@10.0.0.1/routes?prefix=web", **fields)
    assert (wrong.status_int, wrong.json["error"]) == (
        400,
        "prefix: 'web' is no address and no prefix",
    )


def test_the_index_leads_to_every_path() -> None:
    index = ask("/v1").json
    paths = [entry["path"] for entry in index["paths"] if entry["method"] == "GET"]
    assert {"/v1/status", "/v1/config", "/v1/changes"} <= set(paths)
    assert ask("/v1/version").json["startedAt"] == "2025-11-24T16:00:00.000Z"


def test_an_instance_that_was_stopped_says_so_of_a_service_as_well() -> None:
    made = World(Eip("pool", "203.0.113.0/29")).put(
        node("n1", "192.168.9.11"), service("web"), endpoints("web", "n1")
    )
    stopped = Stopped(900.0, True, done=True, left="no session came up with leaf")
    health = replace(HEALTHY, stopped=stopped)
    told = ask("/v1/services/default/web", planner=made.planner, health=lambda: health).json
    assert told["message"] == stopped.text
    assert told["mend"].startswith("remove there what is left, or wait until the router does; then")


ABSENT = [
    ("/v1/services/default/bro", 404, "message", "there is no such Service"),
    ("/v1/nodes/n9", 404, "why", "there is no such Node"),
    ("/v1/addresses/192.0.2.1", 200, "why", "it is in no Eip"),
    ("/v1/plan?drain=n9", 404, "error", "there is no Node 'n9'"),
]


@pytest.mark.parametrize(("path", "status", "where", "absent"), ABSENT[:3])
def test_while_nothing_was_read_nothing_is_said_to_be_absent(
    path: str, status: int, where: str, absent: str
) -> None:
    trouble = "/m is empty, but an earlier run announced or bound addresses: is it unmounted?"
    health = replace(HEALTHY, source=SourceState("directory /m", {}, {}, trouble))
    answer = ask(path, planner=World().planner, health=lambda: health)
    assert answer.status_int == status
    assert answer.json[where] == f"it is not known: directory /m has not been read: {trouble}"
    assert "NotKnown" in (answer.json.get("state"), answer.json.get("reason"))
    text = report_text.address({**answer.json, "services": []}) if "free" in answer.json else ""
    assert "no Service has it" not in text


@pytest.mark.parametrize(("path", "status", "where", "absent"), ABSENT)
def test_what_may_be_in_a_file_that_cannot_be_read_is_not_simply_absent(
    path: str, status: int, where: str, absent: str
) -> None:
    answer = ask(path, planner=World().planner)
    assert (answer.status_int, answer.json[where]) == (status, absent)
    for count, told in (
        (1, "; it may be in a file that cannot be read, or not all of it: broken.yaml:3: odd"),
        (7, "; it may be in one of 7 files that cannot be read: broken.yaml:3: odd"),
    ):
        faults = ("broken.yaml:3: odd",)
        source = replace(HEALTHY.source, unreadable=count, unreadable_first=faults)
        health = replace(HEALTHY, source=source)
        answer = ask(path, planner=World().planner, health=lambda health=health: health)
        assert (answer.status_int, answer.json[where]) == (status, f"{absent}{told}")
