"""A repeated change increments the count of its Event, until the server has deleted it; nobody
waits for an Event, and there is a bound to how many are written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from ryu.lib import hub

from fabric.objects import Json
from porter_ryu.domain.model import Eip, ObjectKey, Service
from porter_ryu.domain.objects import WithStatus
from porter_ryu.domain.status_changes import StatusChange
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.events import Events
from porter_ryu.metrics import REGISTRY
from porter_ryu.supervisor import Supervisor, Task
from tests.unit.clock import Clock
from tests.unit.until import until

WEB = Service(ObjectKey("default", "web"), uid="u1", ours=True)


class Server(Client):
    """Keeps Events as an API server does, or fails; `meanwhile` is what happens while it writes."""

    def __init__(self) -> None:
        self.events: dict[str, Json] = {}
        self.asked = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self.failure: Exception | None = None

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
        self.asked += 1
        self.meanwhile()
        if self.failure is not None:
            raise self.failure
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


class Timers(Supervisor):
    """A supervisor whose delays pass when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], object]] = []

    def after(self, seconds: float, name: str, run: Callable[..., object], *args: object) -> Task:
        self.waiting.append(partial(run, *args))
        return Task(name, None, 0.0)

    def pass_by(self) -> None:
        """All of them pass."""
        waiting, self.waiting = self.waiting, []
        for run in waiting:
            run()


class Bench:
    """Events that are written to a server."""

    def __init__(self) -> None:
        self.server, self.clock, self.timers = Server(), Clock(), Timers()
        self.busy = False
        self.events = Events(self.server, self.timers, lambda: self.busy, self.clock)
        self.events.start()

    def add(self, obj: WithStatus, *changes: StatusChange) -> None:
        """Has all of it told, and lets it be written."""
        for change in changes:
            self.events.add(obj, change)
        hub.sleep(0)


@pytest.fixture
def bench() -> Bench:
    """One for each test."""
    return Bench()


def test_a_storm_is_one_event_with_a_count(bench: Bench) -> None:
    for number in range(50):
        bench.clock.now += 1
        bench.add(WEB, StatusChange(True, "NoReadyEndpoints", f"no {number}"))
        bench.add(WEB, StatusChange(False, "Announced", "fine"))
    assert bench.server.seen() == [("NoReadyEndpoints", 50, "no 49"), ("Announced", 50, "fine")]


def test_an_event_that_the_server_forgot_is_made_anew(bench: Bench) -> None:
    bench.add(WEB, StatusChange(True, "PoolExhausted", "full"))
    bench.server.events.clear()
    bench.add(WEB, StatusChange(True, "PoolExhausted", "full"))
    assert bench.server.seen() == [("PoolExhausted", 1, "full")]


def test_nobody_waits_for_an_event(bench: Bench) -> None:
    answered = hub.Event()
    bench.server.meanwhile = answered.wait
    bench.add(WEB, StatusChange(True, "First", "m"), StatusChange(True, "Second", "m"))
    assert (bench.server.asked, bench.server.events) == (1, {}), "one at a time"
    answered.set()
    until(lambda: len(bench.server.events) == 2)


def test_while_many_statuses_are_written_events_wait(bench: Bench) -> None:
    bench.busy = True
    bench.add(WEB, StatusChange(True, "First", "m"), StatusChange(True, "Second", "m"))
    assert bench.server.events == {}
    bench.busy = False
    until(lambda: len(bench.server.events) == 2)


def test_where_statuses_never_end_each_event_waits_for_five_seconds(bench: Bench) -> None:
    bench.busy = True
    bench.add(WEB, StatusChange(True, "First", "m"), StatusChange(True, "Second", "m"))
    bench.clock.now += 5
    until(lambda: len(bench.server.events) == 1)
    bench.clock.now += 5
    until(lambda: len(bench.server.events) == 2)


def dropped() -> float:
    """Events that were not written, by the exported figure."""
    labels = {"kind": "events", "code": "dropped"}
    return REGISTRY.get_sample_value("porter_kubernetes_writes_total", labels) or 0.0


def test_what_is_beyond_a_burst_is_counted_and_told_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    before = dropped()
    bench.add(WEB, *(StatusChange(True, f"Reason{number}", "news") for number in range(250)))
    assert len(bench.server.events) == 100
    assert caplog.messages == []
    bench.timers.pass_by()
    assert dropped() - before == 150
    assert caplog.messages == ["150 Events were dropped: there are too many of them"]
    bench.clock.now += 5
    bench.add(WEB, *(StatusChange(True, f"Later{number}", "news") for number in range(60)))
    assert len(bench.server.events) == 150
    bench.timers.pass_by()
    assert dropped() - before == 160
    assert caplog.messages[1:] == ["10 Events were dropped: there are too many of them"]
    assert bench.timers.waiting == []


def test_no_more_than_a_burst_waits_for_a_server_that_is_slow(bench: Bench) -> None:
    bench.server.meanwhile = hub.Event().wait
    before = dropped()
    for number in range(250):
        bench.clock.now += 1
        bench.add(WEB, StatusChange(True, f"Reason{number}", "news"))
    bench.timers.pass_by()
    assert dropped() - before == 250 - 101, "one is being written"


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "no"), ValueError("odd")])
def test_an_event_that_cannot_be_written_costs_no_other(
    bench: Bench, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.failure = error
    bench.add(WEB, *(StatusChange(True, f"Reason{number}", "news") for number in range(20)))
    assert len(caplog.messages) == 20
    bench.server.failure = None
    bench.add(WEB, StatusChange(True, "Last", "news"))
    assert bench.server.seen() == [("Last", 1, "news")]
    assert bench.timers.faults == ()


def test_a_message_is_one_printable_line_of_a_bounded_length(bench: Bench) -> None:
    bench.add(WEB, StatusChange(True, "InvalidRequest", "\x1b[31m\n" + "x" * 200_000))
    (_, _, message) = bench.server.seen()[0]
    assert message.startswith("\\x1b[31m\\nxxx")
    assert len(message) <= 1000


def test_the_name_of_an_event_is_one_whatever_the_service_is_called(bench: Bench) -> None:
    long = Service(ObjectKey("default", "a" * 199 + "-b"), True, uid="u")
    bench.add(long, StatusChange(True, "R", "m"))
    (path,) = bench.server.events
    assert path.rsplit("/", 1)[1].startswith("a" * 199 + ".")


def test_an_event_names_the_object_that_it_is_about(bench: Bench) -> None:
    """Those about cluster-scoped objects are accepted in the namespace default alone."""
    bench.add(WEB, StatusChange(True, "NoPool", "m"))
    bench.add(Eip("pool", "10.0.0.1", uid="u2"), StatusChange(False, "Valid", "m"))
    about_service, about_eip = bench.server.events.values()
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
