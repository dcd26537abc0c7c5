"""No test fails because the machine is busy: what Hypothesis tries may take any time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
