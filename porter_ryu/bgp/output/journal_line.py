"""One line of the journal of announced paths: text to a change and back.

    + PREFIX PATH-ID NEXT-HOP       announced; PATH-ID is "-" without ADD-PATH
    - PREFIX PATH-ID                struck out

A line counts only if it is exactly what would be written.  So two lines that a full disk has
merged, or a line that was cut or edited, are never read as another path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from typing import TypeVar

from porter_ryu.bgp.protocol.rib_out import NextHops
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.special_purpose import never_a_next_hop

T = TypeVar("T")

MAX_LINE_OCTETS = 128
_NO_PATH_ID = "-"
_WORDS = {"+ ": 4, "- ": 3}
_PATH_IDS = range(1 << 32)  # RFC 7911, 3


@dataclass(frozen=True, slots=True)
class Change:
    """What a line says; `next_hop` None: the path is struck out."""

    prefix: Network
    path_id: PathId
    next_hop: Address | None


def announced(prefix: Network, next_hops: NextHops) -> list[bytes]:
    """The lines, with line ends, for announced paths of a prefix."""
    start = f"+ {prefix} "
    return [
        f"{start}{_path_id_text(path_id)} {_address_text(next_hop)}\n".encode("ascii")
        for path_id, next_hop in next_hops.items()
    ]


def struck_out(prefix: Network, path_ids: Iterable[PathId]) -> list[bytes]:
    """The lines, with line ends, that strike out paths of a prefix."""
    start = f"- {prefix} "
    return [f"{start}{_path_id_text(path_id)}\n".encode("ascii") for path_id in path_ids]


def decode(line: bytes) -> Change:
    """Reads a line with its line end; raises ValueError with the reason."""
    if len(line) > MAX_LINE_OCTETS:
        raise ValueError(f"{len(line)} octets")
    text = line.decode("ascii")
    words = text.split()
    if len(words) != _WORDS.get(text[:2]) or " ".join(words) + "\n" != text:
        raise ValueError("not as it was written")
    prefix, path_id = _network(words[1]), _path_id(words[2])
    next_hop = _address(words[3]) if len(words) == _WORDS["+ "] else None
    if isinstance(next_hop, IPv4Address) and not isinstance(prefix, IPv4Network):
        raise ValueError("an IPv6 prefix with an IPv4 next hop")
    return Change(prefix, path_id, next_hop)


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
