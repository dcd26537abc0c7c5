"""The time as Kubernetes and the HTTP interface write it: UTC, by RFC 3339."""

from __future__ import annotations

import time


def now(microseconds: bool = False) -> str:
    """The present time to the second (metav1.Time) or, if asked for, the microsecond
    (metav1.MicroTime)."""
    seconds, fraction = divmod(time.time_ns(), 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction // 1000:06}Z" if microseconds else f"{text}Z"
