"""What makes Ryu run on current libraries, and start faster, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

_START = """
import porter_ryu_compat
porter_ryu_compat.install()
import gc, sys
import ryu.cmd.manager
import ryu.app.wsgi
print(gc.isenabled(), "setuptools" in sys.modules)
import setuptools
"""


@pytest.mark.skipif(
    sys.version_info >= (3, 12) or find_spec("setuptools") is None,
    reason="only there setuptools takes the place of Python's own distutils",
)
def test_ryu_loads_without_setuptools_and_says_nothing() -> None:
    argv = [sys.executable, "-c", _START]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["True", "False"]
