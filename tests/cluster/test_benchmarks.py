"""`make bench` in a small size: every row comes to its end, with all of its figures.  Those that
need no API server are in the functional tests."""

from __future__ import annotations

import json
import subprocess
import sys

SMALL = ["--services", "60", "--rounds", "1", "--changes", "20", "--seconds", "2"]

ROWS = (
    "first-start",
    "cold-start",
    "memory",
    "latency",
    "idle",
    "node-lost",
    "storm",
    "peers",
)


def test_every_row_that_needs_an_api_server() -> None:
    only = [word for row in ROWS for word in ("--only", row)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *SMALL, "-o", "json", *only],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert {figure["row"] for figure in figures} == set(ROWS)
    for figure in figures:
        # so few Services may need no memory more
        assert figure["value"] > 0 or figure["unit"] in ("MB", "bytes"), figure
