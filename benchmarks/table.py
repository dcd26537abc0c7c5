"""What was measured, each figure beside its floor, as text and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: `runs` are what was measured, their median counts.

    `floor`: the same thing by the barest means, measured in the same run; `floor_is`: what those
    means were.  `wanted`: the limit that the figure should keep: not above it, or (`at_least`) not
    below it.
    """

    what: str
    runs: tuple[float, ...]
    unit: str
    floor: float | None = None
    floor_is: str = ""
    wanted: float | None = None
    at_least: bool = False

    @property
    def value(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def kept(self) -> bool | None:
        """Whether it is within what is wanted; None where nothing is."""
        if self.wanted is None:
            return None
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted

    def as_json(self, row: str) -> dict[str, Any]:
        """For tools."""
        return {
            "row": row,
            "figure": self.what,
            "value": self.value,
            "unit": self.unit,
            "runs": list(self.runs),
            "floor": self.floor,
            "floorIs": self.floor_is,
            "wanted": self.wanted,
            "kept": self.kept,
        }


def one(what: str, value: float, unit: str, **more: Any) -> Figure:
    """A figure that was measured once."""
    return Figure(what, (value,), unit, **more)


def percentile(values: Sequence[float], share: int) -> float:
    """The value below which so many per cent of all are."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def text(rows: Sequence[tuple[str, Sequence[Figure]]]) -> str:
    """The table for people."""
    head = ("", "figure", "now", "runs", "floor", "x", "wanted", "")
    lines: list[tuple[str, ...]] = [head]
    for name, figures in rows:
        for number, figure in enumerate(figures):
            lines.append((name if number == 0 else "", *_cells(figure)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    rows_of_text = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return "\n".join(rows_of_text)


def _cells(figure: Figure) -> tuple[str, ...]:
    spread = ""
    if len(figure.runs) > 1:
        spread = f"{_number(min(figure.runs))} to {_number(max(figure.runs))}"
    floor = ratio = wanted = ""
    if figure.floor is not None:
        floor = f"{_number(figure.floor)} ({figure.floor_is})"
        ratio = f"{figure.value / figure.floor:.1f}" if figure.floor else ""
    if figure.wanted is not None:
        wanted = f"{'>=' if figure.at_least else '<='} {_number(figure.wanted)}"
    kept = {None: "", True: "kept", False: "MISSED"}[figure.kept]
    return figure.what, f"{_number(figure.value)} {figure.unit}", spread, floor, ratio, wanted, kept


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
