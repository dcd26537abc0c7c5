"""Prints the result of a command: as JSON, as text, or as tables for a terminal.

Text from a cluster or a server is made printable before it is shown.  Colour is only for a
terminal, and not where NO_COLOR is set or TERM is dumb.  Lines are at most as wide as the terminal,
and 80 columns where there is none.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from porter_ryu.domain.text import one_line

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 80
GOOD, BAD, WARNING, FAINT = "green", "red", "yellow", "dim"
_HEADING = "bold"
BFD_UP = "up"
TIME = "SINCE"
_MAX_TEXT_CHARACTERS = 1_000


def printable_json(value: Any, limit: int = _MAX_TEXT_CHARACTERS) -> Any:
    """A copy of a JSON value in which every text is one printable line of at most `limit`
    characters.

    Names, requests and messages come from outside: they go through here before they are shown on a
    terminal.
    """
    if isinstance(value, str):
        return one_line(value, limit)
    if isinstance(value, dict):
        return {one_line(key, limit): printable_json(e, limit) for key, e in value.items()}
    if isinstance(value, list | tuple):
        return [printable_json(entry, limit) for entry in value]
    return value


def print_json(value: Any) -> None:
    """Prints a value as JSON in ASCII, without control characters."""
    print(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))


def print_value(value: Any, to_text: Callable[[Any], str], as_json: bool, **limit: int) -> None:
    """Prints a value as JSON, or as the text that `to_text` makes of it; before that, all strings
    in the value are made printable; `limit` is that of `printable_json`."""
    if as_json:
        print_json(value)
    else:
        print_text(to_text(printable_json(value, **limit)))


def print_text(text: str) -> None:
    """Prints a printable text in lines as wide as the terminal: the rest of a line is indented
    below it."""
    most = width()
    for line in text.split("\n"):
        print(line if len(line) <= most else "\n".join(_folded(line)))


def print_folded(value: Any, to_text: Callable[[Any], str], as_json: bool, good: bool) -> None:
    """As `print_value`, with lines as wide as the terminal: the rest of a line is indented below
    it.  The first line is the summary, in the colour of `good`."""
    if as_json:
        print_json(value)
        return
    first, *others = to_text(printable_json(value)).split("\n")
    show(styled(first, GOOD if good else BAD), *map(styled, others))


def _folded(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip(" ")))
    return textwrap.wrap(
        line,
        width(),
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def print_lines(lines: Iterable[str]) -> None:
    """Prints lines, each made printable."""
    for line in lines:
        print(one_line(line))


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str | tuple[str, str]]],
    headed: bool = True,
) -> Any:
    """A table without borders; a cell is a text, or a text and its style.  Long cells continue in
    the next line, but not those of the column `TIME`.  `headed`: the headings are shown."""
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=None,
        show_header=headed,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style=_HEADING,
    )
    for heading in headings:
        made.add_column(heading, overflow="fold", no_wrap=heading == TIME)
    for row in rows:
        made.add_row(*(Text(*cell) if isinstance(cell, tuple) else Text(cell) for cell in row))
    return made


def print_columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a long table, which `table` would take minutes for: without colour, and a long cell
    makes its line longer."""
    columns = zip(headings, *rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    for row in (headings, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip(" "))


def styled(text: str, style: str = "") -> Any:
    """A line of text with a style; what is too long is indented below it."""
    from rich.text import Text

    return Text("\n".join(_folded(text)), style=style)


def seconds(time: str) -> str:
    """A time without its milliseconds, which only widen a table."""
    return re.sub(r"\.[0-9]+Z$", "Z", time)


def show(*parts: RenderableType) -> None:
    """Prints tables and texts."""
    from rich.console import Console

    is_terminal = sys.stdout.isatty()
    console = Console(
        width=width(),
        force_terminal=is_terminal,
        color_system="auto" if is_terminal and not os.environ.get("NO_COLOR") else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    # printed by ourselves: rich would end the process when a pipe is closed
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    print("\n".join(line.rstrip(" ") for line in captured.get().split("\n")), end="")


def width() -> int:
    """How many columns a line may have."""
    return max(40, shutil.get_terminal_size((WIDTH, 24)).columns)
