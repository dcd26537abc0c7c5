"""Five informers side by side: what befalls one kind, or one object, is no matter of the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address

import pytest
from ryu.lib import hub

from fabric import objects
from fabric.objects import Json
from porter_ryu.domain.model import Condition, EipStatus, Kind, ObjectKey, Service, ServiceStatus
from porter_ryu.domain.objects import Reading, Unreadable
from porter_ryu.domain.verdict import PoolReason
from porter_ryu.kube.api import Api
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.metav1 import WatchEvent
from porter_ryu.supervisor import Supervisor
from tests.unit import decoded
from tests.unit.clock import Clock
from tests.unit.decoded import CODEC, text
from tests.unit.recorder import Recorder
from tests.unit.until import until

REFUSED = ApiError(0, "ConnectionRefused", "the API server 10.0.0.1:6443 refuses connections")
WEB = ObjectKey("default", "web")


class Cluster(Client):
    """Objects by kind, and kinds that cannot be read, without a server."""

    def __init__(self) -> None:
        self.objects: dict[Kind, list[Json]] = {kind: [] for kind in Kind}
        self.refused: set[Kind] = set()
        self.listed: list[Kind] = []
        self.answer: Json = {}
        self.asked: list[tuple[str, str, str]] = []
        self.bodies: list[Json] = []

    def pages(self, kind: Kind) -> Iterator[tuple[list[bytes], str]]:
        if kind in self.refused:
            raise REFUSED
        self.listed.append(kind)
        yield [text(obj) for obj in self.objects[kind]], "10"

    def version(self, kind: Kind) -> str:
        return "10"

    def watch(self, kind: Kind, resource_version: str) -> Iterator[WatchEvent]:
        return self._silence()

    def _silence(self) -> Iterator[WatchEvent]:
        hub.sleep(60)
        yield WatchEvent()

    def text(
        self,
        method: str,
        path: str,
        query: Json | None = None,
        body: Json | None = None,
        content_type: str = "",
    ) -> bytes:
        self.asked.append((method, path, content_type))
        self.bodies.append(body or {})
        return text(self.answer)


class Failing(Recorder):
    """An Observer that fails to take some kinds for a while."""

    def __init__(self, **fails: int) -> None:
        super().__init__()
        self._fails = fails

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """As it may be."""
        if self._fails.get(kind.value, 0):
            self._fails[kind.value] -= 1
            raise RuntimeError("a fault of the domain")
        super().replace(kind, objects, read_at)


@pytest.fixture
def cluster() -> Cluster:
    """One for each test."""
    return Cluster()


def test_all_kinds_are_read_although_one_reader_dies(cluster: Cluster) -> None:
    """It is started again, lists anew, and what it could not take in is taken in."""
    recorder, supervisor = Failing(nodes=2), Supervisor()
    cluster.objects[Kind.NODE] = [objects.node("n1", "10.0.0.1")]
    Api(cluster, CODEC, supervisor).start(recorder)
    until(lambda: recorder.lists == len(Kind), "nodes are listed")
    assert list(recorder) == [(Kind.NODE, ObjectKey("", "n1"))]
    assert supervisor.faults == ()


def test_one_wrong_field_costs_nobody_else_anything_and_the_record_is_told(
    cluster: Cluster,
) -> None:
    odd = objects.service("web", ports=[{"port": "80"}])
    odd["status"] = {
        "loadBalancer": {"ingress": [{"ip": "10.0.0.7"}, {"ip": 7}, "x", {"ip": "2001:db8::7"}]}
    }
    cluster.objects[Kind.SERVICE] = [odd, objects.service("good")]
    recorder = Recorder()
    Api(cluster, CODEC, Supervisor()).read_once(recorder)
    record = (ip_address("10.0.0.7"), ip_address("2001:db8::7"))
    why = "spec.ports[0].port is not a number"
    wanted = Unreadable(Kind.SERVICE, WEB, why, record, record_unread=True)
    assert recorder.unreadable("web") == wanted
    assert recorder.service("good").ours


def test_trouble_is_one_sentence_for_the_kinds_that_cannot_be_read(cluster: Cluster) -> None:
    clock = Clock()
    api = Api(cluster, CODEC, Supervisor(), clock)
    cluster.refused = {Kind.NODE, Kind.EIP}
    recorder = Recorder()
    api.start(recorder)
    until(lambda: recorder.lists == len(Kind) - 2, "the others are listed")
    assert api.trouble == "", "not at once"
    clock.now += 11
    assert api.trouble == f"nodes, eips cannot be read: {REFUSED}"
    cluster.refused = set()
    until(lambda: not api.trouble, "all kinds are read again")


def test_everything_is_listed_anew_before_the_lease_is_taken(cluster: Cluster) -> None:
    api = Api(cluster, CODEC, Supervisor())
    api.relist()
    assert cluster.listed == [], "nobody listens yet"
    recorder = Recorder()
    api.start(recorder)
    until(lambda: recorder.lists == len(Kind), "everything is listed")
    api.relist()
    assert sorted(cluster.listed, key=str) == sorted([*Kind, *Kind], key=str)


def test_an_instance_that_takes_the_lease_at_its_start_lists_everything_once(
    cluster: Cluster,
) -> None:
    api, recorder = Api(cluster, CODEC, Supervisor()), Recorder()
    api.after = hub.Event()
    api.start(recorder)
    api.relist()
    assert recorder.lists == len(Kind)
    api.after.set()
    hub.sleep(0)
    assert sorted(cluster.listed, key=str) == sorted(Kind, key=str)


def test_an_instance_that_does_not_take_it_lists_when_that_is_known(cluster: Cluster) -> None:
    api, recorder = Api(cluster, CODEC, Supervisor()), Recorder()
    api.after = hub.Event()
    api.start(recorder)
    hub.sleep(0)
    assert cluster.listed == []
    api.after.set()
    until(lambda: recorder.lists == len(Kind), "everything is listed")


def test_a_lease_that_cannot_be_asked_for_holds_no_list_back(cluster: Cluster) -> None:
    api, recorder = Api(cluster, CODEC, Supervisor()), Recorder()
    api.after = hub.Event()
    api.start(recorder)
    until(lambda: recorder.lists == len(Kind), "everything is listed")


def test_what_the_server_answers_to_a_write_counts_at_once(cluster: Cluster) -> None:
    cluster.objects[Kind.SERVICE] = [objects.service("web")]
    recorder, wanted = Recorder(), ServiceStatus((ip_address("10.0.0.1"),), ())
    api = Api(cluster, CODEC, Supervisor())
    api.read_once(recorder)
    service = recorder.service("web")
    cluster.answer = {
        **objects.service("web"),
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    }
    cluster.answer["metadata"]["resourceVersion"] = "11"
    written = api.patch(service, wanted)
    assert isinstance(written, Service)
    assert written.ingress == wanted.ingress
    odds: tuple[Json, ...] = ({}, {"metadata": []}, {**cluster.answer, "spec": []})
    for odd in odds:
        cluster.answer = odd
        assert api.patch(service, wanted) is None


def test_a_status_is_patched_where_its_kind_is_kept_and_for_the_version_that_was_read(
    cluster: Cluster,
) -> None:
    web, pool = objects.service("web"), objects.eip("pool", "10.0.0.0/28")
    for obj in (web, pool):
        obj["metadata"]["resourceVersion"] = "7"
    cluster.objects = {**cluster.objects, Kind.SERVICE: [web], Kind.EIP: [pool]}
    recorder, api = Recorder(), Api(cluster, CODEC, Supervisor())
    api.read_once(recorder)
    api.patch(recorder.service("web"), ServiceStatus((ip_address("10.0.0.1"),), ()))
    api.patch(recorder.eip("pool"), EipStatus(True, PoolReason.VALID, "fine", usage=1))
    eips = "/apis/network.kubesphere.io/v1alpha2/eips"
    assert cluster.asked == [
        (
            "PATCH",
            "/api/v1/namespaces/default/services/web/status",
            "application/strategic-merge-patch+json",
        ),
        ("PATCH", f"{eips}/pool/status", "application/merge-patch+json"),
    ]
    service, eip = cluster.bodies
    assert service == {
        "metadata": {"resourceVersion": "7"},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1", "ipMode": "VIP"}]}},
    }
    assert eip["metadata"] == {"resourceVersion": "7"}
    assert eip["status"]["usage"] == 1


def test_a_condition_keeps_its_time_over_the_api_too(cluster: Cluster) -> None:
    then = "2024-01-01T00:00:00Z"
    obj = objects.service("web")
    kind = "porter.kubesphere.io/Allocated"
    obj["status"] = {
        "conditions": [
            {"type": kind, "status": "True", "reason": "Allocated", "lastTransitionTime": then}
        ]
    }
    (condition,) = decoded.service(obj).conditions
    assert condition == Condition(kind, True, "Allocated", "")
    assert condition.since == then
