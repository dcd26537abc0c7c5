"""Communities as text: RFC 1997 `65000:1` and the well-known names, RFC 8092 `65000:1:2`."""

from __future__ import annotations

from collections.abc import Iterable

WELL_KNOWN = {
    "graceful-shutdown": 0xFFFF0000,  # RFC 8326
    "accept-own": 0xFFFF0001,  # RFC 7611
    "llgr-stale": 0xFFFF0006,  # RFC 9494
    "no-llgr": 0xFFFF0007,  # RFC 9494
    "blackhole": 0xFFFF029A,  # RFC 7999
    "no-export": 0xFFFFFF01,  # RFC 1997
    "no-advertise": 0xFFFFFF02,  # RFC 1997
    "no-export-subconfed": 0xFFFFFF03,  # RFC 1997
    "no-peer": 0xFFFFFF04,  # RFC 3765
}
_STANDARD_PARTS, _LARGE_PARTS = 2, 3


class CommunityError(ValueError):
    """Not a community; the message quotes the text."""


def parse_communities(
    texts: Iterable[str],
) -> tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]:
    """Standard communities as 32-bit numbers and large communities as triples, sorted, without
    duplicates (RFC 1997, RFC 8092 section 3); raises CommunityError."""
    standard: set[int] = set()
    large: set[tuple[int, int, int]] = set()
    for text in texts:
        name = text.strip()
        if name in WELL_KNOWN:
            standard.add(WELL_KNOWN[name])
            continue
        parts = name.split(":")
        if len(parts) == _STANDARD_PARTS:
            high, low = (_number(part, 16, name) for part in parts)
            standard.add(high << 16 | low)
        elif len(parts) == _LARGE_PARTS:
            first, second, third = (_number(part, 32, name) for part in parts)
            large.add((first, second, third))
        else:
            raise CommunityError(f"{name!r} is not a community like 65000:1 or 65000:1:2")
    return tuple(sorted(standard)), tuple(sorted(large))


def _number(text: str, bits: int, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= 1 << bits:
        raise CommunityError(f"{whole!r}: {text!r} is not a number of {bits} bits")
    return int(text)
