"""How often, and how long, the tests of faults try: a few in `make test`, many in `make soak`."""

from __future__ import annotations

import os

ROUNDS = int(os.environ.get("ROUNDS", "1"))
SOAK = "ROUNDS" in os.environ
STOPPED_FOR = 60 if SOAK else 5
"""Seconds for which a stopped process sleeps on after another took over (some 15 s later)."""


def rounds(most: int = 10) -> range:
    """The rounds of one fault, at most so many."""
    return range(min(ROUNDS, most))
