"""Communities as text: RFC 1997 `65000:1` and the well-known names, RFC 8092 `65000:1:2`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from porter_ryu.domain.text import quoted

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
_MAX_DIGITS = 10
_MAX_ERRORS = 5
_NAMES = {number: name for name, number in WELL_KNOWN.items()}

LargeCommunity = tuple[int, int, int]


class Communities(NamedTuple):
    """Standard communities as 32-bit numbers and large communities as triples of them, each kind
    sorted and without duplicates."""

    standard: tuple[int, ...] = ()
    large: tuple[LargeCommunity, ...] = ()

    def union(self, *others: Communities) -> Communities:
        """The communities of all."""
        every = (self, *others)
        return Communities(
            tuple(sorted({number for found in every for number in found.standard})),
            tuple(sorted({triple for found in every for triple in found.large})),
        )

    def among(self, allowed: Communities) -> Communities:
        """Those that are in `allowed`."""
        return Communities(
            tuple(number for number in self.standard if number in allowed.standard),
            tuple(triple for triple in self.large if triple in allowed.large),
        )

    def but(self, others: Communities) -> Communities:
        """Those that are not in `others`."""
        return Communities(
            tuple(number for number in self.standard if number not in others.standard),
            tuple(triple for triple in self.large if triple not in others.large),
        )

    def texts(self) -> list[str]:
        """Each as `parse_communities` reads it."""
        standard = (_NAMES.get(n) or f"{n >> 16}:{n & 0xFFFF}" for n in self.standard)
        return [*standard, *(":".join(map(str, triple)) for triple in self.large)]

    @property
    def size(self) -> int:
        """How many there are of both kinds."""
        return len(self.standard) + len(self.large)


NO_COMMUNITIES = Communities()


class CommunityRequest(Struct, frozen=True):
    """The communities that a Service asks for, and what is wrong with the first few texts that are
    none."""

    communities: Communities = NO_COMMUNITIES
    errors: tuple[str, ...] = ()

    @staticmethod
    def parse(texts: Iterable[str]) -> CommunityRequest:
        """Reads each text by itself, so that a wrong one does not affect the others."""
        found: list[Communities] = []
        errors: list[str] = []
        for text in texts:
            try:
                found.append(parse_communities([text]))
            except CommunityError as error:
                errors.append(str(error))
        return CommunityRequest(NO_COMMUNITIES.union(*found), tuple(errors[:_MAX_ERRORS]))


NO_REQUEST = CommunityRequest()


class CommunityError(ValueError):
    """Not a community; the message quotes the text."""


def parse_communities(texts: Iterable[str]) -> Communities:
    """Reads communities (RFC 1997, RFC 8092 section 3); raises CommunityError."""
    standard: set[int] = set()
    large: set[LargeCommunity] = set()
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
            raise CommunityError(f"{quoted(name)} is not a community like 65000:1 or 65000:1:2")
    return Communities(tuple(sorted(standard)), tuple(sorted(large)))


def _number(text: str, bits: int, whole: str) -> int:
    digits = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
    if not digits or int(text) >= 1 << bits:
        raise CommunityError(f"{quoted(whole)}: {quoted(text)} is not a number of {bits} bits")
    return int(text)
