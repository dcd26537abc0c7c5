"""A supervisor with a manual clock."""

from __future__ import annotations

from collections.abc import Callable

from porter_ryu.supervisor import Supervisor, Task


class Later(Supervisor):
    """Runs spawned and delayed tasks when the test moves its clock `now`."""

    def __init__(self) -> None:
        super().__init__(self.clock)
        self.now = 1000.0
        self._due: list[tuple[float, Callable[..., object], tuple[object, ...]]] = []

    def clock(self) -> float:
        """In seconds."""
        return self.now

    def spawn(self, name: str, run: Callable[..., object], *args: object) -> Task:
        """As Supervisor.spawn."""
        return self.after(0.0, name, run, *args)

    def after(self, seconds: float, name: str, run: Callable[..., object], *args: object) -> Task:
        """As Supervisor.after; the task cannot be ended."""
        self._due.append((self.now + seconds, run, args))
        return Task(name, None, self.now)

    def passes(self, seconds: float = 0.0) -> None:
        """Moves the clock, and runs everything that becomes due, in order."""
        until = self.now + seconds
        while self._due:
            first = min(self._due, key=lambda task: task[0])
            if first[0] > until:
                break
            self._due.remove(first)
            self.now = max(self.now, first[0])
            first[1](*first[2])
        self.now = until
