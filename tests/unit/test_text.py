"""Text of others in a sentence of ours: one line, bounded, and nothing of it takes effect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porter_ryu.domain.text import printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10.0.0.1", "'10.0.0.1'"),
        ("", "''"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("a\nb\u2028\u202e", r"'a\nb\u2028\u202e'"),
        ("x" * 200_000, "'" + "x" * 99 + "…'"),
    ],
)
def test_what_is_quoted(text, shown):
    assert quoted(text) == shown


@given(st.text(st.characters(), max_size=300))
def test_any_text_is_one_bounded_line(text):
    assert quoted(text).isprintable()
    assert len(quoted(text)) <= 102
    assert printable(text, 40).isprintable()
    assert len(printable(text, 40)) <= 40


def test_a_plain_text_stays_as_it_is():
    assert printable("Nothing – is wrong.", 40) == "Nothing – is wrong."
