"""Parts of the benchmarks: applications that run beside the program, and arguments."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import empty_app, memory_app
from benchmarks.plan import at_least_one, at_least_two, positive


@pytest.mark.parametrize("app", [empty_app.__file__, memory_app.__file__])
def test_an_application_needs_no_package_of_this_repository(app: str, tmp_path: Path) -> None:
    # `-I`: as for ryu-manager, which knows neither the current directory nor PYTHONPATH
    load = "import runpy, sys; runpy.run_path(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", load, app],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", ["1", "0", "-3", "x", "", "2.5"])
def test_a_number_that_is_too_small_or_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="at least 2"):
        at_least_two(text)


def test_the_least_number_is_taken() -> None:
    assert (at_least_one("1"), at_least_two("2")) == (1, 2)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "x", ""])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
        positive(text)
    assert positive("0.5") == 0.5
