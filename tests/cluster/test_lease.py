"""Two central instances: both announce, one assigns and binds, and nothing that happens to one of
them costs a route or gives one address to two."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from fabric import wait_for
from fabric.control_plane import NAMESPACE
from fabric.objects import Json, eip
from fabric.program import Program
from tests.cluster.harness import CONTROL, Cluster, end_silence, silence, web
from tests.rounds import STOPPED_FOR, rounds

EIP = "203.0.113.8"
TWO: Json = {"porter": {"single_instance": "false"}}
TAKEOVER = 15


@pytest.fixture
def both(clean: Cluster) -> Iterator[tuple[Program, Program]]:
    """The first leads, the second follows, and a Service with two Pods is announced."""
    with clean.running("porter", **TWO) as first:
        leads(first)
        with clean.running("second", **TWO) as second:
            clean.api.apply(web(), clean.pod("p1", "n1"), clean.pod("p2", "n2"))
            clean.routed(EIP, "n1", "n2")
            announces(first, 2)
            announces(second, 2)
            yield first, second


def announces(program: Program, paths: int, within: float = 10) -> None:
    """An instance comes to announce so many paths."""
    wait_for(
        lambda: program.get("/v1/peers")[0]["paths"]["ipv4"],
        lambda seen: seen == paths,
        within,
        f"{paths} paths",
    )


def leads(program: Program, within: float = TAKEOVER) -> None:
    """An instance comes to lead."""
    wait_for(
        lambda: program.metric("porter_leader"),
        lambda leads: leads == 1,
        within,
        "it to lead",
    )


def bound_of(program: Program, addresses: Iterable[str]) -> set[str]:
    """Which of these addresses are bound on the host of an instance."""
    seen = program.host.run("ip -br address show").split()
    return {address for address in addresses if f"{address}/32" in seen}


def is_bound(program: Program) -> bool:
    """Whether the EIP is bound on the host of an instance."""
    return bool(bound_of(program, [EIP]))


def assigns(cluster: Cluster, name: str) -> str:
    """A new Service gets an address; which."""
    cluster.api.apply(web(name))
    return wait_for(lambda: cluster.record(name), bool_of, TAKEOVER, f"an address of {name}")[0]


def bool_of(seen: list[str]) -> bool:
    """Whether there is one."""
    return bool(seen)


def roles(program: Program) -> list[str]:
    """The roles that an instance recorded, the newest last."""
    return [e["to"] for e in program.get("/v1/changes") if e["kind"] == "leader"]


def all_different(cluster: Cluster) -> None:
    """No address is on record twice."""
    items = cluster.api.get("service", namespace="")["items"]
    held = [
        entry["ip"]
        for item in items
        for entry in item.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    ]
    assert len(held) == len(set(held)), held


@pytest.mark.parametrize("round_", rounds())
def test_the_leader_is_killed(clean: Cluster, both: tuple[Program, Program], round_: int) -> None:
    first, second = both
    wait_for(lambda: is_bound(first), bool, 5, "the address to be bound where the leader is")
    assert not is_bound(second)
    with clean.no_route_lost():
        first.kill()
        leads(second)
        wait_for(lambda: is_bound(second), bool, 5, "the address to be bound there")
    assert "leads" in roles(second)
    wait_for(
        lambda: [e["to"] for e in second.get(f"/v1/changes?about={EIP}")][-1:],
        ["bound"].__eq__,
        5,
        "the binding to be on record",
    )
    assert assigns(clean, "late") == "203.0.113.9"
    first.start()
    clean.routed("203.0.113.9", "n1", "n2")
    wait_for(lambda: is_bound(first), lambda b: not b, 5, "the address to be bound no more here")
    wait_for(lambda: roles(first), ["follows"].__eq__, 5, "its role to be on record")
    all_different(clean)


@pytest.mark.parametrize("round_", rounds())
def test_the_leader_is_stopped_and_wakes_up_late(
    clean: Cluster, both: tuple[Program, Program], round_: int
) -> None:
    first, second = both
    with clean.no_route_lost():
        first.process.send_signal(signal.SIGSTOP)
        clean.api.apply(web("while"))
        leads(second)
    wait_for(lambda: clean.record("while"), bool_of, TAKEOVER, "an address from the other")
    # the other gives away what the sleeper would give next
    taken = [assigns(clean, f"more{i}") for i in range(3)]
    second.host.run(["sleep", str(STOPPED_FOR)], seconds=STOPPED_FOR + 10)
    before = clean.api.writes()
    first.process.send_signal(signal.SIGCONT)
    wait_for(
        lambda: first.metric("porter_leader"),
        lambda leads: leads == 0,
        TAKEOVER,
        "it to step down",
    )
    assert [clean.record(f"more{i}")[0] for i in range(3)] == taken
    wait_for(lambda: is_bound(first), lambda b: not b, 5, "it to let go of the address")
    all_different(clean)
    assert clean.api.writes() - before <= 2, "what it still meant to write"
    clean.routed(EIP, "n1", "n2")


def test_the_leader_is_cut_off_from_the_api_server(
    clean: Cluster, both: tuple[Program, Program]
) -> None:
    first, second = both
    with clean.no_route_lost():
        silence(first.host, CONTROL)
        leads(second)
    late = assigns(clean, "late")
    assert late == "203.0.113.9"
    clean.routed(late, "n1", "n2")
    announces(first, 2)
    end_silence(first.host, CONTROL)
    announces(first, 4, within=30)
    wait_for(lambda: is_bound(first), lambda b: not b, 10, "it to let go of the address")
    all_different(clean)


def test_a_record_that_is_there_twice_is_repaired_and_the_earlier_one_stays(
    clean: Cluster, both: tuple[Program, Program]
) -> None:
    other = assigns(clean, "other")
    clean.routed(other, "n1", "n2")
    ingress = {"ingress": [{"ip": EIP, "ipMode": "VIP"}]}
    patch = json.dumps({"status": {"loadBalancer": ingress}})
    with clean.no_route_lost(EIP):
        words = ("patch", "service", "other", "--subresource=status", "--type=merge", "-p", patch)
        clean.api.kubectl(*words)
        wait_for(lambda: clean.record("other"), lambda seen: seen == [other], 5, "the repair")
    assert clean.record("web") == [EIP]


@pytest.mark.parametrize("round_", rounds())
def test_services_come_and_go_while_instances_die_and_sleep(clean: Cluster, round_: int) -> None:
    """Whoever it is and whenever: every Service is served, no address is given twice, the leaf has
    what is on record, and one instance alone has bound it."""
    chance = random.Random(round_)
    names = [f"s{i}" for i in range(20)]
    clean.api.apply(eip("big", "203.0.113.64/27"), clean.pod("p1", "n1"))
    with clean.running("porter", **TWO) as first, clean.running("second", **TWO) as second:
        clean.api.apply(*(web(name) for name in names))
        for killed in (True, False):
            victim = chance.choice((first, second))
            if killed:
                victim.kill()
            else:
                victim.process.send_signal(signal.SIGSTOP)
            clean.api.delete("service", *chance.sample(names, 6))
            clean.leaf.host.run(f"sleep {chance.randrange(16)}")
            clean.api.apply(*(web(name) for name in names))
            if killed:
                victim.start(ready=False)
            else:
                victim.process.send_signal(signal.SIGCONT)
            wait_for(lambda: all(map(clean.record, names)), bool, 40, "all to be served")
            all_different(clean)
        held = {clean.record(name)[0] for name in names}
        wait_for(lambda: clean.leaf.routes().keys(), lambda seen: seen == held, 20, "the routes")
        for address in held:
            clean.routed(address, "n1")
        wait_for(
            lambda: sorted(len(bound_of(program, held)) for program in (first, second)),
            lambda seen: seen == [0, len(held)],
            10,
            "one of them to have bound them all",
        )
        clean.api.kubectl("delete", "service", *names)
        wait_for(clean.leaf.routes, lambda routes: not routes, 20, "no route to be left")
    clean.api.delete("eip", "big")


def test_a_clock_that_is_an_hour_off_changes_nothing(clean: Cluster) -> None:
    """The instance's own clock, so that the API server's is an hour off for it."""
    with clean.running("porter", **TWO) as first:
        leads(first)
        second = clean.instance("second", **TWO)
        try:
            library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
            second.start(LD_PRELOAD=str(library), FAKETIME="+3600s")
            clean.api.apply(web(), clean.pod("p1", "n1"))
            clean.routed(EIP, "n1")
            assert "leads now" not in second.host.log(second.log)
            with clean.no_route_lost():
                first.kill()
                leads(second)
            lease = clean.api.get("lease", "porter-ryu", NAMESPACE)
            ahead = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 3000))
            assert lease["spec"]["renewTime"] > ahead, "its clock is off"
            assert assigns(clean, "late") == "203.0.113.9"
            first.start()
            clean.routed("203.0.113.9", "n1")
            second.host.run(["sleep", "5"])
            assert "does not lead" not in second.host.log(second.log)
        finally:
            second.stop()
