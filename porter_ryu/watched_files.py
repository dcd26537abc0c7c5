"""Detects that a file changed, also by the symlink swap of a mounted ConfigMap or Secret.

Contents are compared, not modification times: a swap may bring an older file.  New contents count
only when two scans in a row read the same, because a file that is being written is incomplete for a
moment.  A file is not read again while the kernel says that it is the same one, and unchanged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from porter_ryu.regular_file import Signature, signature
from porter_ryu.settings_file import read_octets

_FILE_MAX_OCTETS = 1 << 20
# of two changes within one tick of the clock of a file system, both have the same time
_TICK_SECONDS = 2.0
Contents = dict[str, bytes | None]  # None: the file cannot be read


class _Read(NamedTuple):
    """What was read of a file that had not changed for a while."""

    signature: Signature
    content: bytes


class WatchedFiles:
    """Files by path.  `paths` is called for every scan.  The first scan of a new path, or an
    earlier `add_new_paths`, sets the contents to compare with.  `clock` is in Unix time."""

    def __init__(
        self, paths: Callable[[], Iterable[str]], clock: Callable[[], float] = time.time
    ) -> None:
        self._paths = paths
        self._clock = clock
        self._read: dict[str, _Read] = {}
        self._known, self._last_scan = self._scan(), self._scan()

    def add_new_paths(self) -> None:
        """Reads the paths that are new; call it when the program has just read them itself."""
        for path, content in self._scan().items():
            if path not in self._known:
                self._known[path] = self._last_scan[path] = content

    def changed(self) -> bool:
        """Scans; returns whether a file differs from the known contents.  Contents become known
        when two scans in a row read the same."""
        scan = self._scan()
        stable, self._last_scan = scan == self._last_scan, scan
        if not stable:
            return False
        before, self._known = self._known, dict(scan)
        return any(before.get(path, content) != content for path, content in scan.items())

    def _scan(self) -> Contents:
        paths = list(self._paths())
        self._read = {path: self._read[path] for path in paths if path in self._read}
        return {path: self._content(path) for path in paths}

    def _content(self, path: str) -> bytes | None:
        try:
            status = os.stat(os.path.expanduser(path))
            found, known = signature(status), self._read.pop(path, None)
            if known is None or known.signature != found:
                known = _Read(found, read_octets(path, _FILE_MAX_OCTETS))
        except (OSError, ValueError):
            return None
        if self._clock() - status.st_ctime > _TICK_SECONDS:
            self._read[path] = known
        return known.content
