"""What a whole check found, as text and JSON.

Apart from what checks (`report`), which loads the client of the API server and more: a file that
cannot be read is reported without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from porter_ryu.check.finding import Finding, NotChecked
from porter_ryu.settings_file import Fault

_FINE = "the configuration and this host are fine"


class Report(Struct, frozen=True):
    """What a check found.  `errors`: why the configuration cannot be read; then nothing else was
    checked."""

    findings: tuple[Finding, ...] = ()
    not_checked: tuple[NotChecked, ...] = ()
    errors: tuple[Finding, ...] = ()

    @property
    def text(self) -> str:
        """One line for each entry."""
        every = (*self.errors, *self.findings, *self.not_checked)
        lines = [str(entry) for entry in every]
        return "\n".join(lines if self.findings or self.errors else [*lines, _FINE])

    @property
    def json(self) -> dict[str, Any]:
        """The same for programs (docs/check.md)."""
        return {
            "ok": not (self.findings or self.errors),
            "errors": [_as_json(entry) for entry in self.errors],
            "findings": [_as_json(entry) for entry in self.findings],
            "notChecked": [{"what": entry.what, "why": entry.why} for entry in self.not_checked],
        }


def _as_json(found: Finding) -> dict[str, Any]:
    return {
        "where": found.where,
        "what": found.what,
        "mend": found.mend,
        "file": found.file or None,
        "line": found.line or None,
    }


def of_errors(faults: Iterable[Fault]) -> Report:
    """The report on a configuration that cannot be read."""
    return Report(errors=tuple(map(of_fault, faults)))


def of_fault(fault: Fault) -> Finding:
    """What is wrong in a configuration file, as a finding."""
    return Finding(fault.place, fault.message, fault.mend, fault.file, fault.line)
