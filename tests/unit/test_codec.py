"""API JSON to values: defaults as Kubernetes applies them, and nonsense as a clear error."""

from __future__ import annotations

import copy
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fabric import objects
from fabric.objects import Json
from porter_ryu.domain.model import (
    EipStatus,
    Endpoint,
    EndpointSlice,
    Family,
    Kind,
    ObjectKey,
    Service,
    ServiceStatus,
)
from porter_ryu.domain.objects import Unreadable
from porter_ryu.kube.codec import identity, kind_of, status_patch
from porter_ryu.kube.errors import CodecError
from tests.unit import decoded
from tests.unit.decoded import CODEC, text

WEB = ObjectKey("default", "web")
ADVERTISEMENT = {
    "peers": ["leaf1"],
    "nodeSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
    "communities": ["65000:1", "1:2:3"],
    "localPref": 1,
    "aggregationLength": 24,
}


def status_of(obj: Json) -> EipStatus:
    """The decoded status of an Eip."""
    status = decoded.eip(obj).status
    assert status is not None
    return status


def service(**more: Any) -> Service:
    """A decoded Service."""
    return decoded.service(objects.service("web", **more))


@pytest.mark.parametrize(
    ("obj", "ours"),
    [
        (objects.service("a"), True),
        (objects.service("a", ours=False), False),
        (
            objects.service("a", ours=False, annotations={"lb.kubesphere.io/v1apha1": "porter"}),
            True,
        ),
        (objects.service("a", annotations={"lb.kubesphere.io/v1alpha1": "openelb"}), False),
        (objects.service("a", type="NodePort"), False),
        (objects.service("a", loadBalancerClass="another"), False),
        (objects.service("a", ours=False, loadBalancerClass="porter.example/ours"), True),
    ],
)
def test_which_services_are_ours(obj: Json, ours: bool) -> None:
    value = decoded.service(obj)
    assert value.ours is ours
    assert bool(value.not_ours) is not ours


@pytest.mark.parametrize(
    ("more", "addresses", "error"),
    [
        ({}, None, None),
        ({"annotations": {"eip.porter.kubesphere.io/v1alpha1": ""}}, None, None),
        ({"annotations": {"eip.porter.kubesphere.io/v1alpha1": "10.0.0.1"}}, ["10.0.0.1"], None),
        (
            {"annotations": {"eip.openelb.kubesphere.io/v1alpha1": "10.0.0.1, 2001:db8::1"}},
            ["10.0.0.1", "2001:db8::1"],
            None,
        ),
        (
            {
                "annotations": {"eip.porter.kubesphere.io/v1alpha1": "10.0.0.1"},
                "loadBalancerIP": "10.0.0.2",
                "externalIPs": ["10.0.0.3"],
            },
            ["10.0.0.1"],
            None,
        ),
        ({"loadBalancerIP": "10.0.0.2", "externalIPs": ["10.0.0.3"]}, ["10.0.0.2"], None),
        ({"externalIPs": ["10.0.0.3"]}, ["10.0.0.3"], None),
        ({"loadBalancerIP": "10.0.0"}, [], "not an IP address"),
        ({"loadBalancerIP": "::ffff:10.0.0.1"}, [], "not an IP address"),
        ({"loadBalancerIP": "fe80::1%eth0"}, [], "not an IP address"),
        ({"externalIPs": ["10.0.0.3", "10.0.0.4"]}, [], "more than one"),
    ],
)
def test_what_a_service_asks_for(
    more: dict[str, Any], addresses: list[str] | None, error: str | None
) -> None:
    request = service(**more).request
    if addresses is None:
        assert request is None
        return
    assert request is not None
    assert [str(a) for a in request.addresses] == addresses
    assert (error is None) == (request.error is None)
    assert (error or "") in (request.error or "")


def test_endpoint_defaults() -> None:
    piece = objects.slice_of("web", "n1")
    piece["endpoints"] = [
        {"nodeName": "n1"},
        {"conditions": {"ready": False}},
        {"conditions": None},
    ]
    assert decoded.endpoint_slice(piece).endpoints == (
        Endpoint("n1", True, True, False),
        Endpoint(None, False, False, False),
        Endpoint(None, True, True, False),
    )
    assert decoded.endpoint_slice({**piece, "addressType": "FQDN"}).family is None


def test_the_pod_behind_an_endpoint_is_read_where_endpoints_are_counted() -> None:
    piece = objects.slice_of("web", "n1", "n1", "n1")
    piece["endpoints"][0]["targetRef"] = {"kind": "Pod", "uid": "a"}
    piece["endpoints"][1]["targetRef"] = None
    counting = replace(CODEC, counts_endpoints=True)
    read = counting.decode(Kind.ENDPOINT_SLICE, WEB, text(piece))
    assert isinstance(read, EndpointSlice)
    assert [endpoint.target for endpoint in read.endpoints] == ["a", None, None]
    assert {endpoint.target for endpoint in decoded.endpoint_slice(piece).endpoints} == {None}


@pytest.mark.parametrize(
    ("annotation", "weight"),
    [(str(weight), weight) for weight in (1, 50, 999, 1000)]
    + [(odd, None) for odd in ("", "0", "1001", "01", "+1", "1.0", " 1", "1\n", "\u0661", "-1")]
    + [(odd, None) for odd in ("x" * 999, "\x1b[2J")],
)
def test_the_weight_of_a_node(annotation: Any, weight: int | None) -> None:
    found = decoded.node(
        objects.node("n1", "192.168.0.1", annotations={"porter.kubesphere.io/weight": annotation})
    )
    assert found.weight == weight
    assert bool(found.weight_error) == (weight is None)
    assert len(found.weight_error) < 300
    assert found.weight_error.isprintable()


@pytest.mark.parametrize("annotations", [{}, None])
def test_a_node_without_the_annotation_has_no_weight_and_no_error(annotations: Any) -> None:
    found = decoded.node(objects.node("n1", "192.168.0.1", annotations=annotations))
    assert (found.weight, found.weight_error, found.cpu) == (None, "", None)


@pytest.mark.parametrize(
    ("allocatable", "cpu"),
    [
        ({"cpu": "3920m"}, 3920),
        ({"cpu": 4}, 4000),
        ({"cpu": "lots"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_cpus_of_a_node(allocatable: Any, cpu: int | None) -> None:
    bare = objects.node("n1", "192.168.0.1")
    bare["status"]["allocatable"] = allocatable
    assert decoded.node(bare).cpu == cpu


def test_a_node_without_a_ready_condition_is_not_ready() -> None:
    bare = {"metadata": {"name": "n1"}}
    assert decoded.node(bare).ready is False


def test_what_is_read_of_a_node_for_its_drain() -> None:
    spec = {
        "unschedulable": True,
        "taints": [
            {"key": "a", "effect": "NoExecute", "timeAdded": TIME},
            {"key": "b", "value": "1", "effect": "NoSchedule"},
            {"effect": "NoSchedule"},
        ],
    }
    annotations = {"porter.example/drain": "", "volumes.kubernetes.io/attach": "true"}
    node = decoded.node(objects.node("n1", "10.0.0.1", spec=spec, annotations=annotations))
    assert node.annotations == {"porter.example/drain": ""}
    assert node.taints == {"a", "b"}
    assert node.unschedulable
    plain = decoded.node({"metadata": {"name": "n1"}, "spec": None})
    assert (plain.annotations, plain.taints, plain.unschedulable) == ({}, frozenset(), False)


def test_an_eip_that_is_odd_is_invalid_and_not_lost() -> None:
    odd = objects.eip("odd", "10.0.0.1", priority="high")
    assert "spec.priority is not a number" in (decoded.eip(odd).invalid or "")
    selector = {"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}
    assert decoded.eip(objects.eip("odd", "10.0.0.1", serviceSelector=selector)).invalid


@pytest.mark.parametrize("name", ["../../etc", "A", "", "a/b", "-a", "a" * 300])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(CodecError):
        identity(Kind.SERVICE, text({"metadata": {"name": name}}))


ODD = [10**400, -(2**64), 1e400, "\ud800", "9" * 5000, "\x1b[2J", "10.0.0.1", "²"]
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(ODD)
    | st.floats()
    | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
TIME = "2024-01-01T00:00:00Z"


def everything(obj: Json) -> Json:
    """An object with every field that is read here."""
    obj = copy.deepcopy(obj)
    obj["metadata"] |= {
        "uid": "u",
        "creationTimestamp": TIME,
        "deletionTimestamp": TIME,
        "resourceVersion": "7",
        "labels": {"a": "b"},
        "annotations": {
            "lb.kubesphere.io/v1alpha1": "porter",
            "eip.porter.kubesphere.io/v1alpha1": "10.0.0.1",
            "eip.porter.kubesphere.io/share": "s",
            "eip.porter.kubesphere.io/communities": "65000:1",
            "porter.example/drain": "true",
        },
    }
    if obj["kind"] in ("Service", "Eip"):
        obj["status"] = {
            "loadBalancer": {"ingress": [{"ip": "10.0.0.1", "ipMode": "VIP"}]},
            "conditions": [
                {"type": "porter.kubesphere.io/Allocated", "status": "True", "reason": "Allocated"},
                {"type": "Ready", "status": "True", "reason": "Valid"},
            ],
            "used": {"10.0.0.1": "default/web"},
            "serving": '{"address": "10.0.0.1"}',
        }
    return obj


WHOLE = [
    everything(objects.service("web", externalIPs=["10.0.0.1"], ipFamilyPolicy="SingleStack")),
    everything(objects.slice_of("web", "n1")),
    everything(objects.node("n1", "10.0.0.1", spec={"taints": [{"key": "a"}]})),
    everything(
        objects.eip(
            "pool",
            "10.0.0.1",
            serviceSelector={"matchLabels": {"a": "b"}},
            advertisements=[ADVERTISEMENT],
            allowedCommunities=["65000:1"],
        )
    ),
    everything({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}),
]


def mangled(obj: Json, data: st.DataObject) -> Json:
    """The object with anything at all in one place of it."""
    obj = copy.deepcopy(obj)
    place = obj
    while True:
        key = data.draw(st.sampled_from(range(len(place)) if isinstance(place, list) else [*place]))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(ANY)
        return obj


@given(st.sampled_from(WHOLE), st.data())
def test_whatever_stands_in_a_field_it_is_a_value_or_unreadable(
    obj: Json, data: st.DataObject
) -> None:
    odd = mangled(obj, data)
    kind = kind_of(text(obj))
    assert kind is not None
    reading = CODEC.read(kind, WEB, text(odd))
    if isinstance(reading, Unreadable):
        assert 0 < len(reading.reason) <= 300
        assert reading.reason.isprintable()
    else:
        assert repr(reading).encode(), "it can be written down"
    try:
        kind_of(text(odd))
        identity(kind, text(odd))
    except CodecError:
        pass


@given(ANY)
def test_whatever_an_object_is_it_is_a_value_or_unreadable(odd: Any) -> None:
    for kind in Kind:
        CODEC.read(kind, WEB, text(odd))


@pytest.mark.parametrize(
    "ports",
    [[{"port": "80"}], [{"port": 10**30}], [{"port": 65536}], [{"port": -1}], ["80"], {}, "80"],
)
def test_an_unreadable_service_keeps_what_it_has_on_record(ports: object) -> None:
    odd = objects.service("web", ports=ports)
    odd["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}, {"ip": []}, 7]}}
    reading = CODEC.read(Kind.SERVICE, WEB, text(odd))
    assert isinstance(reading, Unreadable)
    assert reading.reason.startswith("spec.ports")
    assert reading.record == (ip_address("10.0.0.1"),)


@pytest.mark.parametrize("ports", [[{"port": 80}], "odd"])
def test_of_a_record_that_does_not_end_the_beginning_counts(
    ports: list[dict[str, Any]] | str,
) -> None:
    """A status of 1.5 MB with 75,000 addresses held up everything for a second."""
    odd = objects.service("web", ports=ports)
    first = int(ip_address("10.0.0.1"))
    ingress = [{"ip": str(ip_address(first + number))} for number in range(75_000)]
    odd["status"] = {"loadBalancer": {"ingress": ingress}}
    reading = CODEC.read(Kind.SERVICE, WEB, text(odd))
    if isinstance(reading, Service):
        record = reading.ingress
        assert not reading.plain_ingress
    else:
        assert isinstance(reading, Unreadable)
        record = reading.record
    assert (record[0], len(record)) == (ip_address("10.0.0.1"), 100)


@pytest.mark.parametrize("status", [None, [], "x", {"loadBalancer": []}, {"loadBalancer": None}])
def test_a_record_that_cannot_be_read_is_none(status: object) -> None:
    odd = {**objects.service("web", ports="80"), "status": status}
    reading = CODEC.read(Kind.SERVICE, WEB, text(odd))
    assert isinstance(reading, Unreadable)
    assert reading.record == ()


def test_a_service_that_is_terminating_is_seen_to_be() -> None:
    assert not service().deleting
    obj = objects.service("web")
    obj["metadata"]["deletionTimestamp"] = TIME
    assert decoded.service(obj).deleting


@pytest.mark.parametrize(
    "wish",
    ["\x1b[31mred\x1b[0m", "a\nb", "x" * 200_000, "10.0.0.1," * 20_000, "\u202e1.0.0.01", "\x00"],
)
@pytest.mark.parametrize("name", ["eip.porter.kubesphere.io/v1alpha1", "loadBalancerIP"])
def test_a_wish_reaches_nobody_but_as_a_short_line(name: str, wish: str) -> None:
    where = {"annotations": {name: wish}} if "/" in name else {name: wish}
    request = service(**where).request
    assert request is not None
    for said in (request.error, request.text):
        assert said is not None
        assert said.isprintable()
        assert len(said) <= 500


@pytest.mark.parametrize("field_", ["type", "loadBalancerClass"])
def test_why_a_service_is_not_ours_is_a_short_line(field_: str) -> None:
    obj = objects.service("web")
    obj["spec"][field_] = "\x1b[2J" + "x" * 200_000
    why = decoded.service(obj).not_ours
    assert why.isprintable()
    assert len(why) <= 200


@pytest.mark.parametrize(
    "form", ["x", '{"address": "x"}', '{"address": 7}', "[" * 30_000, "9" * 5000, "null", "[]", "7"]
)
def test_a_serving_form_that_could_not_serve_is_none(form: str) -> None:
    obj = objects.eip("pool", "10.0.0.1")
    ready = {"type": "Ready", "status": "True", "reason": "Valid"}
    obj["status"] = {"serving": form, "conditions": [ready]}
    status = decoded.eip(obj).status
    assert status is None or status.serving is None


@pytest.mark.parametrize(
    ("time", "kept"),
    [
        (TIME, True),
        ("2024-01-01T00:00:00.123456789+01:00", True),
        ("yesterday", False),
        (f"{TIME}\n", False),
        ("", False),
    ],
)
def test_a_time_that_is_none_is_not_written_back(time: object, kept: bool) -> None:
    obj = objects.eip("pool", "10.0.0.1")
    ready = {"type": "Ready", "status": "True", "reason": "Valid", "lastTransitionTime": time}
    obj["status"] = {"ready": True, "conditions": [ready]}
    assert status_of(obj).since == (time if kept else "")
    ready["status"] = "Unknown"
    assert status_of(obj).since == "", "its status is about to move"


def test_families_come_from_cluster_ips_where_they_are_not_listed() -> None:
    obj = objects.service("web", families=[], clusterIPs=["10.96.0.1", "fd00::1"])
    assert decoded.service(obj).families == (Family.IPV4, Family.IPV6)


@pytest.mark.parametrize(
    ("ingress", "plain"),
    [
        ([], True),
        ([{"ip": "10.0.0.1", "ipMode": "VIP"}], True),
        ([{"ip": "10.0.0.1"}], True),
        ([{"ip": "10.0.0.1", "ipMode": "Proxy"}], False),
        ([{"ip": "10.0.0.1"}, {"hostname": "elsewhere.example"}], False),
        ([{"ip": "10.0.0.1", "hostname": "elsewhere.example"}], False),
        ([{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}], False),
        ([{"ip": "nonsense"}], False),
    ],
)
def test_a_record_that_says_more_than_addresses_is_put_right(
    ingress: list[Json], plain: bool
) -> None:
    obj = {**objects.service("web"), "status": {"loadBalancer": {"ingress": ingress}}}
    service = decoded.service(obj)
    assert service.plain_ingress is plain
    wanted = ServiceStatus(service.ingress, ())
    assert (service.status == wanted) is plain
    assert ("loadBalancer" in status_patch(service, wanted, "now")["status"]) is not plain


def test_a_field_that_is_not_needed_may_have_any_form() -> None:
    wish = {"eip.porter.kubesphere.io/v1alpha1": "10.0.0.1"}
    odd = service(annotations=wish, loadBalancerIP=5, externalIPs="10.0.0.2", clusterIPs={})
    assert odd.request is not None
    assert [str(address) for address in odd.request.addresses] == ["10.0.0.1"]
    for field_ in ("loadBalancerIP", "externalIPs"):
        with pytest.raises(CodecError, match=rf"spec\.{field_} is not a"):
            service(**{field_: 5})
    with pytest.raises(CodecError, match=r"spec\.clusterIPs is not a list"):
        service(families=[], clusterIPs={})


def test_a_condition_of_another_controller_may_have_any_form() -> None:
    foreign = {"type": "elsewhere.example/Ready", "status": 5, "message": []}
    ours = {"type": "porter.kubesphere.io/Allocated", "status": "True", "reason": "Allocated"}
    obj = {**objects.service("web"), "status": {"conditions": [foreign, ours]}}
    assert [condition.reason for condition in decoded.service(obj).conditions] == ["Allocated"]
    obj["status"] = {"conditions": [foreign, {**ours, "reason": 5}]}
    with pytest.raises(CodecError, match=r"status\.conditions\[1\]\.reason is not a string"):
        decoded.service(obj)
    pool = objects.eip("pool", "10.0.0.1")
    ready = {"type": "Ready", "status": "True", "reason": "Valid"}
    pool["status"] = {"ready": True, "conditions": [foreign, ready]}
    assert status_of(pool).ready


def test_equal_parts_of_objects_are_one_object_in_memory() -> None:
    one, other = (
        decoded.service(
            {**obj, "metadata": {**obj["metadata"], "name": name, "labels": {"a": "b"}}}
        )
        for obj, name in ((objects.service("web"), "one"), (objects.service("web"), "other"))
    )
    assert one.ports is other.ports
    assert one.labels is other.labels
    assert one.families is other.families
    assert one.key.namespace is other.key.namespace
    slices = [decoded.endpoint_slice(objects.slice_of(name, "n1", "n2")) for name in ("a", "b")]
    assert slices[0].endpoints is slices[1].endpoints
