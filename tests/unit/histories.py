"""How many random histories a state machine of Hypothesis makes, and how long they are."""

from __future__ import annotations

import os

from hypothesis import settings


def random_histories(examples: int, steps: int) -> settings:
    """So many histories of so many steps, the same in each run; with EXAMPLES in the environment so
    many others."""
    return settings(
        max_examples=int(os.environ.get("EXAMPLES", examples)),
        stateful_step_count=steps,
        deadline=None,
        derandomize="EXAMPLES" not in os.environ,
    )
