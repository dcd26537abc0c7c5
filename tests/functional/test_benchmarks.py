"""`make bench` in a small size, for what needs no API server: it prints every figure."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ALONE = ("adj-rib-out", "openflow", "synthetic")


def run(*argv: str) -> str:
    """What a benchmark prints."""
    done = subprocess.run(
        [sys.executable, "-m", *argv], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rows_that_need_no_api_server() -> None:
    only = [word for row in ALONE for word in ("--only", row)]
    small = ("--services", "50", "--seconds", "2", "--changes", "20")
    figures = json.loads(run("benchmarks", *small, "-o", "json", *only))
    assert {figure["row"] for figure in figures} == set(ALONE)
    # a peer or so few Services may need no memory more
    assert all(figure["value"] > 0 or figure["unit"] in ("bytes", "MB") for figure in figures)


@pytest.mark.parametrize(
    ("module", "figure"),
    [("benchmarks.allocation", "adopting"), ("benchmarks.sharing", "shared")],
)
def test_a_benchmark_of_the_domain(module: str, figure: str) -> None:
    assert figure in run(module)
