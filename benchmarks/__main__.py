"""`make bench`: every figure beside its floor, which is measured in the same run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator

from benchmarks.plan import Plan, at_least_one, at_least_two, positive
from benchmarks.progress import Progress
from benchmarks.rows import (
    adj_rib_out,
    cold_start,
    first_start,
    idle,
    latency,
    memory,
    node_lost,
    openflow,
    peers,
    probes,
    storm,
    synthetic,
)
from benchmarks.scene import Scene
from benchmarks.table import Figure, text
from fabric import Fabric, FabricError
from fabric.control_plane import binaries
from fabric.ending import run

Figures = list[Figure]
_SERVICES = 10_000
# measured with few Services as well, before all are there
BOTH_SIZES: dict[str, Callable[[Scene, int], Figures]] = {
    "memory": memory.measure,
    "latency": latency.measure,
}
# in an order in which the records are made anew as seldom as may be
ON_A_CLUSTER: dict[str, Callable[[Scene, int], Figures]] = {
    "first-start": first_start.measure,
    "cold-start": cold_start.measure,
    **BOTH_SIZES,
    "idle": idle.measure,
    "node-lost": node_lost.measure,
    "storm": storm.measure,
    "peers": peers.measure,
}
ALONE: dict[str, Callable[[Plan], Figures]] = {
    "adj-rib-out": adj_rib_out.measure,
    "probes": probes.measure,
    "openflow": openflow.measure,
    "synthetic": synthetic.measure,
}


def main() -> int:
    """Measures what was asked for and prints it."""
    given = _arguments()
    names = given.only or [*ON_A_CLUSTER, *ALONE]
    if os.geteuid() != 0:
        print("make bench needs root: it makes network namespaces", file=sys.stderr)
        return 1
    plan = Plan(given.services, given.rounds, given.changes, given.seconds, Progress())
    found: dict[str, Figures] = {name: [] for name in (*ON_A_CLUSTER, *ALONE) if name in names}
    for name, measure in ALONE.items():
        if name in names:
            try:
                found[name] = measure(plan)
            except FabricError as error:
                plan.say(f"FAILED: {error}")
    if ON_A_CLUSTER.keys() & names:
        for name, figures in _on_a_cluster(plan, names):
            found[name] += figures
    plan.say("done")
    if plan.services < _SERVICES:
        plan.say(f"the targets are for {_SERVICES} Services: with few, most of a start is Python's")
    if given.output == "json":
        print(json.dumps([each.as_json(row) for row, many in found.items() for each in many]))
    else:
        print(text(list(found.items())))
    return 0 if all(found.values()) else 1


def _on_a_cluster(plan: Plan, names: Collection[str]) -> Iterator[tuple[str, Figures]]:
    with Fabric() as fabric:
        scene = Scene(fabric, binaries(), plan)
        try:
            scene.start()
            for rows, count in ((BOTH_SIZES, plan.few), (ON_A_CLUSTER, plan.services)):
                for name, measure in rows.items():
                    if name in names:
                        yield name, _measured(scene, measure, count)
            scene.clear()
        finally:
            scene.api.stop()


def _measured(scene: Scene, measure: Callable[[Scene, int], Figures], count: int) -> Figures:
    """The figures of a row; none where it fails, which costs no other row."""
    try:
        return measure(scene, count)
    except FabricError as error:
        scene.plan.say(f"FAILED: {error}\n{scene.tail()}")
        scene.clear()
        return []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    rows = [*ON_A_CLUSTER, *ALONE]
    more = parser.add_argument
    more(
        "--only",
        choices=rows,
        action="append",
        metavar="ROW",
        help=f"may be repeated: {', '.join(rows)}",
    )
    more(
        "--services",
        type=at_least_two,
        default=_SERVICES,
        metavar="N",
        help="Services in the cluster (%(default)s, for which the targets are)",
    )
    more(
        "--rounds",
        type=at_least_one,
        default=3,
        metavar="N",
        help="cold starts that are timed (%(default)s)",
    )
    more(
        "--changes",
        type=at_least_two,
        default=500,
        metavar="N",
        help="single changes that are timed (%(default)s)",
    )
    more(
        "--seconds",
        type=positive,
        default=60.0,
        metavar="N",
        help="how long a storm lasts (%(default)s)",
    )
    more("-o", "--output", choices=("text", "json"), default="text")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
