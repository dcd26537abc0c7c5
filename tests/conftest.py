"""However the tests are ended, what they built is taken down."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """SIGTERM ends them as Ctrl-C does, and Ctrl-C works in the background too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
