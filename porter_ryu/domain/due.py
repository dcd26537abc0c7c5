"""When something has to be looked at although nothing changed.

Times are of a monotonic clock, in seconds; None is never.
"""

from __future__ import annotations


def earliest(*times: float | None) -> float | None:
    """The first of some times."""
    found: float | None = None
    for time in times:
        if time is not None and (found is None or time < found):
            found = time
    return found
