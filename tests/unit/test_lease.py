"""Leader election as one instance sees it: other writers of the Lease, and a failing API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fabric.objects import Json
from porter_ryu.domain.ports import Role
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.lease import Lease
from porter_ryu.supervisor import Supervisor
from tests.unit.until import until

LONG, OVER = 10_000, 0  # seconds that a Lease lasts: it never expires, or is expired at once
LEADS, FOLLOWS, UNKNOWN = Role.LEADER, Role.FOLLOWER, Role.UNKNOWN


class Server:
    """An API server with the one Lease, and optimistic locking."""

    def __init__(self) -> None:
        self.version = 1
        self.spec: Json = {}
        self.away = False
        self.asked: list[str] = []

    def written_by(self, holder: str, seconds: int, renewed: str = "t1") -> None:
        """Another holder writes the Lease."""
        self.version += 1
        self.spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds,
            "renewTime": renewed,
        }

    def request(
        self, method: str, path: str, query: Json | None = None, body: Json | None = None
    ) -> Json:
        """GET and PUT."""
        assert path.endswith("/namespaces/porter-system/leases/porter-ryu")
        if self.away:
            raise ApiError(0, "ConnectError", "no answer")
        self.asked.append(method)
        if method == "PUT":
            assert body is not None
            if body["metadata"]["resourceVersion"] != str(self.version):
                raise ApiError(409, "Conflict", "the object has been modified")
            self.version += 1
            self.spec = body["spec"]
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": dict(self.spec)}


class Instance:
    """An instance that tries to lead; `told` has the reported roles."""

    def __init__(self, server: Server, prepare: Callable[[], None] = lambda: None) -> None:
        self.told: list[Role] = []
        self.prepared = 0

        def count() -> None:
            self.prepared += 1
            prepare()

        self.lease = Lease(server, "porter-system", count, self.told.append, Supervisor())


def test_a_lease_without_a_holder_is_acquired_and_renewed() -> None:
    server = Server()
    one = Instance(server)
    one.lease.attempt()
    first = server.spec
    one.lease.attempt()
    assert one.told == [LEADS, LEADS]
    assert one.prepared == 1, "who takes it lists everything first, who keeps it need not"
    assert server.spec["holderIdentity"] == first["holderIdentity"]
    assert server.spec["acquireTime"] == first["acquireTime"]
    assert server.spec["leaseTransitions"] == 1


def test_a_holder_renews_without_reading() -> None:
    server = Server()
    one = Instance(server)
    for _ in range(3):
        one.lease.attempt()
    assert server.asked == ["GET", "PUT", "PUT", "PUT"]


def test_a_renewal_that_another_write_came_before_reads_the_lease() -> None:
    server = Server()
    one = Instance(server)
    one.lease.attempt()
    server.version += 1  # somebody added a label
    one.lease.attempt()
    assert one.told == [LEADS, LEADS]
    assert server.asked == ["GET", "PUT", "PUT", "GET", "PUT"]


def test_after_a_renewal_without_an_answer_the_lease_is_read() -> None:
    """It may have arrived."""
    server = Server()
    one = Instance(server)
    one.lease.attempt()
    server.away = True
    with pytest.raises(ApiError):
        one.lease.attempt()
    server.away = False
    server.asked.clear()
    one.lease.attempt()
    assert server.asked == ["GET", "PUT"]


class SlowServer(Server):
    """A server that does `meanwhile` between a write and its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None

    def request(
        self, method: str, path: str, query: Json | None = None, body: Json | None = None
    ) -> Json:
        """GET and PUT."""
        answer = super().request(method, path, query, body)
        if method == "PUT":
            self.meanwhile()
        return answer


@pytest.mark.parametrize("renewal", [False, True])
def test_who_learns_that_it_has_the_lease_when_it_may_be_over_does_not_lead(renewal: bool) -> None:
    """Another instance may have acquired it before the answer came."""
    server, now = SlowServer(), [1000.0]
    told: list[Role] = []
    one = Lease(server, "porter-system", lambda: None, told.append, Supervisor(), lambda: now[0])
    if renewal:
        one.attempt()

    def pass_time() -> None:
        now[0] += 11

    server.meanwhile = pass_time
    told.clear()
    one.attempt()
    assert told == [UNKNOWN]
    server.meanwhile = lambda: None
    server.asked.clear()
    one.attempt()
    assert told == [UNKNOWN, LEADS]
    assert server.asked == ["GET", "PUT"], "what is written since has to be read first"


def test_who_stops_while_it_renews_does_not_lead_any_more() -> None:
    server = SlowServer()
    one = Instance(server)
    one.lease.attempt()

    def stop() -> None:
        server.meanwhile = lambda: None
        one.lease.stop()

    server.meanwhile = stop
    one.lease.attempt()
    assert one.told == [LEADS, UNKNOWN]
    assert server.spec["holderIdentity"] == "", "it is released"


def test_a_holder_counts_as_alive_only_once_it_is_seen_to_renew() -> None:
    server = Server()
    server.written_by("other", LONG)
    one = Instance(server)
    one.lease.attempt()
    one.lease.attempt()
    assert one.told == [], "it may have died before this one started"
    server.written_by("other", LONG, renewed="t2")
    one.lease.attempt()
    assert one.told == [FOLLOWS]


def test_an_expired_lease_is_acquired() -> None:
    server = Server()
    server.written_by("other", OVER)
    one = Instance(server)
    one.lease.attempt()
    assert one.told == [LEADS]
    assert server.spec["holderIdentity"] != "other"


def test_a_leader_follows_when_another_has_acquired_the_lease() -> None:
    server = Server()
    one = Instance(server)
    one.lease.attempt()
    server.written_by("other", LONG)
    one.lease.attempt()
    assert one.told == [LEADS, FOLLOWS]


def test_only_one_of_two_instances_acquires_the_lease() -> None:
    server = Server()
    two = Instance(server)
    one = Instance(server, prepare=two.lease.attempt)
    with pytest.raises(ApiError, match="modified"):
        one.lease.attempt()
    assert (one.told, two.told) == ([], [LEADS])


def test_an_instance_that_cannot_list_does_not_acquire_the_lease() -> None:
    def fails() -> None:
        raise ApiError(0, "Timeout", "nothing is listed")

    server = Server()
    one = Instance(server, fails)
    with pytest.raises(ApiError):
        one.lease.attempt()
    assert (one.told, server.spec) == ([], {})


def test_a_released_lease_is_acquired_at_once() -> None:
    server = Server()
    one, two = Instance(server), Instance(server)
    one.lease.attempt()
    one.lease.stop()
    assert one.told == [LEADS, UNKNOWN]
    two.lease.attempt()
    assert two.told == [LEADS]


def test_a_stop_does_not_wait_for_a_failing_server() -> None:
    server = Server()
    one = Instance(server)
    one.lease.attempt()
    server.away = True
    one.lease.stop()
    assert one.told == [LEADS, UNKNOWN]


@pytest.mark.parametrize(
    "odd",
    [
        {"holderIdentity": ["other"]},
        {"holderIdentity": 7},
        {"renewTime": {}},
        {"leaseDurationSeconds": "long"},
        {"leaseDurationSeconds": True},
        {"leaseDurationSeconds": 10**400},
        {"leaseDurationSeconds": 1e400},
        {"leaseTransitions": "many"},
    ],
)
def test_an_invalid_lease_is_an_error_and_acquired_once_it_is_valid(odd: dict[str, Any]) -> None:
    server = Server()
    server.spec = {"holderIdentity": "", **odd}
    one = Instance(server)
    with pytest.raises(ValueError, match="spec"):
        one.lease.attempt()
    assert one.told == []
    server.spec = {}
    one.lease.attempt()
    assert one.told == [LEADS]


def test_an_invalid_lease_does_not_end_the_greenthread(caplog: pytest.LogCaptureFixture) -> None:
    server, supervisor = Server(), Supervisor()
    server.spec = {"holderIdentity": ["other"]}
    one = Lease(server, "porter-system", lambda: None, lambda _standing: None, supervisor)
    one.start()
    wrong = "the Lease cannot be acquired or renewed: spec.holderIdentity is not a string"
    until(lambda: wrong in caplog.text, "it is told")
    one.stop()
    assert supervisor.faults == ()


def test_a_lease_expires_within_a_minute_whatever_its_duration() -> None:
    """A holder that failed may have left a very long duration."""
    server, now = Server(), [1000.0]
    server.written_by("other", 2**31 - 1)
    told: list[Role] = []
    one = Lease(server, "porter-system", lambda: None, told.append, Supervisor(), lambda: now[0])
    one.attempt()
    now[0] += 59
    one.attempt()
    assert told == []
    now[0] += 2
    one.attempt()
    assert told == [LEADS]


@pytest.mark.parametrize("before", [2**31 - 1, 2**40])
def test_a_lease_with_any_number_of_transitions_is_acquired(before: int) -> None:
    server = Server()
    server.spec = {"leaseTransitions": before}
    one = Instance(server)
    one.lease.attempt()
    assert server.spec["leaseTransitions"] == 2**31 - 1
