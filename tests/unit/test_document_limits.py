"""Limits on the size of parsed documents and on the time to parse them."""

from __future__ import annotations

import json
import time

import pytest

from porter_ryu.kube.documents import entries

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]\n"
    for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MANY_LAUGHS = (
    "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
    "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n---\n"
) * 1200


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LAUGHS, "larger than 1.5 MiB"),
        (f"kind: List\nitems:\n- {json.dumps('x')}\n- {{{LAUGHS}", ""),
        (MANY_LAUGHS, "more than 10 MiB in one file"),
        ("&a {kind: List, items: [*a]}", "contains itself"),
        ("kind: List\nitems: &a [*a]", "contains itself"),
        ("spec: &a {self: *a}", "contains itself"),
        ("&a [*a]", "contains itself"),
        ("a: &a\n  ? *a\n  : 1", "contains itself"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "nested more than 100 levels"),
        ('{"kind":"List","items":[' + "[" * 200_000, "nested more than 100 levels"),
        ('{"a":' * 300 + "1" + "}" * 300, "nested more than 100 levels"),
        ("a: " + "[" * 250_000, "nest"),
        ("a: " + "{" * 250_000, "nest"),
        ("- " * 125_000, "nested more than 100 levels"),
        ("? " * 125_000, "nested more than 100 levels"),
        ("\n".join(" " * i + "a:" for i in range(200)), "nested more than 100 levels"),
        ("a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60, "nested more"),
        ("a: " + "x" * 1_600_000, "larger than 1.5 MiB"),
        ('{"a":"' + "x" * 1_600_000 + '"}', "larger than 1.5 MiB"),
        ("a: 1\n" * 125_000, "already set"),
        ("x: &x {" + ",".join(f"k{i}: 1" for i in range(1000)) + "}\n", ""),
        (
            "x: &x {" + ",".join(f"k{i}: 1" for i in range(1000)) + "}\n"
            "y:\n" + "".join(f"  y{i}: {{<<: *x}}\n" for i in range(5000)),
            "larger than 1.5 MiB",
        ),
        ('a: "' + "\\" * 250_000, ""),
        ("%TAG ! tag:x,1:\n" * 10_000, ""),
        ("a: " + "!a " * 80_000, ""),
        ("a" + ": " * 125_000, ""),
        ("[" + "*a," * 80_000, ""),
        ("a: 0x" + "f" * 250_000, ""),
        ("a: " + "1_" * 125_000, ""),
        ("a: 1e" + "9" * 250_000, ""),
    ],
)
def test_an_oversized_document_is_reported_at_once(text: str, why: str) -> None:
    began = time.process_time()
    faults = [entry.fault for entry in entries(text.encode()) if entry.fault]
    assert time.process_time() - began < 5
    if why:
        assert any(why in fault for fault in faults), faults[:3]


def test_an_item_that_is_too_large_affects_only_itself() -> None:
    text = "kind: List\nitems:\n- {a: 1}\n- {b: " + "x" * 1_600_000 + "}\n- {c: 3}\n"
    found = list(entries(text))
    assert [bool(entry.fault) for entry in found] == [False, True, False]


def test_a_list_may_be_larger_than_one_object() -> None:
    item = "- {kind: Service, metadata: {name: web, annotations: {a: " + "x" * 200 + "}}}\n"
    found = list(entries("kind: List\nitems:\n" + item * 10_000))
    assert len(found) == 10_000
    assert not any(entry.fault for entry in found)
    as_json = json.dumps({"items": [{"a": "x" * 200}] * 10_000, "kind": "List"})
    assert len(list(entries(as_json))) == 10_000


def test_parsing_gives_way_often() -> None:
    calls: list[float] = []
    item = "- {kind: Service, metadata: {name: web}}\n"
    for text in (
        "kind: List\nitems:\n" + item * 5000,
        "kind: Service\n---\n" * 5000,
        json.dumps({"items": [{"a": 1}] * 5000, "kind": "List"}),
    ):
        calls.clear()
        list(entries(text, lambda: calls.append(0)))
        assert len(calls) >= 400
