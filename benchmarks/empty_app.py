"""A Ryu application that does nothing but say when it runs: the floor of any start."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ryu.base import app_manager


class Empty(app_manager.RyuApp):  # type: ignore[misc]
    """Writes the moment (monotonic) of its start to the file that STARTED names."""

    def start(self) -> None:
        """Ryu's own start, and the moment."""
        super().start()
        Path(os.environ["STARTED"]).write_text(str(time.monotonic()))
