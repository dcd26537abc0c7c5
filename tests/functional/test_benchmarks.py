"""`make bench` in a small size: it runs to its end and prints every figure."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FIGURES = {
    "benchmarks": ("floor (a bare socket, the same", "first start", "restart", "BIRD's kernel"),
    "benchmarks.allocation": ("adopt",),
}


@pytest.mark.parametrize("module", FIGURES)
def test_a_small_benchmark_prints_its_figures(module: str) -> None:
    environment = {**os.environ, "SERVICES": "50"}
    argv = [sys.executable, "-m", module]
    done = subprocess.run(
        argv, capture_output=True, text=True, env=environment, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for figure in FIGURES[module]:
        assert figure in done.stdout
