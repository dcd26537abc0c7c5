"""The page as it is served: its policy fits it, and it needs nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from porter_ryu.http import page
from tests.unit.test_http_api import ask

TEXT = page.read().body.decode()


def test_it_is_html_that_a_browser_asks_again_for() -> None:
    answer = ask("/")
    assert (answer.status_int, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
    assert answer.text == TEXT
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = ask("/", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_int, again.body) == (304, b"")
    assert ask("/", "HEAD").status_int == 200
    assert ask("/", "POST").status_int == 405


def directives() -> dict[str, str]:
    """The policy by directive."""
    parts = (part.strip().partition(" ") for part in ask("/").headers[POLICY].split(";"))
    return {name: value for name, _, value in parts}


POLICY = "Content-Security-Policy"


@pytest.mark.parametrize("tag", ["script", "style"])
def test_the_policy_allows_the_elements_of_the_page_alone(tag: str) -> None:
    [text] = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", TEXT, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert directives()[f"{tag}-src"] == f"'sha256-{digest}'"


def test_the_policy_allows_nothing_else() -> None:
    found = directives()
    assert found["default-src"] == "'none'"
    assert found["connect-src"] == "'self'"
    assert found["frame-ancestors"] == found["base-uri"] == found["form-action"] == "'none'"
    assert found["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in " ".join(found.values())


def test_it_asks_relative_to_its_own_path() -> None:
    """So it works behind a reverse proxy that gives it a path, such as `kubectl proxy`."""
    assert not re.findall(r"['\"`]/(?:v1|healthz|readyz|metrics)", TEXT)
    assert "'v1/status'" in TEXT


def test_nothing_from_outside_and_no_text_as_markup() -> None:
    links = set(re.findall(r"https?://[^'\"\s)]+", TEXT))
    assert links == {"http://www.w3.org/2000/svg"}, "the name of a namespace"
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", TEXT)
    assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", TEXT), "the policy would not allow it"
