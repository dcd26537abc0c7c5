"""A regular file read within a bound, whatever somebody has put in its place.

A FIFO would block, a device may do anything when it is opened or be read for ever, and a link may
lead to what its reader alone may see.
"""

from __future__ import annotations

import os
import stat

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Signature = tuple[int, int, int, int, int]


def signature(status: os.stat_result) -> Signature:
    """What changes with the content, the owner and the mode of a file."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
    )


def read(
    path: str, most: int, *, folder: int | None = None, follow: bool = False
) -> tuple[bytes, os.stat_result]:
    """The octets of a file, at most `most` of them, and what it is.

    `path` is below `folder`, an open folder, if that is given.  `follow`: a link at the end of the
    path is followed.  Raises OSError where it cannot be read, and ValueError, with the reason, for
    what is no regular file or too large.
    """
    descriptor, status = opened(path, folder=folder, follow=follow)
    with os.fdopen(descriptor, "rb") as file:
        octets = file.read(most + 1)
    if len(octets) > most:
        raise ValueError(f"is larger than {most} bytes")
    return octets, status


def opened(
    path: str, *, folder: int | None = None, follow: bool = False
) -> tuple[int, os.stat_result]:
    """A descriptor to read a file from, and what it is; takes and raises what `read` does."""
    _require_regular(os.stat(path, dir_fd=folder, follow_symlinks=follow))
    descriptor = os.open(path, _FLAGS if follow else _FLAGS | os.O_NOFOLLOW, dir_fd=folder)
    status = os.fstat(descriptor)
    try:
        _require_regular(status)  # another may have taken its place meanwhile
    except ValueError:
        os.close(descriptor)
        raise
    return descriptor, status


def _require_regular(status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        raise ValueError("is a symbolic link")
    if stat.S_ISDIR(mode):
        raise ValueError("is a directory")
    if not stat.S_ISREG(mode):
        raise ValueError("is not a regular file")
