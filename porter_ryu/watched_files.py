"""Notices that a configuration file changed, also by the symlink swap of a mounted ConfigMap.

Contents are compared, not times: a swap may bring an older file.
"""

from __future__ import annotations

from collections.abc import Iterable


class WatchedFiles:
    """Files by path; one that cannot be read for a moment counts as it was."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self._seen = {path: _content(path) for path in self._paths}

    def changed(self) -> bool:
        """Whether any of them reads otherwise than when this was last asked."""
        now = {path: _content(path) or self._seen[path] for path in self._paths}
        before, self._seen = self._seen, now
        return now != before


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
