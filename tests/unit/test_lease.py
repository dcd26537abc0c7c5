"""Who leads, as one instance sees it: a Lease that others write too, and a server that fails."""

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

LONG, OVER = 10_000, 0  # seconds that a Lease lasts: for ever, or not even until it is looked at
LEADS, FOLLOWS, UNKNOWN = Role.LEADER, Role.FOLLOWER, Role.UNKNOWN


class Server:
    """An API server with the one Lease, and optimistic locking."""

    def __init__(self) -> None:
        self.version = 1
        self.spec: Json = {}
        self.away = False

    def written_by(self, holder: str, seconds: int, renewed: str = "t1") -> None:
        """Somebody else writes it."""
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
        if method == "PUT":
            assert body is not None
            if body["metadata"]["resourceVersion"] != str(self.version):
                raise ApiError(409, "Conflict", "the object has been modified")
            self.version += 1
            self.spec = body["spec"]
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": dict(self.spec)}


class Instance:
    """One that tries; `told` is what it came to know of who leads."""

    def __init__(self, server: Server, prepare: Callable[[], None] = lambda: None) -> None:
        self.told: list[Role] = []
        self.prepared = 0

        def count() -> None:
            self.prepared += 1
            prepare()

        self.lease = Lease(server, "porter-system", count, self.told.append, Supervisor())


def test_a_lease_that_nobody_holds_is_taken_and_kept() -> None:
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


def test_one_that_has_expired_is_taken() -> None:
    server = Server()
    server.written_by("other", OVER)
    one = Instance(server)
    one.lease.attempt()
    assert one.told == [LEADS]
    assert server.spec["holderIdentity"] != "other"


def test_who_led_follows_when_another_has_taken_it_meanwhile() -> None:
    server = Server()
    one = Instance(server)
    one.lease.attempt()
    server.written_by("other", LONG)
    one.lease.attempt()
    assert one.told == [LEADS, FOLLOWS]


def test_of_two_that_take_it_at_once_one_does() -> None:
    server = Server()
    two = Instance(server)
    one = Instance(server, prepare=two.lease.attempt)
    with pytest.raises(ApiError, match="modified"):
        one.lease.attempt()
    assert (one.told, two.told) == ([], [LEADS])


def test_it_is_not_taken_by_one_that_could_not_list() -> None:
    def fails() -> None:
        raise ApiError(0, "Timeout", "nothing is listed")

    server = Server()
    one = Instance(server, fails)
    with pytest.raises(ApiError):
        one.lease.attempt()
    assert (one.told, server.spec) == ([], {})


def test_it_is_given_up_at_the_end_and_the_next_one_takes_it_at_once() -> None:
    server = Server()
    one, two = Instance(server), Instance(server)
    one.lease.attempt()
    one.lease.stop()
    assert one.told == [LEADS, UNKNOWN]
    two.lease.attempt()
    assert two.told == [LEADS]


def test_a_server_that_is_away_at_the_end_holds_nothing_up() -> None:
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
def test_an_odd_lease_is_an_error_and_taken_once_it_is_mended(odd: dict[str, Any]) -> None:
    server = Server()
    server.spec = {"holderIdentity": "", **odd}
    one = Instance(server)
    with pytest.raises(ValueError, match="spec"):
        one.lease.attempt()
    assert one.told == []
    server.spec = {}
    one.lease.attempt()
    assert one.told == [LEADS]


def test_an_odd_lease_does_not_end_the_greenthread(caplog: pytest.LogCaptureFixture) -> None:
    server, supervisor = Server(), Supervisor()
    server.spec = {"holderIdentity": ["other"]}
    one = Lease(server, "porter-system", lambda: None, lambda _standing: None, supervisor)
    one.start()
    wrong = "the Lease cannot be kept: spec.holderIdentity is not a string"
    until(lambda: wrong in caplog.text, "it is told")
    one.stop()
    assert supervisor.faults == ()


def test_nobody_keeps_it_for_longer_than_a_minute_by_a_number() -> None:
    """Its holder is dead, and left a number of seconds that nobody lives to see."""
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
def test_it_is_taken_however_often_it_was_taken(before: int) -> None:
    server = Server()
    server.spec = {"leaseTransitions": before}
    one = Instance(server)
    one.lease.attempt()
    assert server.spec["leaseTransitions"] == 2**31 - 1
