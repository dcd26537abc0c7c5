"""YAML and JSON as kubectl reads them.

Each expected value is the result of apimachinery's YAMLOrJSONDecoder in Kubernetes 1.36, with which
kubectl reads files; a test says so if the program differs.
"""

from __future__ import annotations

import json

import pytest

from porter_ryu.kube.documents import entries

BROKEN = object()


def read(text: str | bytes) -> list[object]:
    """The documents of a file, with BROKEN in place of invalid ones."""
    return [BROKEN if e.fault else json.loads(e.text) for e in entries(text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("=", "="),
        ("22:30", "22:30"),
        ("2001:10:20:30:40:50:1:10", "2001:10:20:30:40:50:1:10"),
        ("fe80::1", "fe80::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("0777", 511),
        ("0o17", 15),
        ("0O17", 15),
        ("-0o17", -15),
        ("0o8", "0o8"),
        ("08", 8),
        ("00", 0),
        ("0_7", 7),
        ("0x1F", 31),
        ("-0x1F", -31),
        ("0b101", 5),
        ("-0b11", -3),
        ("0x", "0x"),
        ("0x_", "0x_"),
        ("0b_", "0b_"),
        ("0o", "0o"),
        ("0xFFFFFFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFFFFFFF"),
        ("1_000", 1000),
        ("_1", "_1"),
        ("1_0.5", 10.5),
        ("+12", 12),
        ("-0", 0),
        ("1.", 1),
        (".5", 0.5),
        ("+.5", 0.5),
        ("3.0", 3),
        ("1e3", 1000),
        ("1.0e+2", 100),
        ("1e20", 100000000000000000000),
        ("1e21", 1e21),
        ("1E400", "1E400"),
        ("1e-400", 0),
        ("12345678901234567890", 12345678901234567890),
        ("123456789012345678901234567890", 1.2345678901234568e29),
        ("1" * 5000, "1" * 5000),
        ("yes", True),
        ("y", True),
        ("on", True),
        ("TRUE", True),
        ("NO", False),
        ("n", False),
        ("off", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01 10:00:00", "2026-01-01 10:00:00"),
        (".", "."),
        ("+", "+"),
        ("<<", "<<"),
        ("'12'", "12"),
        ('"yes"', "yes"),
        (r'"\x41\u0041\0"', "AA\0"),
        ("!!int '12'", 12),
        ("!!str 12", "12"),
        ("!!str", ""),
        ("!!float 1", 1),
        ("!!bool yes", True),
        ("!!binary aGVsbG8=", "hello"),
        ("!!binary //79", "\ufffd\ufffd\ufffd"),
        ("!!timestamp 2026-01-01", "2026-01-01"),
        ("!!python/object/apply:os.system x", "x"),
        ("!foo x", "x"),
        ("!foo {x: 1}", {"x": 1}),
        ("!!set {x}", {"x": None}),
        ("!!omap [x: 1]", [{"x": 1}]),
        ("!!map [1]", [1]),
        ("!!int abc", BROKEN),
        ("!!int ''", BROKEN),
        ("!!float abc", BROKEN),
        ("!!null x", BROKEN),
        ("!!binary '***'", BROKEN),
        ("!!binary é", BROKEN),
        (".inf", BROKEN),
        ("-.INF", BROKEN),
        (".nan", BROKEN),
        (r'"\ud800"', BROKEN),
        ("*x", BROKEN),
    ],
)
def test_a_scalar_is_what_kubectl_makes_of_it(text: str, value: object) -> None:
    expected = BROKEN if value is BROKEN else {"a": value}
    assert read(f"a: {text}") == [expected]


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("1: a", [{"1": "a"}]),
        ("0x10: a", [{"16": "a"}]),
        ("1.5: a", [{"1.5": "a"}]),
        ("yes: a", [{"true": "a"}]),
        (".inf: a", [{".inf": "a"}]),
        ("~: a", [BROKEN]),
        ("{[a]: b}", [BROKEN]),
        ("? {a: b}\n: c", [BROKEN]),
        ("x: &x {p: 1}\nz: {<<: *x, q: 2}", [{"x": {"p": 1}, "z": {"p": 1, "q": 2}}]),
        ("z: {<<: [{a: 1}, {a: 2, b: 3}], b: 9}", [{"z": {"a": 1, "b": 9}}]),
        ("z: {b: 9, <<: {b: 3}}", [{"z": {"b": 3}}]),
        ("'<<': {a: 1}", [{"<<": {"a": 1}}]),
        ("z: {<<: 5}", [BROKEN]),
        ("z: {<<: [5]}", [BROKEN]),
        ("a: &n 5\nb: [*n, *n]", [{"a": 5, "b": [5, 5]}]),
        ("a: &a\n  <<: *a", [BROKEN]),
        ("&k a: *k", [{"a": "a"}]),
    ],
)
def test_keys_merges_and_aliases_are_kubectls(text: str, documents: list[object]) -> None:
    assert read(text) == documents


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("", []),
        ("\n", []),
        ("# only\n", []),
        ("---\n---\na: 1\n---\n", [{"a": 1}]),
        ("a: 1\n--- # a comment\nb: 2", [{"a": 1}, {"b": 2}]),
        ("a: 1\n...\n---\nb: 2", [{"a": 1}, {"b": 2}]),
        ("a: 1\r\nb: 2\r\n---\r\nc: 3\r\n", [{"a": 1, "b": 2}, {"c": 3}]),
        ("a: |\n  ---\n  x\n", [{"a": "---\nx\n"}]),
        ("a: 1\n ---\nb: 2", [{"a": "1 ---", "b": 2}]),
        ("a: &x 1\n---\nb: *x", [{"a": 1}, BROKEN]),
        ("\ufeffa: 1", [{"a": 1}]),
        ('\ufeff{"a":1}', [{"a": 1}]),
        ("a:\t1", [{"a": 1}]),
        ("\ta: 1", [BROKEN]),
        ("a:\n\tb: 1", [BROKEN]),
        ('{"a":1}{"a":2}', [{"a": 1}, {"a": 2}]),
        ('{"a":1}\n{"a":2}\n\n', [{"a": 1}, {"a": 2}]),
        ('{"a":1}\n{"a":2}\n{"a":3} x', [{"a": 1}, {"a": 2}, {"a": 3}, BROKEN]),
        ('{"a":1}\n---\na: 2', [{"a": 1}, {"a": 2}]),
        ('{"a":1}\n---\n{"a":2}\n', [{"a": 1}, {"a": 2}]),
        ('# c\n{"a": 1}', [{"a": 1}]),
        ("{a: 1, b}", [{"a": 1, "b": None}]),
        ('{"a": NaN}', [{"a": "NaN"}]),
        ('{"a":\n}', [{"a": None}]),
        ('{"a":"\\ud800"}', [{"a": "\ufffd"}]),
        ('{"a":"\\ud83d\\ude00"}', [{"a": "\U0001f600"}]),
        ('{"a": 1e400}', [BROKEN]),
        ('{"a": ' + "1" * 5000 + "}", [BROKEN]),
        ("- a", [BROKEN]),
        ('[{"a":1}]', [BROKEN]),
        ("5", [BROKEN]),
        ("a: \x00", [BROKEN]),
        ("a: \x07", [BROKEN]),
        (b"a: \xff\xfe", [BROKEN]),
        ("a: 1".encode("utf-16"), [BROKEN]),
    ],
)
def test_documents_are_told_apart_as_kubectl_does(
    text: str | bytes, documents: list[object]
) -> None:
    assert read(text) == documents


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\na: 2", 2),
        ("a: {b: 1, b: 2}", 1),
        ("1: a\n'1': b", 2),
        ('{"a":1,\n"a":2}', 1),
        ('{"a":{"b":1,"b":2}}', 1),
        ('{"items":[],"items":[]}', 1),
    ],
)
def test_a_key_that_is_set_twice_is_refused_as_the_api_server_refuses_it_in_json(
    text: str, line: int
) -> None:
    """kubectl's YAML takes the last without a word: here an object does not say two things."""
    (entry,) = entries(text)
    assert "is already set" in entry.fault
    assert entry.line == line


def test_what_is_broken_is_named_by_its_line_and_costs_itself_alone() -> None:
    text = "a: 1\n---\nb: [\n---\n# c\nc: !!int x\n---\nd: 4\n"
    found = [(e.line, e.fault or json.loads(e.text)) for e in entries(text)]
    assert [line for line, _ in found] == [1, 4, 6, 8]
    assert found[0][1] == {"a": 1}
    assert found[2][1] == "'x' is not a valid !!int"
    assert found[3][1] == {"d": 4}


def test_one_bad_item_of_a_list_costs_itself_alone() -> None:
    text = (
        "kind: List\nitems:\n- {a: 1}\n- 5\n- {b: !!int x, c: [1, {d: 2}]}\n- {e: .inf}\n- {f: 6}\n"
    )
    found = [(e.line, e.fault or json.loads(e.text)) for e in entries(text)]
    assert [line for line, _ in found] == [3, 4, 5, 6, 7]
    assert (found[0][1], found[4][1]) == ({"a": 1}, {"f": 6})
    assert all(isinstance(fault, str) for _, fault in found[1:4])
    as_json = '{"items":[\n{"a":1},\n5,\n{"b":1,"b":2},\n{"f":6}],"kind":"List"}'
    assert [e.line for e in entries(as_json)] == [2, 3, 4, 5]
    assert read(as_json) == [{"a": 1}, BROKEN, BROKEN, {"f": 6}]


def test_lists_in_lists_and_objects_with_items_are_what_they_are() -> None:
    text = "kind: List\nitems: [{kind: ServiceList, items: [{a: 1}, {b: 2}]}]\n"
    assert read(text) == [{"a": 1}, {"b": 2}]
    config = "kind: ConfigMap\nitems: [{key: a}, {key: b}]\n"
    assert read(config) == [{"kind": "ConfigMap", "items": [{"key": "a"}, {"key": "b"}]}]
    assert read('{"items":[{"a":1}],"kind":"Secret"}') == [{"kind": "Secret", "items": [{"a": 1}]}]
