"""A repeated change increments the count of its Event, until the server has deleted the Event."""

from __future__ import annotations

import pytest

from fabric.objects import Json
from porter_ryu.domain.model import Eip, ObjectKey, Service
from porter_ryu.domain.status_changes import StatusChange
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.events import Events
from porter_ryu.metrics import REGISTRY
from tests.unit.clock import Clock

WEB = Service(ObjectKey("default", "web"), uid="u1", ours=True)


class Server(Client):
    """Keeps Events as an API server does."""

    def __init__(self) -> None:
        self.events: dict[str, Json] = {}

    def request(
        self,
        method: str,
        path: str,
        query: Json | None = None,
        body: Json | None = None,
        content_type: str = "",
    ) -> Json:
        """Creates, or patches what is there."""
        assert body is not None
        if method == "POST":
            self.events[f"{path}/{body['metadata']['name']}"] = dict(body)
        elif path in self.events:
            self.events[path].update(body)
        else:
            raise ApiError(404, "NotFound", path)
        return {}

    def seen(self) -> list[tuple[str, int, str]]:
        """Reason, count and message of each."""
        return [(e["reason"], e["count"], e["message"]) for e in self.events.values()]


def test_a_storm_is_one_event_with_a_count() -> None:
    server = Server()
    clock = Clock()
    events = Events(server, clock)
    for number in range(50):
        clock.now += 1
        events.tell(WEB, StatusChange(True, "NoReadyEndpoints", f"no {number}"))
        events.tell(WEB, StatusChange(False, "Announced", "fine"))
    assert server.seen() == [("NoReadyEndpoints", 50, "no 49"), ("Announced", 50, "fine")]


def test_an_event_that_the_server_forgot_is_made_anew() -> None:
    server = Server()
    events = Events(server, Clock())
    events.tell(WEB, StatusChange(True, "PoolExhausted", "full"))
    server.events.clear()
    events.tell(WEB, StatusChange(True, "PoolExhausted", "full"))
    assert server.seen() == [("PoolExhausted", 1, "full")]


def dropped() -> float:
    """Events that were not written, by the exported figure."""
    labels = {"kind": "events", "code": "dropped"}
    return REGISTRY.get_sample_value("porter_kubernetes_writes_total", labels) or 0.0


def test_what_is_beyond_a_burst_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    server, clock, before = Server(), Clock(), dropped()
    events = Events(server, clock)
    for number in range(250):
        events.tell(WEB, StatusChange(True, f"Reason{number}", "news"))
    assert (len(server.events), dropped() - before) == (100, 150)
    assert caplog.text.count("an Event is not written: there are too many of them") == 150
    clock.now += 5
    for number in range(60):
        events.tell(WEB, StatusChange(True, f"Later{number}", "news"))
    assert (len(server.events), dropped() - before) == (150, 160)


def test_a_message_is_one_printable_line_of_a_bounded_length() -> None:
    server = Server()
    events = Events(server, Clock())
    events.tell(WEB, StatusChange(True, "InvalidRequest", "\x1b[31m\n" + "x" * 200_000))
    (_, _, message) = server.seen()[0]
    assert message.startswith("\\x1b[31m\\nxxx")
    assert len(message) <= 1000


def test_the_name_of_an_event_is_one_whatever_the_service_is_called() -> None:
    server = Server()
    events = Events(server, Clock())
    long = Service(ObjectKey("default", "a" * 199 + "-b"), True, uid="u")
    events.tell(long, StatusChange(True, "R", "m"))
    (path,) = server.events
    assert path.rsplit("/", 1)[1].startswith("a" * 199 + ".")


def test_an_event_names_the_object_that_it_is_about() -> None:
    """Those about cluster-scoped objects are accepted in the namespace default alone."""
    server = Server()
    events = Events(server, Clock())
    events.tell(WEB, StatusChange(True, "NoPool", "m"))
    events.tell(Eip("pool", "10.0.0.1", uid="u2"), StatusChange(False, "Valid", "m"))
    about_service, about_eip = server.events.values()
    assert about_service["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "default",
        "name": "web",
        "uid": "u1",
    }
    assert about_service["type"] == "Warning"
    assert about_eip["metadata"]["namespace"] == "default"
    assert about_eip["involvedObject"] == {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "Eip",
        "name": "pool",
        "uid": "u2",
    }
    assert about_eip["type"] == "Normal"
