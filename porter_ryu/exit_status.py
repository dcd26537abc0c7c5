"""The exit statuses of the program and its commands; the README lists them."""

from __future__ import annotations

import enum


class ExitStatus(enum.IntEnum):
    """FINE: all is well.  WRONG: there is something to look at, as printed.  UNABLE: it could not
    be done or read.  INTERRUPTED: by SIGINT, as shells count it."""

    FINE = 0
    WRONG = 1
    UNABLE = 2
    INTERRUPTED = 130
