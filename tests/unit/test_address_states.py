"""`explain ADDRESS`: who has an address, whoever that is, or whether it is free."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from porter_ryu import report, report_addresses, report_text
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Eip, Family, FamilyPolicy, Kind, Port
from porter_ryu.domain.prefix import plain_address
from porter_ryu.node.host import HostAddresses
from porter_ryu.planning import reserve
from porter_ryu.settings import BgpSettings
from tests.unit.test_http_api import ask
from tests.unit.test_settings import settings
from tests.unit.world import World, endpoints, key, node, service

PEER, OURS, GATEWAY = "203.0.113.250", "203.0.113.251", "203.0.113.252"
SWITCH_GATEWAY, BOUND, ROUTER_ID = "203.0.113.253", "203.0.113.240", "203.0.113.254"
CONFIGURATION = f"""
[bgp]
peers = leaf1
router_id = {ROUTER_ID}
[peer:leaf1]
address = {PEER}
remote_as = 65001
local_address = 203.0.113.249
"""


@functools.cache
def bgp() -> BgpSettings:
    """[bgp] of this configuration."""
    with tempfile.TemporaryDirectory() as folder:
        return settings(Path(folder), CONFIGURATION).bgp


def world(*eips: Eip) -> World:
    """Nodes, Services, and all others that can have an address."""
    made = World(*(eips or (Eip("pool", "203.0.113.0/24"),)))
    host = HostAddresses(
        frozenset([ip_address(OURS)]),
        frozenset([ip_address(BOUND)]),
        frozenset([ip_address(GATEWAY)]),
    )
    reserve(made.planner, host, bgp(), (ip_address(SWITCH_GATEWAY),))
    made.put(
        node("n1", "203.0.113.200"),
        service("web", requested="203.0.113.7"),
        endpoints("web", "n1"),
    )
    foreign = replace(service("other", ingress=(ip_address("203.0.113.9"),)), ours=False)
    return made.put(foreign)


def told(made: World, address: str) -> dict[str, Any]:
    """What is told of an address."""
    return report_addresses.address(made.planner, plain_address(address), lambda: None)


@pytest.mark.parametrize(
    ("address", "state", "why"),
    [
        ("203.0.113.7", "Held", "default/web holds it"),
        ("203.0.113.8", "Free", "it is free in Eip pool"),
        (
            "203.0.113.9",
            "Free",
            "it is free in Eip pool; default/other has it in its status, and is not served here",
        ),
        (
            "203.0.113.200",
            "Reserved",
            "it belongs to node n1 (InternalIP, its next hop): no Service gets it, although it is "
            "in Eip pool",
        ),
        (PEER, "Reserved", "it belongs to peer leaf1: no Service gets it"),
        (OURS, "Reserved", "it belongs to this host: no Service gets it"),
        ("203.0.113.249", "Reserved", "it belongs to this host (local_address of peer leaf1)"),
        (GATEWAY, "Reserved", "it belongs to the default gateway of this host"),
        (SWITCH_GATEWAY, "Reserved", "it belongs to gateways of [openflow]"),
        (BOUND, "OnHost", "it is on an interface of this host, bound by an earlier run or another"),
        (ROUTER_ID, "Free", "it is free in Eip pool; it is also router_id of [bgp]"),
        ("192.0.2.1", "InNoEip", "it is in no Eip"),
        ("2001:db8::1", "InNoEip", "it is in no Eip"),
        ("127.0.0.1", "SpecialPurpose", "it is in no Eip: it is loopback, which no Eip may have"),
        ("224.0.0.5", "SpecialPurpose", "it is multicast"),
        ("fe80::1%eth0", "SpecialPurpose", "it is link-local"),
        ("0.0.0.0", "SpecialPurpose", "it is this-network"),
        ("255.255.255.255", "SpecialPurpose", "it is broadcast"),
        ("::ffff:203.0.113.7", "Held", "default/web holds it"),
    ],
)
def test_who_has_an_address(address: str, state: str, why: str) -> None:
    found = told(world(), address)
    assert found["state"] == state
    assert found["why"].startswith(why) or why in found["why"]
    assert found["free"] == (state == "Free")
    if state != "Held":
        text = report_text.address({**found, "services": []})
        assert text == f"{found['address']}: no Service has it; {found['why']}"


def test_what_cannot_be_assigned_is_never_said_to_be_free() -> None:
    """And the other way round: the answer and the allocator agree."""
    eips = (
        Eip("pool", "203.0.113.0/24", avoid_buggy_ips=True),
        Eip("off", "198.51.100.0/30", disable=True),
        Eip("later", "198.51.100.0/29", created="2"),
    )
    made = world(*eips)
    for number, address in enumerate(
        [*(f"203.0.113.{n}" for n in range(256)), *(f"198.51.100.{n}" for n in range(9))]
    ):
        free = told(made, address)["free"]
        name = f"asks-{number}"
        made.put(service(name, requested=address))
        assert (made.address(name) == address) == free, address
        made.remove(Kind.SERVICE, name)


@pytest.mark.parametrize(
    ("eip", "address", "state", "why"),
    [
        ({"avoid_buggy_ips": True}, "203.0.113.0", "Excluded", "avoidBuggyIPs of Eip pool leaves"),
        ({"avoid_buggy_ips": True}, "203.0.113.255", "Excluded", "avoidBuggyIPs of Eip pool"),
        ({"disable": True}, "203.0.113.8", "EipClosed", "it is free, but Eip pool is disabled"),
        ({"deleting": True}, "203.0.113.8", "EipClosed", "but Eip pool is being deleted"),
        ({"auto_assign": False}, "203.0.113.8", "OnlyOnRequest", "that ask for it or for the Eip"),
        ({"protocol": "layer2"}, "203.0.113.8", "EipNotServing", "'layer2' is not supported"),
        ({"namespaces": ("a",)}, "203.0.113.8", "Free", "Services of some namespaces"),
        (
            {"service_selector": parse_selector("tier=a")},
            "203.0.113.8",
            "Free",
            "for Services of some labels",
        ),
    ],
)
def test_an_address_says_what_its_eip_does(
    eip: dict[str, Any], address: str, state: str, why: str
) -> None:
    found = told(world(Eip("pool", "203.0.113.0/24", **eip)), address)
    assert found["state"] == state
    assert why in found["why"]


def test_an_address_in_two_eips() -> None:
    older, newer = Eip("b", "203.0.113.0/28", created="1"), Eip("a", "203.0.113.0/24", created="2")
    made = world(older, newer)
    found = told(made, "203.0.113.9")
    assert found["eip"] == "b"
    assert "it is free in Eip b; it is also in Eip a, which overlaps with Eip b" in found["why"]
    found = told(made, "203.0.113.99")
    assert (found["state"], found["eip"]) == ("EipNotServing", None)
    assert found["why"].startswith("it is in Eip a, which overlaps with Eip b")


def test_a_shared_address_names_all_who_share_it() -> None:
    made = world()
    for name, port in ("a", 1), ("b", 2):
        ports = frozenset([Port("TCP", port)])
        made.put(service(name, requested="203.0.113.50", share_key="k", ports=ports))
    found = told(made, "203.0.113.50")
    assert found["why"] == "default/a, default/b share it"
    assert [entry["name"] for entry in found["holders"]] == ["a", "b"]


def test_an_address_that_a_service_holds_and_a_node_reports_names_both() -> None:
    made = world().put(node("n9", "203.0.113.7"))
    found = told(made, "203.0.113.7")
    assert (found["state"], found["owners"]) == ("Held", ["node n9 (InternalIP)"])
    entry = report.explanation(made.planner, key("web"), None)
    last = report_text.address({**found, "services": [entry]}).splitlines()[-1]
    assert last.endswith("default/web holds it; it is also the address of node n9 (InternalIP)")


def test_an_address_on_record_that_is_not_held() -> None:
    made = world().forge("web", "203.0.113.60")
    found = told(made, "203.0.113.60")
    assert (found["state"], found["recorded"]) == (
        "Recorded",
        [{"namespace": "default", "name": "web"}],
    )
    assert "default/web has it on record, and does not hold it" in found["why"]


def test_the_address_of_a_service_that_cannot_be_read_is_kept() -> None:
    made = world().broken("web")
    assert told(made, "203.0.113.7")["state"] == "Held"


def test_over_http_in_any_spelling() -> None:
    planner = world(Eip("pool", "2001:db8::/64")).planner
    for spelling in ("2001:db8::9", "2001:DB8:0:0::9", "2001:0db8:0:0:0:0:0:0009"):
        answer = ask(f"/v1/addresses/{spelling}", planner=planner)
        assert answer.json["address"] == "2001:db8::9"
        assert answer.json["why"] == "it is free in Eip pool"
    for wrong in ("300.1.1.1", "web", "203.0.113.007", "%1b[2J"):
        answer = ask(f"/v1/addresses/{wrong}", planner=planner)
        assert answer.status_int == 400
        assert answer.json["error"].isprintable()


@pytest.mark.parametrize(
    ("change", "usable", "why"),
    [
        (lambda w: w, True, "it has 203.0.113.7 from it"),
        (
            lambda w: w.put(service("web", requested="203.0.113.7,2001:db8::1")),
            True,
            "it asks for 203.0.113.7, which is in it",
        ),
        (
            lambda w: w.put(service("b", requested="203.0.113.7")),
            False,
            "it asks for 203.0.113.7 of it: 203.0.113.7 is held by default/web",
        ),
        (
            lambda w: w.put(service("b", requested="192.0.2.1")),
            False,
            "it asks for 192.0.2.1, which is not in it",
        ),
        (
            lambda w: w.put(service("b", requested=PEER)),
            False,
            f"it asks for {PEER} of it: {PEER} belongs to a peer, and no Service gets it: ask for",
        ),
        (
            lambda w: w.put(service("b")),
            False,
            "autoAssign is false: it has to be requested by name or address",
        ),
        (lambda w: w.put(service("b", pool="pool")), True, "it has 203.0.113.0 from it"),
    ],
)
def test_a_pool_that_has_to_be_asked_knows_that_it_was_asked(
    change: Callable[[World], World], usable: bool, why: str
) -> None:
    made = world(Eip("pool", "203.0.113.0/24", auto_assign=False))
    change(made)
    name = "b" if key("b") in made.planner.decisions else "web"
    [pool] = report.explanation(made.planner, key(name), None)["pools"]
    assert pool["usable"] is usable
    assert pool["why"].startswith(why)


@pytest.mark.parametrize(
    ("families", "policy", "four", "six"),
    [
        ((), FamilyPolicy.SINGLE_STACK, "it has 203.0.113.0 from it", "without IPv4"),
        ((Family.IPV6,), FamilyPolicy.SINGLE_STACK, "without IPv6", "it has 2001:db8:: from it"),
        (
            (),
            FamilyPolicy.REQUIRE_DUAL_STACK,
            "it has 203.0.113.0 from it",
            "it has 2001:db8:: from it",
        ),
    ],
)
def test_a_pool_without_the_family_of_a_service_is_not_usable(
    families: tuple[Family, ...], policy: FamilyPolicy, four: str, six: str
) -> None:
    made = World(Eip("four", "203.0.113.0/24"), Eip("six", "2001:db8::/64"))
    made.put(service("web", families=families, family_policy=policy))
    pools = report.explanation(made.planner, key("web"), None)["pools"]
    for pool, told in zip(pools, (four, six), strict=True):
        is_without = told.startswith("without")
        assert pool["why"] == (f"it is {told} addresses" if is_without else told)
        assert pool["reason"] == ("FamilyUnavailable" if is_without else "Available")
        assert pool["usable"] is not is_without


def test_a_pool_that_has_no_address_left_of_the_family_of_a_service_is_full() -> None:
    made = World(Eip("both", "203.0.113.0,2001:db8::/64"), Eip("more", "203.0.113.8"))
    made.put(service("first"), service("web"))
    both, _ = report.explanation(made.planner, key("web"), None)["pools"]
    assert (both["usable"], both["why"]) == (False, "it is full")


def test_what_an_unreadable_eip_has_is_not_known() -> None:
    made = world().unreadable(Kind.EIP, "broken")
    why = "it is in no Eip that can be read; what is in Eip broken is not known"
    assert (told(made, "192.0.2.1")["state"], told(made, "192.0.2.1")["why"]) == ("InNoEip", why)


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("192.168.7.13", "a node"),
        ("192.168.7.1", "a peer"),
        ("192.168.7.2", "this host or its gateway"),
        ("192.168.7.3", "this host or its gateway"),
    ],
)
def test_an_address_that_no_service_gets_is_not_said_to_need_an_eip(
    address: str, owner: str
) -> None:
    """Whether an Eip has it or not: to add it to one, and to remove it again, mends nothing."""
    made = World(Eip("pool", "203.0.113.0/24")).put(service("web", requested=address))
    assert made.message("web") == f"{address} is in no Eip: ask for another, or enlarge an Eip"
    peer, host, bound = (ip_address(f"192.168.7.{number}") for number in (1, 2, 3))
    made.planner.reserve([host], [peer], frozenset([bound]))
    made.put(node("n3", "192.168.7.13"))
    outside = f"{address} is in no Eip, and belongs to {owner}, so no Service gets it: ask for"
    assert made.message("web") == f"{outside} another"
    whole = Eip("nodes", "192.168.7.0/24")
    for nodes in (whole, replace(whole, disable=True), replace(whole, auto_assign=False)):
        made.put(nodes)
        inside = f"{address} belongs to {owner}, and no Service gets it: ask for another"
        assert (made.state("web"), made.message("web")) == ("AddressInUse", inside)
    made.put(replace(whole, namespaces=("other",)))
    assert made.message("web").endswith(
        f"belongs to {owner}, so no Service gets it: ask for another"
    )
    made.put(whole, service("web", requested=address, pool="pool"))
    assert made.message("web").endswith(
        f"belongs to {owner}, so no Service gets it: ask for another"
    )
    made.remove(Kind.EIP, "nodes").remove(Kind.NODE, "n3")
    made.put(service("web", requested=address))
    if owner == "a node":
        assert made.message("web").endswith("ask for another, or enlarge an Eip")


@pytest.mark.parametrize(
    ("address", "what"),
    [("127.0.0.1", "loopback"), ("224.0.0.5", "multicast"), ("fe80::1", "link-local")],
)
def test_an_address_that_no_eip_may_have_is_not_said_to_need_one(address: str, what: str) -> None:
    families = (Family(ip_address(address).version),)
    made = World(Eip("pool", "203.0.113.0/24"))
    made.put(service("web", requested=address, families=families))
    told_ = f"{address} is in no Eip, and {what}, so no Eip may have it: ask for another"
    assert made.message("web") == told_


def test_who_else_asks_for_an_address_is_told_of_the_address_and_of_its_holder() -> None:
    made = world()
    text = report_text.explanation(report.explanation(made.planner, key("web"), None))
    assert "not get it" not in text
    elsewhere = service("other/c", requested="203.0.113.7,2001:db8::1")
    made.put(service("b", requested="203.0.113.7"), elsewhere)
    made.put(replace(service("theirs", requested="203.0.113.7"), ours=False))
    found = told(made, "203.0.113.7")
    assert [entry["name"] for entry in found["holders"]] == ["web"]
    assert found["claimants"] == [
        {"namespace": "default", "name": "b"},
        {"namespace": "other", "name": "c"},
    ]
    entry = report.explanation(made.planner, key("web"), None)
    assert entry["routes"][0]["claimants"] == ["default/b", "other/c"]
    claims = "default/b, other/c ask for it and do not get it"
    assert f"    {claims}\n" in report_text.explanation(entry)
    assert report_text.address({**found, "services": [entry]}).count(claims) == 1
    made.put(service("b", requested="203.0.113.8")).remove(Kind.SERVICE, "other/c")
    assert told(made, "203.0.113.7")["claimants"] == []
    made.put(service("c"), service("c", requested=PEER), service("b", requested="192.0.2.1"))
    for address, name in ((PEER, "c"), ("192.0.2.1", "b")):
        nobody = {**told(made, address), "services": []}
        assert report_text.address(nobody).endswith(
            f"\n  default/{name} asks for it and does not get it"
        )
    made.broken("web").put(service("b", requested="203.0.113.7"))
    assert told(made, "203.0.113.7")["claimants"] == [{"namespace": "default", "name": "b"}]


def test_of_very_many_who_ask_for_an_address_the_first_are_told() -> None:
    made = world()
    for number in range(120):
        made.stage(service(f"x{number:03}", requested="203.0.113.7"))
    found = told(made.turn(), "203.0.113.7")["claimants"]
    assert [entry["name"] for entry in found] == [f"x{number:03}" for number in range(100)]
    for number in range(120):
        made.remove(Kind.SERVICE, f"x{number:03}")
    assert told(made, "203.0.113.7")["claimants"] == []
