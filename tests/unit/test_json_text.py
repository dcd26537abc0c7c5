"""Any text is a value or a CodecError that names the field; one odd object costs itself alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct
from msgspec.json import Decoder

from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import ANY, converted, decoded, part
from porter_ryu.kube.metav1 import ObjectList
from porter_ryu.kube.structs import Eip, EipSpec, Lease, Service, ServicePort

LIST, SPEC = Decoder(ObjectList), Decoder(EipSpec)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.lists(JSON, max_size=5), st.dictionaries(st.text(max_size=5), JSON, max_size=3))
@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_has_its_items_as_they_stand_there(
    indent: int | None, items: list[object], rest: dict[str, object]
) -> None:
    whole = {**rest, "metadata": {"resourceVersion": "5"}, "items": items}
    found = decoded(LIST, json.dumps(whole, indent=indent).encode())
    assert [ANY.decode(item) for item in found.items or ()] == items
    assert found.metadata.resource_version == "5"


@given(st.text(alphabet='{}[]":,\\audc8x1 \n', max_size=30))
def test_any_text_is_a_value_or_a_codec_error(text: str) -> None:
    for decoder in (ANY, LIST, SPEC):
        try:
            decoded(decoder, text.encode())
        except CodecError:
            pass


class Around(Struct):
    """Something odd between what is not."""

    before: str
    odd: Raw
    after: str


@pytest.mark.parametrize("depth", [10, 64, 65, 900, 30_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_what_is_too_deep_is_null_and_the_rest_is_read(depth: int, opens: str, closes: str) -> None:
    deep = f"{opens * depth}1{closes * depth}"
    text = f'{{"before": "]}}\\"", "odd": {deep}, "after": "[{{"}}'
    value = decoded(Decoder(Around), text.encode())
    assert (value.before, value.after) == (']}"', "[{")
    items = decoded(LIST, f'{{"metadata": {{}}, "items": [{text}, 2]}}'.encode()).items or []
    assert decoded(Decoder(Around), items[0]).after == "[{"
    assert decoded(ANY, items[1]) == 2


@pytest.mark.parametrize(
    ("odd", "read"),
    [
        (b'"a\xff"', "a\ufffd"),
        (b'"\\ud800b"', "\ufffdb"),
        (b'"\\udfff\\ud83d\\ude00"', "\ufffd\U0001f600"),
        (b'"\\\\ud800\\ud800"', "\\ud800\ufffd"),
    ],
)
def test_what_is_no_character_is_a_replacement_character_as_in_go(odd: bytes, read: str) -> None:
    assert decoded(ANY, odd) == read
    text = b'{"before": "\\ud83d\\ude00", "odd": ' + odd + b', "after": "\\\\ud800"}'
    value = decoded(Decoder(Around), text)
    assert (value.before, decoded(ANY, value.odd), value.after) == ("\U0001f600", read, "\\ud800")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '"\\', '["' + "\\" * 99_999])
def test_what_does_not_end_is_a_codec_error(text: str) -> None:
    with pytest.raises(CodecError, match="it is not JSON"):
        decoded(ANY, text.encode())


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Service, [], "it is not an object"),
        (Service, {"metadata": "x"}, "metadata is not an object"),
        (Service, {"spec": {"ports": {}}}, "spec.ports is not a list"),
        (Service, {"spec": {"ports": [{}, 7]}}, "spec.ports[1] is not an object"),
        (Service, {"spec": {"ports": [{"port": "80"}]}}, "spec.ports[0].port is not a number"),
        (Service, {"spec": {"ports": [{"port": True}]}}, "spec.ports[0].port is not a number"),
        (Service, {"spec": {"ports": [{"port": -1}]}}, "spec.ports[0].port is less than 0"),
        (Service, {"spec": {"ports": [{"port": 10**30}]}}, "spec.ports[0].port is more than 65535"),
        (
            Service,
            b'{"spec": {"ports": [{"port": ' + b"9" * 5000 + b"}]}}",
            "spec.ports[0].port is out of range",
        ),
        (Service, {"spec": {"ipFamilies": ["x", 5]}}, "spec.ipFamilies[1] is not a string"),
        (
            Service,
            {"metadata": {"labels": {"a": "b", "c": 5}}},
            "metadata.labels: 'c' or its value is not text: put it in quotes",
        ),
        (EipSpec, {"disable": "no"}, "disable is not true or false"),
        (EipSpec, {"priority": 2**63}, "priority is more than 9223372036854775807"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(
    kind: type[Struct], value: object, reason: str
) -> None:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(CodecError) as caught:
        decoded(Decoder(kind), text)
    assert str(caught.value) == reason


def test_a_part_of_an_object_is_named_by_its_place() -> None:
    eip = decoded(Decoder(Eip), b'{"spec": {"serviceSelector": {"matchLabels": {"a": 1}}}}')
    optional = Decoder(EipSpec | None)
    with pytest.raises(CodecError, match=r"spec\.serviceSelector\.matchLabels: 'a' or its value"):
        part(optional, eip.spec, "spec")
    with pytest.raises(CodecError, match="spec is not an object"):
        part(optional, b"[]", "spec")
    assert part(optional, eip.status, "status") is None
    assert part(optional, b"null", "status") is None


def test_a_value_that_is_no_text_is_named_by_its_field_as_well() -> None:
    assert converted(ServicePort, {"port": None}) == ServicePort()
    with pytest.raises(CodecError, match=r"spec\.leaseTransitions is not a number"):
        converted(Lease, {"spec": {"leaseTransitions": "many"}})


def test_a_map_that_is_set_twice_has_a_message_as_well() -> None:
    text = b'{"metadata": {"labels": {"a": 5}, "labels": []}}'
    with pytest.raises(CodecError, match=r"metadata\.labels: a key or its value is not text"):
        decoded(Decoder(Service), text)
