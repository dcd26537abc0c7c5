"""What can be seen of the page, as values for its tests."""

from __future__ import annotations

import os
from pathlib import Path

from fabric import wait_for
from fabric.browser import SECONDS, Browser

URL = "http://127.0.0.1:8080/"
PICTURES = Path(__file__).parents[2] / "docs" / "images"
PICTURED = bool(os.environ.get("UPDATE_SCREENSHOTS"))
MAX_OCTETS = 200_000


def strands(page: Browser) -> dict[tuple[str, str], float]:
    """The strands of the drawing that are whole and carry something: ends, and width in pixels."""
    found = page.script(
        "return [...document.querySelectorAll('.strand:not(.no):not(.off)')].map((e) => "
        "[e.dataset.from, e.dataset.to, Number(getComputedStyle(e).strokeWidth.replace('px', ''))])"
    )
    return {(start, end): width for start, end, width in found}


def drawn_nodes(page: Browser) -> set[str]:
    """The nodes to which a whole strand leads."""
    return {end.removeprefix("node ") for _, end in strands(page) if end.startswith("node ")}


def drawn_leaves(page: Browser) -> set[str]:
    """The leaves to which a whole strand leads."""
    return {end.removeprefix("leaf ") for _, end in strands(page) if end.startswith("leaf ")}


def breaks(page: Browser) -> dict[tuple[str, str], str]:
    """The broken strands: ends, and the sentence and command that stand at the break's number."""
    marks = page.script(
        "return [...document.querySelectorAll('.mark')].map((e) => "
        "[e.dataset.from, e.dataset.to, e.querySelector('text').textContent])"
    )
    cards = {text.split()[0]: text for text in page.texts("#breaks li")}
    return {(start, end): cards[number] for start, end, number in marks}


def expect_break(page: Browser, start: str, end: str, *parts: str) -> None:
    """Waits until the way is broken there, for this reason."""
    what = f"a break between {start} and {end} with {parts}"
    wait_for(
        lambda: breaks(page).get((start, end), ""),
        lambda text: all(part in text for part in parts),
        SECONDS,
        what,
    )


def picture(page: Browser, name: str, folder: Path, selector: str = "") -> None:
    """Takes a picture; it must be small enough for docs."""
    target = PICTURES if PICTURED else folder
    target.mkdir(exist_ok=True)
    path = target / f"{name}.png"
    page.screenshot(path, selector)
    assert path.stat().st_size < MAX_OCTETS, f"{path} is too large"
