"""What the demos print."""

from __future__ import annotations


def say(text: str) -> None:
    """Prints a line."""
    print(text, flush=True)


def step(number: int, of: int, text: str) -> None:
    """Prints the heading of a step."""
    say(f"\n[{number}/{of}] {text}")
