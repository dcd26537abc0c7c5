"""The exit statuses of the program and its commands (docs/cli.md lists them)."""

from __future__ import annotations

import enum


class ExitStatus(enum.IntEnum):
    """FINE: success.  WRONG: the command found a problem and printed it.  UNABLE: the command
    could not be carried out.  INTERRUPTED: ended by SIGINT; PIPE_CLOSED: nobody reads the output
    any more.  Both have the status that shells use of a program that a signal ended."""

    FINE = 0
    WRONG = 1
    UNABLE = 2
    INTERRUPTED = 130
    PIPE_CLOSED = 141
