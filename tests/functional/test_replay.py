"""A `kill -9`, and then a cluster that cannot be read: what is announced from the journal has the
attributes that it had.  FRR is an external peer that passes on what it may, and BIRD an internal
one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from fabric import Fabric, end, wait_for
from fabric.leaves import Bird, Frr, Gobgpd, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, Sections
from fabric.watchers import no_route_lost
from tests.functional.conftest import LEAF_AS, LEAVES, OURS

OUR_AS = 65000
NODES = {f"n{n}": f"192.168.7.{10 + n}" for n in range(1, 5)}
QUIET, LOUD = "203.0.113.8", "198.51.100.1"
SAID = {
    "communities": ["no-export", "65000:1", "65000:1:2"],
    "localPref": 200,
    "med": 30,
    "asPathPrepend": 2,
}
OTHER_POOL = {"eip.porter.kubesphere.io/pool": "loud"}
DRAINED = {"porter.kubesphere.io/drain": "true"}
DEAD = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "u", "user": {}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
}

Attributes = tuple[object, ...]
Table = dict[tuple[str, str], Attributes]


@pytest.fixture
def frr(fabric: Fabric) -> Iterator[Frr]:
    """An external peer, and a router behind it."""
    neighbours = [
        Neighbour(OURS, OUR_AS),
        Neighbour(LEAVES["gobgpd"], LEAF_AS["gobgpd"], passive=False),
    ]
    leaf = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], neighbours)
    yield leaf.start()
    leaf.stop()


@pytest.fixture
def behind(fabric: Fabric, frr: Frr) -> Iterator[Gobgpd]:
    """The router behind FRR."""
    us = [Neighbour(LEAVES["frr"], LEAF_AS["frr"], add_path=False)]
    router = Gobgpd(fabric.hosts["gobgpd"], LEAF_AS["gobgpd"], LEAVES["gobgpd"], us)
    yield router.start()
    router.stop()


@pytest.fixture
def bird(fabric: Fabric) -> Iterator[Bird]:
    """An internal peer."""
    us = [Neighbour(OURS, OUR_AS)]
    leaf = Bird(fabric.hosts["bird"], OUR_AS, LEAVES["bird"], us, more="direct;")
    yield leaf.start()
    leaf.stop()


def frr_paths(frr: Frr) -> list[tuple[tuple[str, str], Json]]:
    """All paths that FRR has, by prefix and next hop."""
    found = []
    for prefix in (QUIET, LOUD):
        table = json.loads(frr.command(f"show bgp ipv4 unicast {prefix}/32 json") or "{}")
        found += [((prefix, p["nexthops"][0]["ip"]), p) for p in table.get("paths", ())]
    return found


def in_frr(frr: Frr) -> Table:
    """The attributes of the paths in FRR."""
    texts = ("aspath", "community", "largeCommunity", "extendedCommunity")
    return {
        key: (path.get("metric"), *(path.get(name, {}).get("string") for name in texts))
        for key, path in frr_paths(frr)
    }


def in_bird(bird: Bird) -> Table:
    """The attributes of the paths in BIRD."""
    table: Table = {}
    prefix = ""
    for part in re.split(r"(?m)^(?=.*unicast \[)", bird.command("show route all")):
        prefix = part.partition("/32 ")[0] if part[:1].isdigit() else prefix
        said = dict(re.findall(r"BGP\.(\w+): *(.*)", part))
        if said:
            table[prefix, said["next_hop"]] = tuple(sorted(said.items()))
    return table


def settings(fabric: Fabric) -> Sections:
    """Of an instance with both peers."""
    return {
        "porter": {"state_dir": fabric.folder / "replay.state"},
        "bgp": {
            "local_as": OUR_AS,
            "router_id": OURS,
            "peers": "frr, bird",
            "restart_time": 24,  # seconds: on a busy machine a start and a session take some
            "weights": "endpoints",
        },
        "peer:frr": {
            "address": LEAVES["frr"],
            "remote_as": LEAF_AS["frr"],
            "connect_retry": 1,
            "communities": "65000:900",
        },
        "peer:bird": {"address": LEAVES["bird"], "remote_as": OUR_AS, "connect_retry": 1},
        "drain": {"seconds": 3600},
        "bound_ip": {"mode": "none"},
    }


@pytest.fixture
def program(fabric: Fabric) -> Iterator[Program]:
    """An instance that can read its cluster: a pool with attributes and one without, and a node
    that is being drained."""
    program = Program(fabric.hosts["porter"], settings(fabric), "replay")
    for name, address in NODES.items():
        program.put(name, node(name, address))
    program.put("quiet", eip("quiet", QUIET, advertisements=[SAID], priority=0))
    program.put("loud", eip("loud", LOUD, priority=9))
    program.put("web", service("web"), slice_of("web", "n1", "n1", "n1", "n2", "n4"))
    program.put("api", service("api", annotations=OTHER_POOL), slice_of("api", "n2", "n3", "n4"))
    yield program.start()
    program.stop()


def test_a_replay_has_all_attributes(
    fabric: Fabric, program: Program, frr: Frr, bird: Bird, behind: Gobgpd
) -> None:
    def both() -> tuple[Table, Table]:
        return in_frr(frr), in_bird(bird)

    drained = {(prefix, NODES["n4"]) for prefix in (QUIET, LOUD)}
    wait_for(both, lambda t: len(t[0]) == len(t[1]) == 6, 15, "all paths at both leaves")
    program.put("n4", node("n4", NODES["n4"], annotations=DRAINED))
    before = wait_for(
        both,
        lambda tables: all(
            mark in str(table[key])
            for table, mark in zip(tables, ("graceful-shutdown", "(65535,0)"), strict=True)
            for key in drained
        ),
        5,
        "the drain at both leaves",
    )
    external, internal = before
    web = (QUIET, NODES["n1"])
    med, as_path, communities, large, weight = external[web]
    assert (med, as_path, large) == (30, "65000 65000 65000", "65000:1:2")
    assert set(str(communities).split()) == {"65000:1", "65000:900", "no-export"}
    assert "375000" in str(weight), "three Pods"
    assert ("local_pref", "200") in internal[web]
    shares = wait_for(
        lambda: frr.host.shares(QUIET),
        lambda seen: seen == {NODES["n1"]: 75, NODES["n2"]: 25},
        5,
        "the shares without the drained node",
    )
    wait_for(lambda: set(behind.routes()), lambda routes: routes == {LOUD}, 10, "what may go on")
    monitor = behind.host.spawn("gobgp monitor global rib", "rib.log")

    def same() -> bool:
        """Checks that all is as before; returns whether nothing of it is from before the kill."""
        assert both() == before
        assert frr.host.shares(QUIET) == shares
        return not any(path.get("stale") for _, path in frr_paths(frr))

    dead = fabric.folder / "dead.kubeconfig"
    dead.write_text(json.dumps(DEAD))
    unreadable = {**settings(fabric), "kubernetes": {"manifests": "", "kubeconfig": dead}}
    blind = Program(program.host, unreadable, "blind")
    with (
        no_route_lost(frr.host, frr.routes(), or_gained=True),
        no_route_lost(bird.host, bird.routes(), or_gained=True),
    ):
        program.kill()
        wait_for(same, lambda fresh: not fresh, 10, "FRR to see the kill")
        blind.start(ready=False)
        wait_for(
            lambda: (same(), blind.host.log(blind.log)),
            lambda seen: "the routes of the earlier run are announced" in seen[1],
            20,
            "the replay",
        )
        wait_for(same, bool, 10, "every path to be announced again")
        for peer in blind.get("/v1/peers"):
            assert peer["paths"]["ipv4"] == 6
        assert same()
        blind.kill()
        program.start()
        want = tuple(
            {key: said for key, said in table.items() if key not in drained} for table in before
        )
        wait_for(both, lambda tables: tables == want, 10, "the drained node to go, and it alone")
    end(monitor)
    told = behind.host.log("rib.log")
    assert QUIET not in told, "a route with no-export went on"
    assert "left out" not in program.host.log(program.log) + blind.host.log(blind.log)
