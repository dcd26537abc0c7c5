"""Logs lasting problems: when one begins, when it changes and when it ends.

For states that are checked again and again.  An attempt that fails is logged each time; `log`
prints such a line once and counts its repeats.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping


class ProblemLog:
    """Remembers the present problem of each subject.

    `begins` is logged as an error, `ends` as a warning: formats that may contain %(subject)s and
    %(problem)s.
    """

    def __init__(self, logger: logging.Logger, begins: str, ends: str) -> None:
        self._logger = logger
        self._begins = begins
        self._ends = ends
        self._problems: dict[str, str] = {}

    def current(self, subject: str) -> str:
        """The problem of a subject; empty where there is none."""
        return self._problems.get(subject, "")

    def update(self, subject: str, problem: str) -> None:
        """Sets the problem of a subject; empty: it has none any more."""
        before = self._problems.get(subject, "")
        if problem == before:
            return
        if problem:
            self._problems[subject] = problem
            self._logger.error(self._begins, {"subject": subject, "problem": problem})
        else:
            del self._problems[subject]
            self._logger.warning(self._ends, {"subject": subject, "problem": before})

    def update_all(self, problems: Mapping[str, str]) -> bool:
        """Sets all problems by subject; returns whether they differ from before."""
        before = dict(self._problems)
        for subject in sorted(before.keys() | problems.keys()):
            self.update(subject, problems.get(subject, ""))
        return self._problems != before
