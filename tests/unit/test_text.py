"""Text from outside is short and printable in every message."""

from __future__ import annotations

from typing import Any

import pytest

from porter_ryu.domain.labels import SelectorError, parse_selector
from porter_ryu.domain.model import AddressRequest, Eip
from porter_ryu.domain.text import listed, printable, quoted
from tests.unit.world import World, endpoints, key, service

NASTY = "\x1b[2J\r\nadmin: \u202eok\x00\ud800" + "x" * 200_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "'plain'"),
        ("", "''"),
        ("a\nb", r"'a\nb'"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("\u202e", r"'\u202e'"),
        ("\ud800", r"'\ud800'"),
        ("büro", "'büro'"),
        ("x" * 100, "'" + "x" * 100 + "'"),
        ("x" * 101, "'" + "x" * 99 + "…'"),
        ("\n" * 100, "'" + r"\n" * 49 + "\\…'"),
    ],
)
def test_quoted(text: str, shown: str) -> None:
    assert quoted(text) == shown
    assert len(quoted(text)) <= 102


def test_listed_says_how_many_more() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(n) for n in range(1000)]) == "0, 1, 2, 3, 4 and 995 more"
    assert printable("a\x07b", 3) == "a\\…"


@pytest.mark.parametrize(
    "fields",
    [
        {"pool": NASTY},
        {"request": AddressRequest("annotation x", NASTY, error=f"{NASTY} is no address")},
        {"share_key": NASTY, "requested": "10.9.9.9"},
        {"pool": NASTY, "requested": "10.0.0.1"},
    ],
)
def test_conditions_are_short_and_printable(fields: dict[str, Any]) -> None:
    world = World(Eip("pool", "10.0.0.1")).put(service("a", **fields))
    for condition in world.planner.cluster.services[key("a")].conditions:
        assert condition.message.isprintable()
        assert len(condition.message) < 400
    for pool in world.planner.allocator.pool_verdicts(service("a", **fields)):
        assert pool.verdict.message.isprintable()
        assert len(pool.verdict.message) < 400


@pytest.mark.parametrize(
    "eip",
    [
        Eip("e", NASTY),
        Eip("e", f"10.0.0.1,{NASTY}"),
        Eip("e", f"10.0.0.1-{NASTY}"),
        Eip("e", f"10.0.0.1/{NASTY}"),
        Eip("e", "10.0.0.1", protocol=NASTY),
    ],
)
def test_the_status_of_an_eip_is_short_and_printable(eip: Eip) -> None:
    message = World(eip).turn().planner.allocator.pool_status("e").message
    assert message.isprintable()
    assert len(message) < 400


def test_names_of_nodes_are_short_and_printable() -> None:
    world = World(Eip("pool", "10.0.0.1")).put(service("a"))
    world.put(endpoints("a", *(f"{NASTY[:2000]}{n}" for n in range(50))))
    announced = world.planner.decisions[key("a")].announced
    assert announced is not None
    message = announced.message
    assert message.isprintable()
    assert len(message) < 1200


def test_selectors_are_short_and_printable() -> None:
    with pytest.raises(SelectorError) as error:
        parse_selector(NASTY)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 200


def test_messages_name_no_object_of_other_tenants() -> None:
    """Neither a Service of another namespace nor an Eip that excludes the Service."""
    world = World(
        Eip("secret", "10.0.5.1-10.0.5.9", namespaces=("other",), created="1"),
        Eip("hidden", "10.0.5.5", created="2"),
        Eip("pool", "10.0.0.1-10.0.0.2"),
    )
    world.put(service("other/victim", requested="10.0.0.1"), service("own", requested="10.0.0.2"))
    world.put(
        service("a", requested="10.0.5.1"),
        service("b", requested="10.0.0.1"),
        service("c", pool="hidden"),
        service("d"),
        service("e", requested="10.0.0.2"),
    )
    states = {name: world.state(name) for name in "abcde"}
    assert states == {
        "a": "NotAllowed",
        "b": "AddressInUse",
        "c": "NoPool",
        "d": "PoolExhausted",
        "e": "AddressInUse",
    }
    said = " ".join(world.message(name) for name in "abcde")
    assert "secret" not in said
    assert "victim" not in said
    assert "other" not in said.replace("another", "")
    assert "default/own" in said
