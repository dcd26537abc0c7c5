"""A file that is replaced as a whole: after a crash it is the old one or the new one.

The one way in which this program writes such a file.  A symbolic link at the place of the file is
never followed, so nobody who can write to the folder can turn the write elsewhere.
"""

from __future__ import annotations

import contextlib
import os
from types import TracebackType

_PUBLIC, _PRIVATE = 0o644, 0o600


def write(
    path: str, data: bytes, folder: int | None = None, private: bool = False
) -> os.stat_result:
    """Puts `data` in place of a file, on disk when this returns; returns what the file is then.

    `path` is below `folder`, an open folder, if that is given; else folders that are missing are
    created.  `private`: mode 0600.  Raises OSError; the old file is then as it was.
    """
    with Draft(path, folder, private) as draft:
        draft.append(data)
        draft.sync()
        return draft.publish(durable=True)


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of the data to an open file; raises OSError, and a part may be written then."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


class Draft:
    """The next content of a file, which nobody sees before `publish`.

    Takes what `write` takes, and is to be used in a `with`: a draft that was not published is
    gone at its end.  Every method raises OSError.
    """

    def __init__(self, path: str, folder: int | None = None, private: bool = False) -> None:
        above, self._name = os.path.split(path)
        self._staged = f".{self._name}.new"
        self._published = False
        with contextlib.ExitStack() as opened:
            if folder is None:
                os.makedirs(above or ".", exist_ok=True)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                folder = os.open(above or ".", flags)
                opened.callback(os.close, folder)
            self._folder = folder
            self._remove()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            mode = _PRIVATE if private else _PUBLIC
            self._file = os.open(self._staged, flags, mode, dir_fd=folder)
            opened.callback(os.close, self._file)
            self._opened = opened.pop_all()

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._opened, contextlib.suppress(OSError):
            if not self._published:
                self._remove()

    def append(self, data: bytes) -> None:
        """Puts data at the end."""
        write_all(self._file, data)

    def sync(self) -> None:
        """Has on disk what was appended so far."""
        os.fsync(self._file)

    def publish(self, durable: bool) -> os.stat_result:
        """Puts the draft in place of the file, and returns what the file is then; `durable`: that
        it took its place is on disk when this returns."""
        os.replace(self._staged, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._published = True
        if durable:
            os.fsync(self._folder)
        return os.fstat(self._file)

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._staged, dir_fd=self._folder)
