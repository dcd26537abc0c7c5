"""Notices that a file changed, also by the symlink swap of a mounted ConfigMap or Secret.

Contents are compared, not times: a swap may bring an older file.  And only contents that were the
same in two looks count, for a file that is being written is empty, or half there, for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from porter_ryu.settings_file import read_octets

_MOST_OCTETS = 1 << 20
Contents = dict[str, bytes | None]  # None: it cannot be read


class WatchedFiles:
    """Files by path; `paths` is asked at every look, and a path that is new counts as it is then,
    or as it was at the last `learn`."""

    def __init__(self, paths: Callable[[], Iterable[str]]) -> None:
        self._paths = paths
        self._known, self._looked = self._look(), self._look()

    def learn(self) -> None:
        """Takes in how paths read that are new, now that somebody else has read them."""
        for path, content in self._look().items():
            if path not in self._known:
                self._known[path] = self._looked[path] = content

    def changed(self) -> bool:
        """Whether any of them reads otherwise than when this last said so, and no other than at
        the last look."""
        now = self._look()
        steady, self._looked = now == self._looked, now
        if not steady:
            return False
        before, self._known = self._known, dict(now)
        return any(before.get(path, content) != content for path, content in now.items())

    def _look(self) -> Contents:
        return {path: _content(path) for path in self._paths()}


def _content(path: str) -> bytes | None:
    try:
        return read_octets(path, _MOST_OCTETS)
    except (OSError, ValueError):
        return None
