"""An error that nobody foresaw costs the object that it is about, and nobody else.

What is decided about one object runs under the guard.  Whatever is raised there is noted by the
object's name; the object keeps what it had, the others go on, and it is looked at again later, and
later each time it fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from porter_ryu.domain.growth import doubled
from porter_ryu.domain.model import Kind, ObjectId, ObjectKey
from porter_ryu.domain.text import printable

_AGAIN_FIRST, _AGAIN_MOST = 1.0, 60.0  # seconds


@dataclass(frozen=True, slots=True)
class _Failure:
    """When an object is tried again, how often it has failed in a row, and why."""

    due: float
    times: int
    why: str


class Guard:
    """`with guard(kind, key):` swallows every exception and notes it; times are of the clock that
    `begin` is given, in seconds."""

    def __init__(self) -> None:
        self._failures: dict[ObjectId, _Failure] = {}
        self._trying: set[ObjectId] = set()
        self._failed: dict[ObjectId, str] = {}
        self._now = 0.0

    def __call__(self, kind: Kind, key: ObjectKey) -> _Guarded:
        """What runs inside is about this object."""
        return _Guarded(self, (kind, key))

    @property
    def due(self) -> float | None:
        """When something is to be tried again; None: nothing is."""
        return min((failure.due for failure in self._failures.values()), default=None)

    def begin(self, now: float) -> frozenset[ObjectId]:
        """A turn begins: returns what failed before and is to be tried again in it."""
        self._now = now
        self._failed = {}
        if not self._failures:
            return frozenset()
        self._trying = {subject for subject, f in self._failures.items() if f.due <= now}
        return frozenset(self._trying)

    def end(self) -> tuple[str, ...]:
        """A turn ended: returns a sentence about each object that failed in it."""
        for subject in self._trying - self._failed.keys():
            del self._failures[subject]
        self._trying = set()
        return tuple(
            f"{kind.singular} {key} cannot be decided, and keeps what it had: {why}"
            for (kind, key), why in sorted(self._failed.items(), key=_by_name)
        )

    def failed(self, kind: Kind, key: ObjectKey) -> str:
        """Why an object failed in this turn; empty where it did not."""
        return self._failed.get((kind, key), "")

    def why(self, kind: Kind, key: ObjectKey) -> str:
        """Why an object failed when it was last looked at; empty where it did not."""
        failure = self._failures.get((kind, key))
        return failure.why if failure is not None else ""

    def note(self, subject: ObjectId, error: Exception) -> None:
        """Notes what an object failed with."""
        why = _told(error)
        if subject not in self._failed:
            before = self._failures.get(subject)
            times = 0 if before is None else before.times
            due = self._now + doubled(_AGAIN_FIRST, _AGAIN_MOST, times)
            self._failures[subject] = _Failure(due, times + 1, why)
        self._failed[subject] = why


class _Guarded:
    """One object under the guard."""

    __slots__ = ("_guard", "_subject")

    def __init__(self, guard: Guard, subject: ObjectId) -> None:
        self._guard = guard
        self._subject = subject

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Swallows what is an Exception; what ends a greenthread is none."""
        if not isinstance(error, Exception):
            return False
        self._guard.note(self._subject, error)
        return True


def _told(error: Exception) -> str:
    """An error with the place where it was raised, in one line."""
    where, trace = "", error.__traceback__
    while trace is not None:
        where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__}: {printable(str(error), 200)}{where}"


def _by_name(entry: tuple[ObjectId, str]) -> tuple[str, ObjectKey]:
    (kind, key), _ = entry
    return kind.value, key
