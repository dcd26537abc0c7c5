"""Folders below the directory that are never entered through a symbolic link.

Who can write manifests could else lead a privileged writer to any file of the host: every
component is opened from the one above it, without following (openat(2), O_NOFOLLOW).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o755


class NoRootError(OSError):
    """The directory itself cannot be entered: of what is below it nothing is known."""


@contextlib.contextmanager
def opened(root: str, names: tuple[str, ...], create: bool = False) -> Iterator[int]:
    """A descriptor of the folder at `names` below `root`, which alone may be a link.

    Raises OSError: FileNotFoundError where one is missing (and not to be created), ENOTDIR or
    ELOOP where one is something else, NoRootError for `root`.
    """
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NoRootError(error.errno, error.strerror, root) from error
    try:
        for name in names:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, _MODE, dir_fd=descriptor)
            below = os.open(name, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def remove(folder: int, name: str) -> None:
    """Removes a file, or a link in its place, from an open folder; raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
