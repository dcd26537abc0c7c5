"""The time as Kubernetes and the HTTP interface write it: UTC, by RFC 3339."""

from __future__ import annotations

import time
from functools import lru_cache


def now(microseconds: bool = False) -> str:
    """The present time to the second (metav1.Time) or, if asked for, the microsecond
    (metav1.MicroTime)."""
    seconds, fraction = divmod(time.time_ns(), 10**9)
    return f"{_date_and_time(seconds)}{f'.{fraction // 1000:06}' if microseconds else ''}Z"


def text(seconds: float) -> str:
    """A Unix time to the millisecond."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{_date_and_time(whole)}.{milliseconds:03}Z"


@lru_cache(16)
def _date_and_time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
