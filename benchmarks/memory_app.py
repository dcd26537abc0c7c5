"""A Ryu application beside the program that says, when it is asked, where memory was allocated.

For a process with PYTHONTRACEMALLOC; MEMORY names the file to write, and it is asked for by a file
of that name with `.ask` behind it.  It runs in the environment of the program, which knows no
packages of this repository.
"""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

from ryu.base import app_manager
from ryu.lib import hub

_LOOK = 0.5
_LINES = 60


class Memory(app_manager.RyuApp):  # type: ignore[misc]
    """Waits to be asked once."""

    def start(self) -> None:
        """Ryu's own start, and the waiting."""
        super().start()
        hub.spawn(self._answer, Path(os.environ["MEMORY"]))

    def _answer(self, told: Path) -> None:
        while not told.with_name(f"{told.name}.ask").exists():
            hub.sleep(_LOOK)
        now, peak = tracemalloc.get_traced_memory()
        snapshot = tracemalloc.take_snapshot()
        lines = [f"traced now {now / 1e6:.1f} MB, at most {peak / 1e6:.1f} MB"]
        for by in ("filename", "lineno"):
            lines += ["", f"by {by}: MB, blocks"]
            for found in snapshot.statistics(by)[:_LINES]:
                frame = found.traceback[0]
                where = frame.filename if by == "filename" else f"{frame.filename}:{frame.lineno}"
                lines.append(f"{found.size / 1e6:9.2f} {found.count:9}  {where}")
        staged = told.with_name(f"{told.name}.new")
        staged.write_text("\n".join([*lines, ""]))
        staged.replace(told)
