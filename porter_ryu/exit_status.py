"""The exit statuses of the program and its commands (docs/configuration.md lists them)."""

from __future__ import annotations

import enum


class ExitStatus(enum.IntEnum):
    """FINE: success.  WRONG: the command found a problem and printed it.  UNABLE: the command
    could not be carried out.  INTERRUPTED: ended by SIGINT, with the status that shells use."""

    FINE = 0
    WRONG = 1
    UNABLE = 2
    INTERRUPTED = 130
