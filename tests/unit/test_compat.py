"""What makes Ryu run on current libraries, and start faster, in a process of its own."""

from __future__ import annotations

import os
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


_APPLICATION = """
import porter_ryu_compat
porter_ryu_compat.install()
import gc
import ryu.cmd.manager
before = gc.get_stats()[0]["collections"]
import porter_ryu.app
print(gc.isenabled(), gc.get_stats()[0]["collections"] - before)
"""


def test_the_application_is_loaded_without_garbage_collections() -> None:
    argv = [sys.executable, "-c", _APPLICATION]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    enabled, collections = done.stdout.split()[-2:]
    assert enabled == "True"
    assert int(collections) <= 1  # one may be due when it begins


_WITHOUT = """
import porter_ryu_compat
porter_ryu_compat.install()
import sys
import ryu.cmd.manager
from oslo_config import types
print(*sorted({"dns", "asyncio", "rfc3986"} & set(sys.modules)))
print(types.URI()("https://203.0.113.1/"))
import asyncio
from eventlet import patcher
print(asyncio.__path__ == patcher.asyncio_module.__path__)
"""


def test_what_ryu_does_not_use_is_loaded_when_somebody_uses_it() -> None:
    argv = [sys.executable, "-c", _WITHOUT]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["", "https://203.0.113.1/", "True"]


def test_who_asks_for_the_resolver_of_eventlet_gets_it() -> None:
    text = (
        "import porter_ryu_compat, sys; porter_ryu_compat.install(); import eventlet.green.socket"
    )
    argv = [sys.executable, "-c", f"{text}; print('dns' in sys.modules)"]
    environment = {**os.environ, "EVENTLET_NO_GREENDNS": "no"}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "True\n"
