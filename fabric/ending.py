"""However a program is ended, the networks that it built are taken down.

FRR changes its user, which removes what would end it with its parent (PR_SET_PDEATHSIG), so a
Fabric has to come to its own end.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

_INTERRUPTED = 128 + signal.SIGINT


def take_signals() -> None:
    """From now on SIGTERM ends this process as Ctrl-C does, and Ctrl-C works in the background
    too."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)


def run(main: Callable[[], int]) -> NoReturn:
    """Runs the main function of a program, and exits with what it returns; with 130 if a signal
    ended it, when everything that it started has ended."""
    take_signals()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
