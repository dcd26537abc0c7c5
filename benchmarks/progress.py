"""What is being done, on stderr."""

from __future__ import annotations

import sys
import time


class Progress:
    """Says each step, and since when all of it runs."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, what: str) -> None:
        print(f"[{time.monotonic() - self._began:5.0f} s] {what}", file=sys.stderr, flush=True)
