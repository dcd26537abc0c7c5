"""One instance assigns, others announce a part of the Services each: docs/scale.md."""

from __future__ import annotations

from functools import partial

from fabric import wait_for
from fabric.objects import Json
from fabric.program import Program
from tests.cluster.harness import Cluster, web

OPT_IN = "lb.kubesphere.io/v1alpha1"
ASSIGNS: Json = {
    "porter": {"annotation_values": "east,west"},
    "bgp": {"enabled": "false"},
    "bound_ip": {"mode": "none"},
}


def announces(value: str) -> Json:
    """The groups of an instance that announces the Services with this value."""
    return {
        "porter": {"annotation_values": value, "allocate": "false"},
        "bound_ip": {"mode": "none"},
    }


def announced(program: Program) -> int:
    """The number of paths that an instance announces."""
    paths: int = program.get("/v1/peers")[0]["paths"]["ipv4"]
    return paths


def test_each_part_is_announced_by_its_own_instance(clean: Cluster) -> None:
    names = {"east": ["e1", "e2", "e3"], "west": ["w1"]}
    clean.api.apply(clean.pod("p1", "n1"), clean.pod("p2", "n2"))
    with clean.running("control", **ASSIGNS) as assigns:
        for value, services in names.items():
            for name in services:
                clean.api.apply(web(name, annotations={OPT_IN: value}, ours=False))
        with (
            clean.running("porter", **announces("east")) as east,
            clean.running("second", **announces("west")) as west,
        ):
            held = {
                name: wait_for(partial(clean.record, name), bool, 20, f"an address of {name}")
                for services in names.values()
                for name in services
            }
            assert len({addresses[0] for addresses in held.values()}) == 4
            for addresses in held.values():
                clean.routed(addresses[0], "n1", "n2")
            assert (announced(east), announced(west)) == (6, 2)
            clean.used("pool", 4)  # of both parts
            with clean.no_route_lost(held["w1"][0]):
                assigns.kill()
                east.kill()
            clean.api.delete("pod", "p2")
            clean.routed(held["w1"][0], "n1")
