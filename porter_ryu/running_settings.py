"""What a process runs with: every setting in force, and where its files say otherwise.

A file may say something else than what runs: a changed key may need a restart, and a reload may
have been refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from porter_ryu.settings import Settings
from porter_ryu.settings_origins import Json, Origin, as_json, concerns_us, origins_of
from porter_ryu.settings_reader import Reader

Read = tuple[Settings, Reader]


class RunningSettings:
    """The settings that a process started with, and those that it read last, from `files`, which
    are complete paths."""

    def __init__(self, files: Sequence[str], first: Read) -> None:
        self.files = tuple(map(os.path.abspath, files))
        self._first = self._last = first

    def loaded(self, read: Read) -> None:
        """The files were read again and are valid."""
        self._last = read

    def json(self, not_loaded: Sequence[str], pending: Sequence[str]) -> Json:
        """What /v1/config answers.  `not_loaded`: what is wrong with the files as they were read
        last; `pending`: a sentence for each setting that needs a restart."""
        return {
            "files": list(self.files),
            "notLoaded": list(not_loaded),
            "pending": list(pending),
            "settings": list(self._settings()),
        }

    def _settings(self) -> Iterator[Json]:
        first = {(o.group, o.key): o for o in origins_of(*self._first)}
        for last in origins_of(*self._last):
            runs = first.get((last.group, last.key), last) if last.needs_restart else last
            if concerns_us(runs) or concerns_us(last):
                yield {**as_json(runs), "file": _otherwise(runs, last)}


def _otherwise(runs: Origin, last: Origin) -> Json | None:
    """What the file says, if that is not in force."""
    if runs.value == last.value:
        return None
    return {"value": last.value, "where": last.where}
