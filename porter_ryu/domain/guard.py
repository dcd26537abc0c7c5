"""An unexpected error affects the object that it is about, and no other.

What is decided about one object runs under the guard.  An exception there is recorded for the
object.  The object keeps what it had, and is retried with a growing delay.
"""

from __future__ import annotations

from types import TracebackType

from msgspec import Struct

from porter_ryu.domain.growth import doubled
from porter_ryu.domain.model import Kind, ObjectId, ObjectKey
from porter_ryu.domain.text import printable

_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 1.0, 60.0


class _Failure(Struct, frozen=True):
    """When an object is retried, how often it has failed in a row, and why."""

    due: float
    times: int
    why: str


class Guard:
    """`with guard(kind, key):` suppresses every Exception and records it for that object.  Times
    are of the clock that `begin` is given, in seconds."""

    def __init__(self) -> None:
        self._failures: dict[ObjectId, _Failure] = {}
        self._retrying: set[ObjectId] = set()
        self._failed: dict[ObjectId, str] = {}
        self._now = 0.0

    def __call__(self, kind: Kind, key: ObjectKey) -> _Guarded:
        """A context for what is decided about this object."""
        return _Guarded(self, (kind, key))

    @property
    def due(self) -> float | None:
        """When an object has to be retried; None: no object failed."""
        if not self._failures:
            return None
        return min(failure.due for failure in self._failures.values())

    def begin(self, now: float) -> frozenset[ObjectId]:
        """Begins a turn; returns the objects to retry in it."""
        self._now = now
        self._failed = {}
        if not self._failures:
            return frozenset()
        self._retrying = {subject for subject, f in self._failures.items() if f.due <= now}
        return frozenset(self._retrying)

    def end(self) -> tuple[str, ...]:
        """Ends a turn; returns a warning about each object that failed in it."""
        for subject in self._retrying - self._failed.keys():
            del self._failures[subject]
        self._retrying = set()
        return tuple(
            f"{kind.singular} {key} cannot be decided, and keeps what it had: {why}"
            for (kind, key), why in sorted(self._failed.items(), key=_by_name)
        )

    def failed(self, kind: Kind, key: ObjectKey) -> str:
        """Why an object failed in this turn; empty where it did not."""
        return self._failed.get((kind, key), "") if self._failed else ""

    def why(self, kind: Kind, key: ObjectKey) -> str:
        """Why an object failed when it was last decided; empty where it did not."""
        failure = self._failures.get((kind, key))
        return failure.why if failure is not None else ""

    def record(self, subject: ObjectId, error: Exception) -> None:
        """Records the error of an object."""
        why = _describe(error)
        if subject not in self._failed:
            before = self._failures.get(subject)
            times = 0 if before is None else before.times
            due = self._now + doubled(_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS, times)
            self._failures[subject] = _Failure(due, times + 1, why)
        self._failed[subject] = why


class _Guarded(Struct, frozen=True, gc=False):
    """One object under the guard; a turn makes ten for each Service."""

    guard: Guard
    subject: ObjectId

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Suppresses an Exception; what ends a greenthread (GreenletExit) is none."""
        if not isinstance(error, Exception):
            return False
        self.guard.record(self.subject, error)
        return True


def _describe(error: Exception) -> str:
    """An error and the place where it was raised, in one line."""
    where, trace = "", error.__traceback__
    while trace is not None:
        where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}: {printable(str(error), 200)}{where}"


def _by_name(entry: tuple[ObjectId, str]) -> tuple[str, ObjectKey]:
    (kind, key), _ = entry
    return kind.value, key
