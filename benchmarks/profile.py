"""`make profile`: a start of the program under a sampling profiler (a flame graph), and once more
with every allocation traced (which lines hold the memory)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from benchmarks import memory_app
from benchmarks.network import PATIENCE
from benchmarks.plan import Plan, at_least_two
from benchmarks.progress import Progress
from benchmarks.scene import Scene, pid_of
from fabric import Fabric, wait_for
from fabric.control_plane import binaries
from fabric.ending import run
from fabric.program import command

_PER_SECOND = 200
_SUFFIX = {"flamegraph": "svg", "raw": "txt", "speedscope": "json"}
_TIMES = 5.0  # a traced start takes so many times as long at most


def main() -> int:
    """Writes both files and says where they are."""
    given = _arguments()
    if os.geteuid() != 0:
        print("make profile needs root: it makes network namespaces", file=sys.stderr)
        return 1
    given.into.mkdir(parents=True, exist_ok=True)
    plan = Plan(given.services, 1, 0, 0.0, Progress())
    with Fabric() as fabric:
        scene = Scene(fabric, binaries(), plan)
        try:
            scene.start()
            written = [
                _sampled(scene, given.start == "cold", given.into / given.start, given.format),
                _traced(scene, given.start == "cold", given.into / f"{given.start}-memory.txt"),
            ]
        finally:
            scene.api.stop()
    print(*written, sep="\n")
    return 0


def _sampled(scene: Scene, recorded: bool, to: Path, form: str) -> Path:
    """A start under py-spy."""
    scene.load(scene.plan.services, recorded)
    scene.plan.say("a start is sampled")
    to = to.with_suffix(f".{_SUFFIX[form]}").absolute()
    spy = [command("py-spy"), "record", "-r", str(_PER_SECOND), "-f", form, "-o", str(to), "--"]
    with scene.empty_leaf() as routes:
        program = scene.program().start(ready=False, under=spy)
        scene.reached(routes, PATIENCE * _TIMES, program)
    pid = pid_of(program)
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    assert program.process is not None
    program.process.wait(60)  # it writes when the program has ended
    scene.services.recorded = True
    return to


def _traced(scene: Scene, recorded: bool, to: Path) -> Path:
    """A start with tracemalloc, looked at when it is at rest."""
    scene.load(scene.plan.services, recorded)
    scene.plan.say("a start is traced")
    to, ask = to.absolute(), to.with_name(f"{to.name}.ask")
    to.unlink(missing_ok=True)
    with scene.empty_leaf() as routes:
        program = scene.program()
        beside = str(memory_app.__file__)
        program.start(ready=False, beside=beside, PYTHONTRACEMALLOC="1", MEMORY=str(to))
        scene.reached(routes, PATIENCE * _TIMES, program)
    time.sleep(scene.plan.rest)
    ask.touch()
    wait_for(to.exists, bool, PATIENCE, "what is allocated")
    ask.unlink()
    program.stop()
    scene.services.recorded = True
    return to


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    more = parser.add_argument
    more("--start", choices=("cold", "first"), default="cold", help="addresses on record, or not")
    services = "Services in the cluster (%(default)s)"
    more("--services", type=at_least_two, default=10_000, metavar="N", help=services)
    more("--format", choices=_SUFFIX, default="flamegraph", help="of py-spy (%(default)s)")
    more("--into", type=Path, default=Path("build/profile"), metavar="FOLDER", help="%(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
