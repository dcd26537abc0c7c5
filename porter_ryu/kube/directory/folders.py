"""Opens folders below the directory without following symbolic links.

Otherwise a user who can write manifests could redirect a privileged writer to any file of the host.
Every component is opened relative to its parent with O_NOFOLLOW (openat(2)).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o755


class NoRootError(OSError):
    """The directory itself cannot be opened, so nothing below it is known."""


class LinkError(OSError):
    """A symbolic link is in the place of a folder."""

    def __init__(self) -> None:
        super().__init__("it is a symbolic link, and no link is followed here")


@contextlib.contextmanager
def opened(root: str, names: tuple[str, ...], create: bool = False) -> Iterator[int]:
    """A descriptor of the folder at `names` below `root`; only `root` may be a symbolic link.

    Raises OSError: FileNotFoundError if a folder is missing and `create` is false, LinkError or
    ENOTDIR if one of them is a symbolic link or something else, NoRootError if `root` cannot be
    opened.
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
            below = _opened(name, descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(name: str, above: int) -> int:
    try:
        return os.open(name, _FOLDER_FLAGS, dir_fd=above)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            raise LinkError from error
        raise


def remove(folder: int, name: str) -> None:
    """Removes a file or symbolic link from an open folder; raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
