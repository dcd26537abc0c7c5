"""What is wrong for a while: its beginning is logged, each change of it, and its end.

For what is looked at again and again.  What is tried again and fails is logged at each try: `log`
prints such a line once and counts its repeats.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping


class Complaints:
    """Remembers what is wrong at present, by subject.

    `begins` and `ends` are what is logged, as an error and a warning: formats in which %(subject)s
    and %(wrong)s may stand.
    """

    def __init__(self, logger: logging.Logger, begins: str, ends: str) -> None:
        self._logger = logger
        self._begins = begins
        self._ends = ends
        self._wrong: dict[str, str] = {}

    def about(self, subject: str) -> str:
        """What is wrong with a subject; empty where nothing is."""
        return self._wrong.get(subject, "")

    def note(self, subject: str, wrong: str) -> None:
        """Notes what is wrong with a subject now; empty: nothing is."""
        before = self._wrong.get(subject, "")
        if wrong == before:
            return
        if wrong:
            self._wrong[subject] = wrong
            self._logger.error(self._begins, {"subject": subject, "wrong": wrong})
        else:
            del self._wrong[subject]
            self._logger.warning(self._ends, {"subject": subject, "wrong": before})

    def note_all(self, wrong: Mapping[str, str]) -> bool:
        """Notes all that is wrong now, by subject; returns whether that is other than it was."""
        before = dict(self._wrong)
        for subject in sorted(before.keys() | wrong.keys()):
            self.note(subject, wrong.get(subject, ""))
        return self._wrong != before
