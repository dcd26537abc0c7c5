"""`make bench` in a small size: every row comes to its end, with all of its figures."""

from __future__ import annotations

import json
import subprocess
import sys

SMALL = ["--services", "60", "--rounds", "1", "--changes", "20", "--seconds", "2"]


def test_every_row_of_the_table() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *SMALL, "-o", "json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    rows = {"first-start", "cold-start", "memory", "latency", "idle", "adj-rib-out"}
    assert {figure["row"] for figure in figures} == rows
    for figure in figures:
        # a memory of so few Services may not grow at all
        assert figure["value"] > 0 or figure["row"] == "memory", figure
        assert figure["floor"] is None or figure["floor"] > 0, figure
