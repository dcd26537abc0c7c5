"""What is written to status: what a patch says, what a directory keeps, and its reading back."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from msgspec import structs

from fabric import objects
from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.decision import Decision, service_status
from porter_ryu.domain.model import Condition, Eip, EipStatus, ObjectKey, Service, ServiceStatus
from porter_ryu.domain.objects import ObjectStatus, WithStatus
from porter_ryu.domain.verdict import PoolReason, Reason, Verdict
from porter_ryu.kube.codec import encode_status, status_patch
from tests.unit import decoded
from tests.unit.world import World

NOW, THEN = "2025-06-07T08:09:10Z", "2024-01-01T00:00:00Z"
ALLOCATED = Condition("porter.kubesphere.io/Allocated", True, "Allocated", "x", THEN)
ANNOUNCED = Condition("porter.kubesphere.io/Announced", False, "NoReadyEndpoints", "y", THEN)
READY = EipStatus(True, PoolReason.VALID, "fine", since=THEN)


def service(**fields: Any) -> Service:
    """A Service of ours as an API server keeps it."""
    return Service(ObjectKey("default", "web"), True, resource_version="7", **fields)


def kept(obj: WithStatus, wanted: ObjectStatus) -> dict[str, Any]:
    """The whole status."""
    encoded = encode_status(obj, wanted, NOW)
    assert encoded is not None
    return encoded


def times(entries: list[dict[str, Any]]) -> list[str | None]:
    """The lastTransitionTime of each condition."""
    return [entry.get("lastTransitionTime") for entry in entries]


def test_a_patch_says_what_changed_and_carries_the_version() -> None:
    before = service(ingress=(ip_address("10.0.0.1"),), conditions=(ALLOCATED, ANNOUNCED))
    wanted = ServiceStatus((ip_address("10.0.0.2"),), (ALLOCATED,))
    assert status_patch(before, wanted, NOW) == {
        "metadata": {"resourceVersion": "7"},
        "status": {
            "loadBalancer": {"ingress": [{"ip": "10.0.0.2", "ipMode": "VIP"}]},
            "conditions": [
                {"type": ALLOCATED.type, "status": "True", "reason": "Allocated", "message": "x"},
                {"$patch": "delete", "type": ANNOUNCED.type},
            ],
        },
    }
    nothing = status_patch(before, ServiceStatus((), ()), NOW)
    assert nothing["status"]["loadBalancer"] == {"ingress": None}


def test_a_patch_of_a_record_that_stays_says_nothing_of_it() -> None:
    before = service(ingress=(ip_address("10.0.0.1"),))
    patch = status_patch(before, ServiceStatus(before.ingress, (ALLOCATED,)), NOW)
    assert list(patch["status"]) == ["conditions"]
    assert list(status_patch(before, before.status, NOW)["status"]) == []


def test_the_time_of_a_condition_moves_with_its_status_alone() -> None:
    before = service(conditions=(ALLOCATED, ANNOUNCED))
    wanted = ServiceStatus(
        (),
        (
            structs.replace(ALLOCATED, message="other words", since=""),
            structs.replace(ANNOUNCED, status=True, reason="Announced", since=""),
            Condition("porter.kubesphere.io/New", True, "New", "x"),
        ),
    )
    assert times(kept(before, wanted)["conditions"]) == [THEN, NOW, NOW]
    assert times(status_patch(before, wanted, NOW)["status"]["conditions"]) == [None, NOW, NOW]


def test_so_does_that_of_an_eip() -> None:
    eip = Eip("pool", "10.0.0.1", status=READY)
    same = structs.replace(READY, usage=7, since="")
    assert times(kept(eip, same)["conditions"]) == [THEN]
    broken = EipStatus(False, PoolReason.OVERLAPS, "with another")
    assert times(kept(eip, broken)["conditions"]) == [NOW]
    assert times(kept(Eip("new", "10.0.0.1"), READY)["conditions"]) == [NOW]


def test_of_a_service_that_is_not_ours_a_directory_keeps_nothing() -> None:
    assert encode_status(service(conditions=(ALLOCATED,)), ServiceStatus((), ()), NOW) is None


def test_a_patch_of_an_eip_takes_away_the_addresses_that_are_used_no_longer() -> None:
    used = {"10.0.0.1": "default/a", "10.0.0.2": "default/b"}
    status = structs.replace(READY, used=used)
    eip = Eip("pool", "10.0.0.0/29", resource_version="7", status=status)
    wanted = structs.replace(READY, used={"10.0.0.2": "default/c", "10.0.0.3": "default/d"})
    patch = status_patch(eip, wanted, NOW)
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert patch["status"]["used"] == {
        "10.0.0.1": None,
        "10.0.0.2": "default/c",
        "10.0.0.3": "default/d",
    }
    assert patch["status"]["serving"] is None
    assert kept(eip, wanted)["used"] == wanted.used


def test_what_is_kept_of_a_service_is_read_back_as_it_was() -> None:
    wanted = ServiceStatus(
        (ip_address("10.0.0.1"), ip_address("2001:db8::1")), (ALLOCATED, ANNOUNCED)
    )
    stored = {**objects.service("web"), "status": kept(service(), wanted)}
    assert decoded.service(stored).status == wanted


def test_what_is_kept_of_an_eip_is_read_back_as_it_was() -> None:
    wanted = EipStatus(
        ready=True,
        reason=PoolReason.VALID,
        message="2 addresses",
        occupied=True,
        usage=2,
        pool_size=2,
        first_ip="10.0.0.1",
        last_ip="10.0.0.2",
        v4=True,
        used={"10.0.0.2": "default/a", "10.0.0.1": "default/b;default/c"},
        serving=Eip("pool", "10.0.0.1-10.0.0.2", priority=3),
    )
    stored = objects.eip("pool", "10.0.0.1-10.0.0.2")
    stored["status"] = kept(Eip("pool", "10.0.0.1-10.0.0.2"), wanted)
    assert decoded.eip(stored).status == wanted


def test_conditions_in_another_order_are_the_same_status() -> None:
    stored = {**objects.service("web"), "status": kept(service(), ServiceStatus((), (ALLOCATED,)))}
    foreign = {"type": "elsewhere.example/Ready", "status": "True"}
    announced = kept(service(), ServiceStatus((), (ANNOUNCED,)))["conditions"]
    stored["status"]["conditions"] = [*announced, foreign, *stored["status"]["conditions"]]
    assert decoded.service(stored).status == ServiceStatus((), (ALLOCATED, ANNOUNCED))


def test_a_service_that_is_not_ours_has_nothing_to_be_put_right() -> None:
    ingress = [{"hostname": "elsewhere.example"}]
    stored = {**objects.service("web"), "status": {"loadBalancer": {"ingress": ingress}}}
    assert not decoded.service(stored).status.plain_ingress
    stored["spec"]["type"] = "ClusterIP"
    assert decoded.service(stored).status.plain_ingress


LONG = "x" * 200_000 + "\x1b"


def test_a_message_is_cut_where_the_status_is_made_so_that_it_is_written_once() -> None:
    refusal = Verdict(False, Reason.INVALID_REQUEST, LONG)
    (condition,) = service_status(Decision(service(), Outcome((), refusal), None), ()).conditions
    assert len(condition.message) == 1024
    stored = {
        **objects.service("web"),
        "status": kept(service(), ServiceStatus((), (condition,))),
    }
    assert decoded.service(stored).conditions == (condition,)


def test_so_is_that_of_an_eip() -> None:
    world = World(Eip("pool", "10.0.0.1", invalid=LONG)).turn()
    message = world.planner.allocator.pool_status("pool").message
    assert len(message) == 1024
    assert message.isprintable()


def test_the_form_that_serves_comes_back_from_status_as_it_was() -> None:
    spec = {
        "disable": True,
        "autoAssign": False,
        "avoidBuggyIPs": True,
        "priority": -3,
        "namespaces": ["a", "b"],
        "namespaceSelector": {"k": "v"},
        "serviceSelector": {
            "matchLabels": {"x": "y"},
            "matchExpressions": [{"key": "z", "operator": "NotIn", "values": ["2", "1"]}],
        },
        "protocol": "bgp",
    }
    form = decoded.eip(objects.eip("pool", "10.0.0.1-10.0.0.9", **spec)).spec_only()
    broken = objects.eip("pool", "oops")
    wanted = EipStatus(False, PoolReason.INVALID_ADDRESS, "oops", serving=form)
    broken["status"] = kept(Eip("pool", "oops"), wanted)
    assert isinstance(broken["status"]["serving"], str), "a merge patch replaces text whole"
    read = decoded.eip(broken).status
    assert read is not None
    assert read.serving == form
    broken["status"]["serving"] = "{not JSON"
    assert decoded.eip(broken).status is None
