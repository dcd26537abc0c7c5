"""spec.advertisements of an Eip, as real routers see it: FRR and BIRD are external peers, gobgpd is
an internal one.  Each change of attributes is an UPDATE without a withdrawal."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Gobgpd, Leaf, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, command
from fabric.watchers import never_without, no_route_lost
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, peers
from tests.functional.test_next_hops import NODES, expect

T = TypeVar("T")
EIP = "203.0.113.8"
WITHIN_SECONDS = 3.0
INTERNAL_AS = 65000


@pytest.fixture(scope="module")
def leaves(fabric: Fabric) -> dict[str, Leaf]:
    """BIRD and FRR, and gobgpd as an internal peer."""
    us = [Neighbour(OURS, 65000)]
    hosts = fabric.hosts
    return {
        "bird": Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start(),
        "frr": Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start(),
        "gobgpd": Gobgpd(hosts["gobgpd"], INTERNAL_AS, LEAVES["gobgpd"], us).start(),
    }


@pytest.fixture(scope="module")
def program(fabric: Fabric, leaves: object) -> Iterator[Program]:
    """The program with all three leaves as peers."""
    sections = peers()
    sections["peer:gobgpd"]["remote_as"] = INTERNAL_AS
    sections["peer:frr"] |= {"communities": "65000:900", "med": 90}
    program = Program(fabric.hosts["porter"], sections)
    yield program.start()
    program.stop()


@pytest.fixture(autouse=True)
def cluster(program: Program, leaves: dict[str, Leaf]) -> Iterator[None]:
    """Four nodes, two in each rack, and a Service on two of them; without an Eip."""
    for number, (name, address) in enumerate(NODES.items()):
        program.put(name, node(name, address, labels={"rack": "a" if number < 2 else "b"}))
    program.put("web", service("web"))
    program.put("slice", slice_of("web", "n1", "n3"))
    yield
    for file in list(program.manifests.glob("*.yaml")):
        file.unlink()
    wait_for(lambda: program.get("/v1/eips"), lambda left: not left, 5, "the Eips to go")
    wait_for(lambda: program.get("/v1/services"), lambda left: not left, 5, "all to go")
    for leaf in leaves.values():
        wait_for(leaf.routes, lambda left: not left, 5, "the routes to go")


def pool(program: Program, *entries: Json, address: str = "203.0.113.8/29", **spec: Any) -> None:
    """Writes the Eip."""
    program.put("pool", eip("pool", address, advertisements=list(entries), **spec))


def eventually(look: Callable[[], T], good: Callable[[T], bool], what: str) -> T:
    """The first good result within three seconds."""
    return wait_for(look, good, WITHIN_SECONDS, what)


def frr_paths(frr: Leaf, prefix: str = f"{EIP}/32") -> dict[str, Json]:
    """What FRR has of a prefix: its paths by next hop."""
    assert isinstance(frr, Frr)
    found = json.loads(frr.command(f"show bgp ipv4 unicast {prefix} json") or "{}")
    return {path["nexthops"][0]["ip"]: path for path in found.get("paths", ())}


def frr_communities(frr: Leaf, prefix: str = f"{EIP}/32") -> dict[str, set[str]]:
    """The communities of both kinds on each path of a prefix, by next hop."""
    return {
        hop: {
            *path.get("community", {"string": ""})["string"].split(),
            *path.get("largeCommunity", {"string": ""})["string"].split(),
        }
        for hop, path in frr_paths(frr, prefix).items()
    }


def bird_attribute(bird: Leaf, name: str, prefix: str = f"{EIP}/32") -> set[str]:
    """The values of an attribute over the paths that BIRD has of a prefix."""
    assert isinstance(bird, Bird)
    text = bird.command(f"show route all {prefix}")
    return set(re.findall(rf"BGP\.{name}: (.*)", text))


def gobgp_preferences(gobgpd: Leaf, prefix: str = f"{EIP}/32") -> set[int]:
    """LOCAL_PREF of the paths that gobgpd has of a prefix."""
    text = gobgpd.host.run(f"gobgp global rib {prefix} -j", check=False)
    table = json.loads(text) if text.strip().startswith("{") else {}
    return {
        attribute["value"]
        for paths in table.values()
        for path in paths
        for attribute in path["attrs"]
        if attribute["type"] == 5
    }


def test_each_pool_has_its_communities_and_a_peer_that_is_not_named_gets_nothing(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    pool(
        program,
        {"peers": ["frr"], "communities": ["65000:1", "65000:1:2", "no-export"]},
        {"peers": ["frr", "gobgpd"]},
    )
    second = eip("second", "198.51.100.1", advertisements=[{"communities": ["65000:2"]}])
    program.put("second", second)
    other = {"eip.porter.kubesphere.io/pool": "second"}
    program.put("other", service("other", annotations=other))
    program.put("other-slice", slice_of("other", "n1"))
    wanted = {"65000:1", "65000:1:2", "no-export", "65000:900"}
    eventually(
        partial(frr_communities, leaves["frr"]),
        lambda found: found == {NODES["n1"]: wanted, NODES["n3"]: wanted},
        "the communities of the first pool",
    )
    eventually(
        partial(frr_communities, leaves["frr"], "198.51.100.1/32"),
        lambda found: found == {NODES["n1"]: {"65000:2", "65000:900"}},
        "the communities of the second pool",
    )
    expect({"gobgpd": leaves["gobgpd"]}, EIP, "n1", "n3")
    expect(leaves, "198.51.100.1", "n1")
    assert EIP not in leaves["bird"].routes()
    assert bird_attribute(leaves["bird"], "community", "198.51.100.1/32") == {"(65000,2)"}


def test_attributes_and_a_changed_entry_is_an_update_without_a_withdrawal(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    pool(
        program,
        {"localPref": 200, "med": 30, "asPathPrepend": 2},
        {"peers": ["bird"], "med": 20, "localPref": 300},
    )
    expect(leaves, EIP, "n1", "n3")
    paths = frr_paths(leaves["frr"])
    assert {path["metric"] for path in paths.values()} == {30}
    assert {path["aspath"]["string"] for path in paths.values()} == {"65000 65000 65000"}
    assert bird_attribute(leaves["bird"], "med") == {"20"}
    assert bird_attribute(leaves["bird"], "as_path") == {"65000 65000 65000"}
    assert gobgp_preferences(leaves["gobgpd"]) == {200}
    bird = leaves["bird"]
    assert isinstance(bird, Bird)
    before = withdrawals(bird)
    pool(program, {"localPref": 50, "communities": ["65000:7"]}, {"peers": ["bird"], "med": 5})
    eventually(partial(bird_attribute, bird, "med"), lambda found: found == {"5"}, "the MED")
    eventually(
        partial(bird_attribute, bird, "as_path"), lambda found: found == {"65000"}, "the AS_PATH"
    )
    eventually(
        partial(gobgp_preferences, leaves["gobgpd"]), lambda found: found == {50}, "LOCAL_PREF"
    )
    frr = eventually(
        partial(frr_paths, leaves["frr"]),
        lambda found: {path["aspath"]["string"] for path in found.values()} == {"65000"},
        "the AS_PATH",
    )
    assert {path["metric"] for path in frr.values()} == {90}, "what the peer's group says"
    assert withdrawals(bird) == before


def withdrawals(bird: Bird) -> int:
    """How many routes BIRD was told to withdraw so far."""
    counts = re.findall(r"Import withdraws:\s+(\d+)", bird.command("show protocols all p0"))
    assert counts
    return sum(map(int, counts))


def test_an_entry_selects_the_nodes(program: Program, leaves: dict[str, Leaf]) -> None:
    rack_b = {"matchExpressions": [{"key": "rack", "operator": "In", "values": ["b", "c"]}]}
    pool(
        program,
        {"peers": ["frr"]},
        {"peers": ["frr"], "nodeSelector": rack_b, "communities": ["65000:5"]},
        {"peers": ["bird", "gobgpd"], "nodeSelector": {"matchLabels": {"rack": "a"}}},
    )
    expect({"frr": leaves["frr"]}, EIP, "n1", "n3")
    expect({name: leaves[name] for name in ("bird", "gobgpd")}, EIP, "n1")
    assert frr_communities(leaves["frr"]) == {
        NODES["n1"]: {"65000:900"},
        NODES["n3"]: {"65000:5", "65000:900"},
    }
    program.put("n1", node("n1", NODES["n1"], labels={"rack": "c"}))
    expect({name: leaves[name] for name in ("bird", "gobgpd")}, EIP)
    eventually(
        partial(frr_communities, leaves["frr"]),
        lambda found: "65000:5" in found[NODES["n1"]],
        "the community of rack c",
    )


def test_a_service_adds_what_the_pool_allows(program: Program, leaves: dict[str, Leaf]) -> None:
    pool(program, allowedCommunities=["65000:66", "65000:1:66"])
    asked = "65000:66, 65000:67, 65000:1:66, nonsense"
    key = "eip.porter.kubesphere.io/communities"
    program.put("web", service("web", annotations={key: asked}))
    allowed = {"65000:66", "65000:1:66", "65000:900"}
    eventually(
        partial(frr_communities, leaves["frr"]),
        lambda found: set(map(frozenset, found.values())) == {frozenset(allowed)},
        "the communities of the Service",
    )
    expect(leaves, EIP, "n1", "n3")
    said = "Eip pool does not allow a Service to add 65000:67"

    def reports() -> list[str]:
        lines = program.host.log(program.log).splitlines()
        return [line for line in lines if "default/web: CommunityNotAllowed" in line]

    (line,) = eventually(reports, bool, "the report of 65000:67")
    assert said in line
    assert "'nonsense' is not a community" in line
    eventually(
        lambda: program.status("services", "default/web").get("conditions", []),
        lambda conditions: any(
            (c["type"].endswith("/Announced"), c["status"], said in c["message"])
            == (True, "True", True)
            for c in conditions
        ),
        "the condition that says so",
    )
    program.put("web", service("web"))
    eventually(
        partial(frr_communities, leaves["frr"]),
        lambda found: set(map(frozenset, found.values())) == {frozenset({"65000:900"})},
        "no communities but those of the peer",
    )


def test_an_aggregate_comes_with_the_first_address_and_goes_with_the_last(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    aggregate = "203.0.113.8/29"
    pool(
        program,
        {"peers": ["frr"], "aggregationLength": 29, "communities": ["65000:29"]},
        {"peers": ["bird"]},
    )
    frr, bird = {"frr": leaves["frr"]}, {"bird": leaves["bird"]}
    expect(frr, aggregate, *NODES)
    expect(frr, EIP, "n1", "n3")
    expect(bird, EIP, "n1", "n3")
    assert aggregate not in leaves["bird"].routes()
    assert not leaves["gobgpd"].routes()
    program.put("slice", slice_of("web", *NODES))
    expect(frr, EIP)
    expect(frr, aggregate, *NODES)
    expect(bird, EIP, *NODES)
    assert frr_communities(leaves["frr"], aggregate)[NODES["n2"]] == {"65000:29", "65000:900"}
    program.put("local", service("local", externalTrafficPolicy="Local"))
    program.put("local-slice", slice_of("local", "n2"))
    expect(frr, "203.0.113.9", "n2")
    explained = program.host.run(
        [command("porter-ryu"), "explain", "default/web", "--url", "http://127.0.0.1:8080"]
    )
    for text in (
        "default/web: announced: 203.0.113.8 to bird, frr",
        f"in the aggregate {aggregate}",
        "sent to frr: ",
        "not sent to gobgpd: no entry of spec.advertisements of Eip pool names it",
        "to frr: communities 65000:29",
    ):
        assert text in explained
    program.put("n4", node("n4", NODES["n4"], labels={"rack": "b"}, ready=False))
    expect(frr, aggregate, "n1", "n2", "n3")
    expect(frr, EIP)
    program.remove("web")
    expect(bird, EIP)
    expect(frr, aggregate, "n1", "n2", "n3")
    program.remove("local")
    expect(frr, aggregate)
    expect(frr, "203.0.113.9")


def test_an_ipv6_aggregate_and_a_drained_node(program: Program, leaves: dict[str, Leaf]) -> None:
    six = {name: f"fd00:7::{number}" for number, name in enumerate(NODES, 11)}
    for name, address in NODES.items():
        program.put(name, node(name, address, six[name]))
    pool(
        program,
        {"aggregationLengthV6": 64, "communities": ["65000:64"]},
        address="2001:db8:99::/60",
    )
    program.put("web", service("web", families=["IPv6"]))
    program.put("slice", slice_of("web", "n1", family="IPv6"))
    both = {name: leaves[name] for name in ("frr", "bird")}
    expect(both, "2001:db8:99::", "n1", version=6, addresses=six)
    expect(both, "2001:db8:99::/64", *NODES, version=6, addresses=six)
    assert bird_attribute(leaves["bird"], "community", "2001:db8:99::/64") == {"(65000,64)"}
    drained = {"porter.kubesphere.io/drain": "true"}
    program.put("n4", node("n4", NODES["n4"], six["n4"], annotations=drained))
    expect({"frr": leaves["frr"]}, "2001:db8:99::/64", "n1", "n2", "n3", version=6, addresses=six)
    program.remove("n3")
    expect({"frr": leaves["frr"]}, "2001:db8:99::/64", "n1", "n2", version=6, addresses=six)
    program.remove("web")
    expect(both, "2001:db8:99::/64", version=6, addresses=six)


def test_no_route_is_lost_over_kill_9_and_what_was_meanwhile_covered_goes(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    """The journal has prefixes of every length."""
    aggregate = "203.0.113.8/29"
    pool(program, {"aggregationLength": 29, "communities": ["65000:29"]})
    both = {name: leaves[name] for name in ("frr", "bird")}
    expect(both, EIP, "n1", "n3")
    expect(both, aggregate, *NODES)
    with contextlib.ExitStack() as watching:
        for leaf in both.values():
            watching.enter_context(no_route_lost(leaf.host, {aggregate: frozenset(NODES.values())}))
        program.kill()
        program.put("slice", slice_of("web", *NODES))
        program.start()
        expect(both, EIP)
        expect(both, aggregate, *NODES)
    assert frr_communities(leaves["frr"], aggregate)[NODES["n4"]] == {"65000:29", "65000:900"}


def test_what_takes_the_place_of_a_route_is_there_before_it_goes(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    """Either the address or the aggregate is in the kernel at any moment, also where only one peer
    gets another."""
    both = {name: leaves[name] for name in ("frr", "bird")}
    program.put("slice", slice_of("web", *NODES))
    pool(program)
    expect(both, EIP, *NODES)
    aggregate = "203.0.113.8/29"
    with contextlib.ExitStack() as watching:
        for leaf in both.values():
            watching.enter_context(never_without(leaf.host, EIP, aggregate, "203.0.113.8/30"))
        for _ in range(3):
            pool(program, {"aggregationLength": 30})
            expect(both, EIP)
            expect(both, "203.0.113.8/30", *NODES)
            pool(program, {"aggregationLength": 29})
            expect(both, "203.0.113.8/30")
            expect(both, aggregate, *NODES)
            pool(program, {"peers": ["frr"], "aggregationLength": 29}, {"peers": ["bird"]})
            expect({"bird": both["bird"]}, aggregate)
            expect({"bird": both["bird"]}, EIP, *NODES)
            pool(program, {"peers": ["bird"], "aggregationLength": 29}, {"peers": ["frr"]})
            for name, prefix, other in (("bird", aggregate, EIP), ("frr", EIP, aggregate)):
                expect({name: both[name]}, prefix, *NODES)
                expect({name: both[name]}, other)
            pool(program, {})
            expect(both, aggregate)
            expect(both, EIP, *NODES)


def test_a_peer_that_is_not_configured_is_reported_and_breaks_nothing(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    pool(program, {"peers": ["frr", "leaf9"], "aggregationLength": 24})
    expect({"frr": leaves["frr"]}, EIP, "n1", "n3")
    eventually(
        lambda: program.host.log(program.log),
        lambda text: (
            "Eip pool: not announced as aggregates, because they have addresses that are in no "
            "Eip: 203.0.113.0/24; spec.advertisements names peers that are not configured: leaf9"
            in text
        ),
        "the report",
    )


def test_a_bad_entry_is_reported_once_and_the_last_good_form_stays(
    program: Program, leaves: dict[str, Leaf]
) -> None:
    pool(program, {"peers": ["frr"]})
    expect({"frr": leaves["frr"]}, EIP, "n1", "n3")
    pool(program, {"peers": ["bird"]}, {"communities": ["65536:1"]})
    status = eventually(
        lambda: program.status("eips", "pool"),
        lambda s: s.get("ready") is False,
        "the Eip to say so",
    )
    (condition,) = status["conditions"]
    assert condition["reason"] == "InvalidAddress"
    assert condition["message"].startswith("spec.advertisements[1].communities: '65536:1'")
    expect({"frr": leaves["frr"]}, EIP, "n1", "n3")
    assert EIP not in leaves["bird"].routes()
    with no_route_lost(leaves["frr"].host, {EIP: frozenset([NODES["n1"], NODES["n3"]])}):
        program.kill()
        program.start()
        program.put("slice2", slice_of("web", "n2", name="web-2"))
        expect({"frr": leaves["frr"]}, EIP, "n1", "n2", "n3")
        program.remove("slice2")
        expect({"frr": leaves["frr"]}, EIP, "n1", "n3")
    assert EIP not in leaves["bird"].routes(), "the form in status.serving names frr alone"
    pool(program, {"peers": ["bird"]})
    expect({"bird": leaves["bird"]}, EIP, "n1", "n3")
    expect({"frr": leaves["frr"]}, EIP)
