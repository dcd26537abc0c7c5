"""Any text is a value or a ValueError, and a list is parsed item by item."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porter_ryu.kube import json_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


def nothing() -> None:
    """Does nothing."""


@given(st.lists(JSON, max_size=5), st.dictionaries(st.text(max_size=5), JSON, max_size=3))
@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_is_read_as_json_reads_it(
    indent: int | None, items: list[object], rest: dict[str, object]
) -> None:
    rest.pop("items", None)
    text = json.dumps({**rest, "items": items, "last": 1}, indent=indent)
    assert json_text.page(text, nothing) == (items, {**rest, "last": 1})


@given(st.text(alphabet='{}[]":,\\ax1 \n', max_size=30))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    for read in (json_text.value, lambda given: json_text.page(given, nothing)):
        try:
            read(text)
        except ValueError:
            pass


def test_pause_is_called_after_each_item() -> None:
    turns: list[int] = []
    json_text.page('{"items": [1, 2, 3]}', lambda: turns.append(1))
    assert len(turns) == 3


@pytest.mark.parametrize("depth", [10, 64, 65, 900, 30_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_values_that_are_too_deep_are_null(depth: int, opens: str, closes: str) -> None:
    deep = f"{opens * depth}1{closes * depth}"
    text = f'{{"before": "]}}\\"", "deep": {deep}, "after": "[{{"}}'
    value = json_text.value(text)
    assert (value["before"], value["after"]) == (']}"', "[{")
    items, _ = json_text.page(f'{{"items": [{text}, 2]}}', nothing)
    assert (items[0]["after"], items[1]) == ("[{", 2)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '"\\', '["' + "\\" * 99_999])
def test_an_incomplete_text_is_a_value_error(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        json_text.value(text)


@pytest.mark.parametrize(
    ("digits", "value"), [("9" * 18, 10**18 - 1), ("9" * 5000, float("inf")), ("1" * 20, 1.1e19)]
)
def test_a_number_beyond_64_bits_is_a_float(digits: str, value: float) -> None:
    assert json_text.value(digits) == pytest.approx(value, rel=0.02)
