"""How a wait grows while something fails again and again: the one rule, without clock or chance."""

from __future__ import annotations

_DOUBLINGS_MOST = 60  # beyond it any wait is at its most


def doubled(first: float, most: float, failures: int) -> float:
    """The wait after so many earlier failures: `first` doubled as often, `most` at the most; in
    the unit of `first`."""
    return min(first * 2.0 ** min(failures, _DOUBLINGS_MOST), most)
