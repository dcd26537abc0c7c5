"""Detects that a file changed, also by the symlink swap of a mounted ConfigMap or Secret.

Contents are compared, not modification times: a swap may bring an older file.  New contents count
only when two scans in a row read the same, because a file that is being written is incomplete for a
moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from porter_ryu.settings_file import read_octets

_FILE_MAX_OCTETS = 1 << 20
Contents = dict[str, bytes | None]  # None: the file cannot be read


class WatchedFiles:
    """Files by path.  `paths` is called for every scan.  The first scan of a new path, or an
    earlier `add_new_paths`, sets the contents to compare with."""

    def __init__(self, paths: Callable[[], Iterable[str]]) -> None:
        self._paths = paths
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
        return {path: _content(path) for path in self._paths()}


def _content(path: str) -> bytes | None:
    try:
        return read_octets(path, _FILE_MAX_OCTETS)
    except (OSError, ValueError):
        return None
