"""One look at the page in an outage: 200 Services, five nodes, three peers, and several faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric import Fabric, wait_for
from fabric.browser import Browser
from tests.functional import outage_scene
from tests.functional.outage_scene import Outage
from tests.functional.page_views import (
    PICTURED,
    URL,
    breaks,
    drawn_nodes,
    expect_break,
    picture,
    strands,
)


@pytest.fixture(scope="module")
def outage(fabric: Fabric) -> Iterator[Outage]:
    """The scene."""
    with outage_scene.outage(fabric, installed=PICTURED) as scene:
        yield scene


@pytest.fixture(scope="module")
def opened(outage: Outage, fabric: Fabric) -> Iterator[Browser]:
    """Chromium on the host of the program."""
    browser = Browser(fabric.hosts["porter"])
    browser.size(1100, 760)
    yield browser
    browser.close()


@pytest.fixture
def page(opened: Browser) -> Browser:
    """The page as somebody opens it who was called."""
    opened.open(URL)
    opened.expect("#summary", "cannot be reached")
    return opened


def test_what_hurts_and_what_mends_it_come_first(page: Browser, tmp_path: Path) -> None:
    assert page.text("#summary").startswith("4 of 200 Services cannot be reached")
    problems = page.texts("#problems > li")
    assert "2 Services cannot be reached: no ready endpoint" in problems[0]
    assert "default/quiet-1, default/quiet-2" in problems[0]
    assert "the manifest of the EndpointSlices of Service default/quiet-1" in problems[0]
    assert any("there is no Eip absent" in text and "default/no-pool" in text for text in problems)
    assert any("default/full-2" in text for text in problems)
    assert any("The session with gobgpd" in text for text in problems)
    # without a choice, the way of a Service that it costs
    assert "default/quiet-1" in page.text("#way-title")
    expect_break(page, "node n1", "endpoints n1", "no endpoint is ready")
    picture(page, "page-outage", tmp_path)


def test_who_is_down_since_when_and_why(page: Browser) -> None:
    [down] = [text for text in page.texts("#peers tbody tr") if "gobgpd" in text]
    assert "Established" not in down
    assert "for " in down
    assert str(outage_scene.WRONG_AS) in down
    [without] = [text for text in page.texts("#peers tbody tr") if text.startswith("frr")]
    assert "no ADD-PATH" in without
    assert "Established for" in without
    assert "leads" in page.text("#about")


def test_a_leaf_without_add_path_gets_one_node(page: Browser) -> None:
    page.open(f"{URL}#/services/default/s001")
    wait_for(lambda: len(drawn_nodes(page)), lambda count: count == 3, 30, "its way")
    widths = strands(page)
    [eip] = {start for start, end in widths if end == "node n1"}
    shares = sorted(widths[eip, f"node {name}"] for name in drawn_nodes(page))
    total = sum(shares)
    # BIRD spreads its half over three, FRR has its half on one of them
    assert abs(shares[0] / total - 1 / 6) < 0.03
    assert abs(shares[2] / total - 2 / 3) < 0.03
    found = breaks(page)
    assert list(found) == [("leaf gobgpd", eip)]
    page.click("#way-text summary")
    assert "to n1 33.3 %, n2 33.3 %, n3 33.3 %" in page.text("#strands"), "BIRD"
    assert " 100 %" in page.text("#strands"), "FRR"
    assert "gobgpd: the session is" in found["leaf gobgpd", eip]


def test_a_node_that_is_drained_and_one_that_is_not_ready(page: Browser) -> None:
    page.open(f"{URL}#/services/default/s003")  # on n3, n4 and n5
    wait_for(lambda: drawn_nodes(page), lambda seen: seen == {"n3", "n4"}, 30, "its way")
    [eip] = {start for start, end in strands(page) if end == "node n3"}
    expect_break(page, eip, "node n5", "it is not Ready", "the manifest of Node n5")
    undo = "it is drained by annotation porter.kubesphere.io/drain"
    draining = "[...document.querySelectorAll('.strand.warn title')].map((e) => e.textContent)"
    [told] = page.script(f"return {draining}.filter((text) => text.includes('to n4'))")
    assert "GRACEFUL_SHUTDOWN" in told
    assert undo not in page.text("#breaks"), "it is not broken yet"
    row = [text for text in page.texts("#nodes tbody tr") if text.startswith(("n4", "n5"))]
    assert any("drained" in text for text in row)
    assert any("it is not Ready" in text for text in row)


def test_who_holds_an_address_and_how_full_the_pools_are(page: Browser) -> None:
    page.find("#search").send_keys("198.51.100.1")
    page.expect("#found", "1 Service that matches")
    assert "default/full-1" in page.text("#services")
    rows = page.texts("#eips tbody tr")
    assert "full" in rows[0], "the fullest first"
    assert any("of 256" in text for text in rows)


@pytest.mark.parametrize(
    "text", ["203.0.113.5", "203.0.113.5/32", "http://203.0.113.5/login", "203.0.113.5:443"]
)
def test_an_address_is_found_as_people_paste_it(page: Browser, text: str) -> None:
    page.find("#search").send_keys(text)
    page.expect("#found", "1 Service that matches")
    assert "default/s004" in page.text("#services")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("n5", ["node n5", "192.168.7.15", "it is not Ready"]),
        ("192.168.7.14", ["node n4", "drained by annotation"]),
        ("GOBGP", ["peer gobgpd", "192.168.7.3"]),
        ("192.168.7.1", ["peer bird", "Established"]),
        ("203.0.113.250", ["203.0.113.250: ", "free"]),
        ("192.168.7.11", ["192.168.7.11: ", "node n1"]),
        ("192.168.7.5", ["192.168.7.5: ", "this host"]),
        ("198.18.0.1", ["198.18.0.1: ", "no Eip"]),
        ("small", ["Eip small", "198.51.100.1", "full"]),
    ],
)
def test_a_search_finds_what_is_no_service(page: Browser, text: str, parts: list[str]) -> None:
    page.find("#search").send_keys(text)
    found = page.expect("#elsewhere", parts[0])
    assert all(part in found for part in parts)


def test_the_services_with_a_node_as_next_hop_are_one_click_away(page: Browser) -> None:
    page.find("#search").send_keys("n3")
    page.expect("#elsewhere", "node n3")
    page.click("#elsewhere [data-key='services of n3']")
    page.expect("#states", "only with next hop n3")
    wait_for(
        lambda: page.texts("#services tbody td:first-child"),
        lambda names: "default/s001" in names and "default/s004" not in names,
        30,
        "the Services with n3",
    )
    page.click("[data-key='of node']")
    wait_for(lambda: page.text("#services"), lambda text: "default/s004" in text, 30, "all again")


def test_which_services_depend_on_a_node(page: Browser) -> None:
    page.find("#node-name").send_keys("n3")
    page.click("#what-if-form button")
    sentence = page.expect("#what-if-sentence", "Without n3,")
    found = page.script(PLAN)
    assert found["sentence"] in sentence
    asked = {entry["service"] for entry in found["services"]}
    assert "default/s001" in asked


def test_a_drain_is_told_with_what_has_no_other_node_first(page: Browser) -> None:
    page.find("#node-name").send_keys("n1")
    page.click("input[value=drain]")
    page.click("#what-if-form button")
    sentence = page.expect("#what-if-sentence", "With n1 drained,")
    first, *others = page.texts("#consequences h3")
    assert "have no other node and would stay on n1" in first
    assert first in sentence
    assert others


def test_what_a_lost_node_costs_already_is_one_click_away(page: Browser) -> None:
    page.click("[data-key='waiting for n5']")
    sentence = page.expect("#what-if-sentence", "Without n5,")
    assert "n5 is no next hop now: it is not Ready" in sentence
    assert "have already lost one of several nodes" in page.text("#consequences")


PLAN = """
const request = new XMLHttpRequest();
request.open('GET', '/v1/plan?without=n3', false);
request.send();
return JSON.parse(request.responseText);
"""
