"""A Ryu application that does nothing but say when it runs: the floor of any start."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ryu.base import app_manager


class Empty(app_manager.RyuApp):  # type: ignore[misc]
    """Writes the moment (monotonic) of its start, and what the kernel says of the process, to the
    file that STARTED names."""

    def start(self) -> None:
        """Ryu's own start, and the file."""
        super().start()
        moment = time.monotonic()
        status = Path("/proc/self/status").read_text()
        Path(os.environ["STARTED"]).write_text(f"{moment}\n{status}")
