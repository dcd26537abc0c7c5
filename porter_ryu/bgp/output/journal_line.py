"""The lines of the journal of announced paths: text to a change and back.

    + PREFIX PATH-ID NEXT-HOP ...   announced; PATH-ID is "-" without ADD-PATH
    - PREFIX PATH-ID ...            struck out

A prefix with more than 16 paths has several lines.  A line counts only if it is exactly what would
be written.  So two lines that a full disk has merged, or a line that was cut or edited, are never
read as another path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from porter_ryu.bgp.protocol.rib_out import NextHops
from porter_ryu.bgp.protocol.update import PathId, Paths
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.special_purpose import never_a_next_hop

T = TypeVar("T")
C = TypeVar("C", bound=Collection[object])

MAX_LINE_OCTETS = 1280
_PATHS_PER_LINE = 16
_NO_PATH_ID = "-"
_ANNOUNCED, _STRUCK_OUT = "+", "-"
_MIN_WORDS = 3
_PATH_IDS = range(1 << 32)  # RFC 7911, 3


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines, with line ends, about so many `paths`."""

    octets: bytes
    paths: int


NO_LINES = Lines(b"", 0)


@dataclass(frozen=True, slots=True)
class Change:
    """What a line says.  `next_hops` is the same object for lines with the same paths; a path
    whose next hop is None is struck out."""

    prefix: Network
    next_hops: Mapping[PathId, Address | None]


def announced(table: Iterable[tuple[Network, Paths]]) -> Lines:
    """The lines for announced paths."""
    return _lines(
        _ANNOUNCED,
        table,
        lambda paths: _path_texts((path_id, said.next_hop) for path_id, said in paths.items()),
    )


def kept(table: Iterable[tuple[Network, NextHops]]) -> Lines:
    """The lines for paths of which only the next hop is known."""
    return _lines(_ANNOUNCED, table, lambda next_hops: _path_texts(next_hops.items()))


def struck_out(table: Iterable[tuple[Network, Collection[PathId]]]) -> Lines:
    """The lines that strike out paths."""
    return _lines(_STRUCK_OUT, table, lambda path_ids: [_path_id_text(i) for i in path_ids])


def _lines(
    sign: str, table: Iterable[tuple[Network, C]], texts_of: Callable[[C], list[str]]
) -> Lines:
    """One line for each prefix and 16 paths.  What follows the prefix is made once for all prefixes
    with the same object."""
    ends: dict[int, tuple[C, list[str], int]] = {}
    lines: list[str] = []
    count = 0
    for prefix, paths in table:
        known = ends.get(id(paths))
        if known is None:
            texts = texts_of(paths)
            parts = [
                " ".join(texts[start : start + _PATHS_PER_LINE])
                for start in range(0, len(texts), _PATHS_PER_LINE)
            ]
            known = ends[id(paths)] = (paths, parts, len(texts))
        _, parts, number = known
        lines.extend(f"{sign} {prefix} {part}\n" for part in parts)
        count += number
    return Lines("".join(lines).encode("ascii"), count)


def decode(line: bytes) -> Change:
    """Reads a line with its line end; raises ValueError with the reason."""
    if len(line) > MAX_LINE_OCTETS:
        raise ValueError(f"{len(line)} octets")
    text = line.decode("ascii")
    words = text.split(" ", _MIN_WORDS - 1)
    if len(words) < _MIN_WORDS or not text.endswith("\n"):
        raise ValueError("not as it was written")
    sign, prefix, rest = words[0], _network(words[1]), words[2][:-1]
    if sign == _ANNOUNCED:
        next_hops, has_ipv4 = _next_hops(rest)
        if has_ipv4 and isinstance(prefix, IPv6Network):
            raise ValueError("an IPv6 prefix with an IPv4 next hop")
        return Change(prefix, next_hops)
    if sign == _STRUCK_OUT:
        path_ids = [_path_id(word) for word in rest.split(" ")]
        if len(set(path_ids)) == len(path_ids):
            return Change(prefix, dict.fromkeys(path_ids))
    raise ValueError("not as it was written")


def _path_texts(paths: Iterable[tuple[PathId, Address]]) -> list[str]:
    return [f"{_path_id_text(path_id)} {_address_text(hop)}" for path_id, hop in paths]


def _path_id_text(path_id: PathId) -> str:
    return _NO_PATH_ID if path_id is None else str(path_id)


@lru_cache(maxsize=4096)
def _address_text(address: Address) -> str:
    return str(address)


# the journals of all peers have the same few texts, and parsing them is most of their reading


@lru_cache(maxsize=32768)
def _network(text: str) -> Network:
    return _exactly(ip_network(text), text, "prefix")


@lru_cache(maxsize=4096)
def _address(text: str) -> Address:
    return _exactly(ip_address(text), text, "next hop")


@lru_cache(maxsize=32768)
def _next_hops(text: str) -> tuple[NextHops, bool]:
    """The paths of a line, and whether one has an IPv4 next hop."""
    words = text.split(" ")
    ids, hops = words[::2], words[1::2]
    if len(ids) != len(hops):
        raise ValueError("not as it was written")
    next_hops = {_path_id(path_id): _address(hop) for path_id, hop in zip(ids, hops, strict=True)}
    if len(next_hops) != len(ids):
        raise ValueError("a path identifier twice")
    return next_hops, any(isinstance(hop, IPv4Address) for hop in next_hops.values())


def _path_id(text: str) -> PathId:
    if text == _NO_PATH_ID:
        return None
    number = _exactly(int(text), text, "path identifier")
    if number not in _PATH_IDS:
        raise ValueError(f"path identifier {text}")
    return number


def _exactly(value: T, text: str, what: str) -> T:
    """A value that was read from a text, if it would be written just so; else ValueError."""
    if str(value) != text:
        raise ValueError(f"{what} {text}")
    return value


@lru_cache(maxsize=4096)
def may_be_next_hop(address: Address) -> bool:
    """Whether an address can be a next hop at all."""
    zone = isinstance(address, IPv6Address) and address.scope_id
    return not zone and not never_a_next_hop(address)
