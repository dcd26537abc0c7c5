"""Status is written on change only, one failing object costs nobody else, and none is stormed."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec import structs
from ryu.lib import hub

from porter_ryu.domain.model import (
    Condition,
    Eip,
    EipStatus,
    Kind,
    ObjectKey,
    Service,
    ServiceStatus,
)
from porter_ryu.domain.objects import Object, ObjectStatus, Reading, WithStatus
from porter_ryu.domain.status_changes import StatusChange
from porter_ryu.domain.verdict import PoolReason
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.writer import Writer
from porter_ryu.supervisor import Supervisor, Task
from tests.unit.recorder import Recorder
from tests.unit.until import until

WEB = ObjectKey("default", "web")
REFUSED = ApiError(422, "Invalid", "no")


def service(name: str, **fields: Any) -> Service:
    """A Service of ours."""
    return Service(ObjectKey("default", name), True, **fields)


def status(text: str = "10.0.0.1", message: str = "fine") -> ServiceStatus:
    """One that has an address."""
    condition = Condition("porter.kubesphere.io/Allocated", True, "Allocated", message)
    return ServiceStatus((ip_address(text),), (condition,))


class Backend:
    """Writes, or fails as the test sets, and records the requests.  `meanwhile` is what happens
    while it writes a Service, and `most` how many it ever wrote at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, Exception] = {}
        self.events: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.most = self._writing = 0

    def patch(self, obj: WithStatus, wanted: ObjectStatus) -> Object:
        if isinstance(obj, Eip):
            assert isinstance(wanted, EipStatus)
            self.asked.append((obj.name, f"{wanted.usage} used"))
            return structs.replace(obj, status=wanted)
        assert isinstance(obj, Service)
        assert isinstance(wanted, ServiceStatus)
        name = obj.key.name
        self.asked.append((name, str(wanted.ingress[0])))
        self._writing += 1
        self.most = max(self.most, self._writing)
        self.meanwhile()
        self._writing -= 1
        if name in self.answers:
            raise self.answers[name]
        return structs.replace(obj, ingress=wanted.ingress, conditions=wanted.conditions)

    def event(self, _obj: WithStatus, change: StatusChange) -> None:
        self.events.append(change.reason)


class Timers(Supervisor):
    """A supervisor whose delays pass when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.waiting: list[tuple[float, Callable[..., object], tuple[object, ...]]] = []

    def after(self, seconds: float, name: str, run: Callable[..., object], *args: object) -> Task:
        assert seconds <= 60
        self.waiting.append((self.now + seconds, run, args))
        return Task(name, None, self.now)

    def pass_by(self, seconds: float) -> None:
        """Time passes, and what is due is done."""
        end = self.now + seconds
        while due := sorted((w for w in self.waiting if w[0] <= end), key=lambda w: w[0]):
            self.waiting.remove(due[0])
            self.now, run, args = due[0]
            run(*args)
            hub.sleep(0)
        self.now = end


class Noting(Recorder):
    """An Observer that notes what is put, and then fails if the test sets a failure."""

    def __init__(self) -> None:
        super().__init__()
        self.put_: list[str] = []
        self.failure: Exception | None = None

    def put(self, obj: Reading, read_at: float) -> None:
        self.put_.append(obj.key.name)
        if self.failure is not None:
            raise self.failure


class Bench:
    """A writer that runs."""

    def __init__(self) -> None:
        self.timers, self.backend, self.recorder = Timers(), Backend(), Noting()
        self.writer = Writer(self.backend, self.timers, lambda: self.timers.now)
        self.writer.start(self.recorder)

    def want(self, name: str, wanted: ServiceStatus, **fields: Any) -> None:
        """Wishes, and lets the workers work."""
        self.writer.want(service(name, **fields), wanted)
        hub.sleep(0)


@pytest.fixture
def bench() -> Bench:
    """One for each test."""
    return Bench()


def test_what_is_written_is_told_at_once(bench: Bench) -> None:
    bench.want("web", status())
    assert bench.backend.asked == [("web", "10.0.0.1")]
    assert bench.recorder.put_ == ["web"]
    assert bench.backend.events == ["Allocated"]
    assert bench.writer.idle


def test_nothing_is_written_where_nothing_differs(bench: Bench) -> None:
    wanted = status()
    bench.want("web", wanted, ingress=wanted.ingress, conditions=wanted.conditions)
    old = structs.replace(wanted.conditions[0], since="2024-01-01T00:00:00Z")
    bench.want("web", wanted, ingress=wanted.ingress, conditions=(old,))
    assert bench.backend.asked == []


def test_a_new_wish_does_not_hurry_an_object_that_cannot_be_written(bench: Bench) -> None:
    """Its endpoints change ten times a second for a minute, and the server says no each time."""
    bench.backend.answers["web"] = REFUSED
    for number in range(600):
        bench.want("web", status("10.0.0.1", f"endpoints {number}"))
        bench.timers.pass_by(0.1)
    assert 5 < len(bench.backend.asked) <= 12
    del bench.backend.answers["web"]
    bench.timers.pass_by(30)
    assert bench.writer.idle
    bench.want("web", status("10.0.0.2"))
    assert bench.backend.asked[-1] == ("web", "10.0.0.2"), "at once, now that it was written"


def test_a_wish_that_ceases_meanwhile_does_not_hurry_it_either(bench: Bench) -> None:
    bench.backend.answers["web"] = REFUSED
    wanted = status()
    for _ in range(600):
        bench.want("web", wanted)
        bench.want("web", wanted, ingress=wanted.ingress, conditions=wanted.conditions)
        bench.timers.pass_by(0.1)
    assert len(bench.backend.asked) <= 12


def test_an_object_that_is_gone_leaves_nothing_behind_when_its_last_write_fails(
    bench: Bench,
) -> None:
    bench.backend.answers["web"] = REFUSED
    bench.backend.meanwhile = lambda: bench.writer.forget(Kind.SERVICE, WEB)
    bench.want("web", status())
    bench.timers.pass_by(120)
    assert bench.writer.idle
    assert bench.timers.waiting == []


def test_the_same_wish_again_while_it_is_written_is_written_once(bench: Bench) -> None:
    answered = hub.Event()
    bench.backend.meanwhile = answered.wait
    bench.want("web", status())
    bench.want("web", status())
    answered.set()
    until(lambda: bench.writer.idle)
    assert len(bench.backend.asked) == 1


def test_what_is_tried_again_is_the_newest_wish(bench: Bench) -> None:
    bench.backend.answers["web"] = REFUSED
    bench.want("web", status("10.0.0.1"))
    bench.want("web", status("10.0.0.2"))
    del bench.backend.answers["web"]
    bench.timers.pass_by(1)
    assert bench.backend.asked == [("web", "10.0.0.1"), ("web", "10.0.0.2")]


@pytest.mark.parametrize(("asked", "least"), [(7.0, 7.0), (10**9, 60.0)])
def test_retry_after_is_honoured_up_to_a_minute(bench: Bench, asked: float, least: float) -> None:
    bench.backend.answers["web"] = ApiError(429, "TooManyRequests", "slow down", asked)
    bench.want("web", status())
    bench.timers.pass_by(least - 0.1)
    assert len(bench.backend.asked) == 1
    bench.timers.pass_by(0.2)
    assert len(bench.backend.asked) == 2


@pytest.mark.parametrize(
    "error",
    [RecursionError(), ValueError("odd"), KeyError("x"), UnicodeEncodeError("a", "b", 0, 1, "c")],
)
def test_an_exception_costs_its_object_alone_and_no_worker(
    bench: Bench, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    bench.backend.answers["odd"] = error
    for _ in range(20):
        bench.want("odd", status())
        bench.timers.pass_by(60)
    bench.want("web", status())
    assert bench.backend.asked[-1] == ("web", "10.0.0.1")
    assert "status of services default/odd is not written" in caplog.text
    assert bench.timers.faults == ()
    del bench.backend.answers["odd"]
    bench.timers.pass_by(60)
    assert bench.writer.idle


def test_an_observer_that_fails_ends_no_worker(bench: Bench) -> None:
    bench.recorder.failure = RuntimeError("a fault of the domain")
    for number in range(20):
        bench.want(f"s{number}", status())
    assert len(bench.backend.asked) == 20
    assert bench.timers.faults == ()


def test_an_object_that_is_gone_is_forgotten_with_its_failures(bench: Bench) -> None:
    bench.backend.answers["web"] = REFUSED
    for _ in range(8):
        bench.want("web", status())
        bench.timers.pass_by(20)
    bench.writer.forget(Kind.SERVICE, ObjectKey("default", "web"))
    assert bench.writer.idle
    before = len(bench.backend.asked)
    bench.want("web", status())
    assert len(bench.backend.asked) == before + 1, "it was made again, and is tried at once"
    bench.backend.answers["web"] = ApiError(404, "NotFound", "gone")
    bench.timers.pass_by(60)
    assert bench.writer.idle


def test_one_object_is_not_written_by_two_at_once(bench: Bench) -> None:
    answered = hub.Event()
    bench.backend.meanwhile = answered.wait
    for number in range(1, 5):
        bench.want("web", status(f"10.0.0.{number}"))
    answered.set()
    until(lambda: bench.writer.idle)
    assert bench.backend.most == 1
    assert bench.backend.asked == [("web", "10.0.0.1"), ("web", "10.0.0.4")]


def test_an_eip_of_which_nothing_but_a_time_or_an_order_differs_is_not_written(
    bench: Bench,
) -> None:
    used = {"10.0.0.2": "default/a", "10.0.0.10": "default/b"}
    then = "2024-01-01T00:00:00Z"
    before = EipStatus(True, PoolReason.VALID, "fine", used=used, since=then)
    other_way_round = dict(sorted(used.items()))
    wanted = structs.replace(before, used=other_way_round, since="")
    assert list(used) != list(other_way_round)
    bench.writer.want(Eip("pool", "10.0.0.1", status=before), wanted)
    hub.sleep(0)
    assert bench.backend.asked == []


def pool_status(usage: int) -> EipStatus:
    """One that says how many addresses are in use."""
    return EipStatus(True, PoolReason.VALID, "fine", usage=usage)


def test_an_eip_is_written_once_a_second_however_often_it_changes(bench: Bench) -> None:
    for usage in range(1, 101):
        bench.writer.want(Eip("pool", "10.0.0.0/16"), pool_status(usage))
        hub.sleep(0)
        bench.timers.pass_by(0.1)
    written = bench.backend.asked
    assert written[0] == ("pool", "1 used"), "at once"
    assert 9 <= len(written) <= 11
    bench.timers.pass_by(1)
    assert bench.backend.asked[-1] == ("pool", "100 used")
    assert bench.writer.idle
    bench.timers.pass_by(10)
    bench.writer.want(Eip("pool", "10.0.0.0/16"), pool_status(101))
    hub.sleep(0)
    assert bench.backend.asked[-1] == ("pool", "101 used"), "at once, after a rest"


def test_an_eip_that_is_made_again_does_not_wait_for_the_one_before(bench: Bench) -> None:
    for usage in (1, 2):
        bench.writer.want(Eip("pool", "10.0.0.0/16"), pool_status(usage))
        hub.sleep(0)
        bench.writer.forget(Kind.EIP, ObjectKey("", "pool"))
    assert bench.backend.asked == [("pool", "1 used"), ("pool", "2 used")]
