"""The lines of the journal of announced paths: text to a change and back.

    = DIGEST ATTRIBUTES             what paths mean that name the digest (`journal_attributes`)
    + PREFIX PATH-ID NEXT-HOP ...   announced; PATH-ID is "-" without ADD-PATH
    - PREFIX PATH-ID ...            struck out

A path with attributes of its own has NEXT-HOP=DIGEST; NEXT-HOP=? is a path of which the attributes
are not known any more.  Whatever names a digest comes with its definition, so that each part of the
file can be read by itself.

A prefix with more than 16 paths has several lines.  A line counts only if it is exactly what would
be written.  So two lines that a full disk has merged, or a line that was cut or edited, are never
read as another path.  But such a line may have said that paths have other attributes now: see
`remains`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, TypeVar

from msgspec import Struct

from porter_ryu.bgp.output.journal_attributes import Definition, define, read_definition
from porter_ryu.bgp.protocol.rib_out import SentPaths
from porter_ryu.bgp.protocol.update import PathId, Paths
from porter_ryu.domain.announcement import NO_ATTRIBUTES, PathAttributes
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.special_purpose import never_a_next_hop

T = TypeVar("T")
C = TypeVar("C", bound=Collection[object])

MAX_LINE_OCTETS = 1280
MAX_DEFINITION_OCTETS = 16 * 1024  # more than all attributes of a message as text
UNKNOWN = "?"
_PATHS_PER_LINE = 16
_NO_PATH_ID = "-"
_DEFINED, _ANNOUNCED, _STRUCK_OUT = "=", "+", "-"
_NAMES = "="  # between a next hop and a digest
_MIN_WORDS = 3
_PATH_IDS = range(1 << 32)  # RFC 7911, 3
_DIGEST = re.compile(r"[0-9a-f]{16}|\?")
_BEGINNING = re.compile(r"(?=\+ )")


class Lines(Struct, frozen=True, gc=False):
    """Whole lines, with line ends, about so many `paths`."""

    octets: bytes
    paths: int


NO_LINES = Lines(b"", 0)


class NamedPath(NamedTuple):
    """A path as a line has it: its next hop and the digest of its attributes, empty if it has none
    of its own."""

    next_hop: Address
    digest: str = ""


class Change(Struct, frozen=True):
    """What a line says about a prefix.  `paths` is the same object for lines with the same paths;
    what is None there is struck out."""

    prefix: Network
    paths: Mapping[PathId, NamedPath | None]


def announced(table: Iterable[tuple[Network, Paths]]) -> Lines:
    """The lines for announced paths."""
    return _announced(
        table,
        lambda paths: ((path_id, said.next_hop, said.own) for path_id, said in paths.items()),
    )


def kept(table: Iterable[tuple[Network, SentPaths]]) -> Lines:
    """The lines for paths that were announced earlier."""
    return _announced(
        table,
        lambda paths: (
            (path_id, sent.next_hop, sent.attributes) for path_id, sent in paths.items()
        ),
    )


def struck_out(table: Iterable[tuple[Network, Collection[PathId]]]) -> Lines:
    """The lines that strike out paths."""
    return _lines(_STRUCK_OUT, table, lambda path_ids: [_path_id_text(i) for i in path_ids])


def _announced(
    table: Iterable[tuple[Network, C]],
    parts_of: Callable[[C], Iterable[tuple[PathId, Address, PathAttributes | None]]],
) -> Lines:
    definitions: dict[str, str] = {}
    lines = _lines(
        _ANNOUNCED,
        table,
        lambda paths: [_path_text(*parts, definitions) for parts in parts_of(paths)],
    )
    if not definitions:
        return lines
    first = "".join(f"{_DEFINED} {digest} {text}\n" for digest, text in definitions.items())
    return Lines(first.encode("ascii") + lines.octets, lines.paths)


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


def decode(line: bytes) -> Change | Definition:
    """Reads a line with its line end; raises ValueError with the reason."""
    defined = line.startswith(_DEFINED.encode())
    if len(line) > (MAX_DEFINITION_OCTETS if defined else MAX_LINE_OCTETS):
        raise ValueError(f"{len(line)} octets")
    text = line.decode("ascii")
    words = text.split(" ", _MIN_WORDS - 1)
    if len(words) < _MIN_WORDS or not text.endswith("\n"):
        raise ValueError("not as it was written")
    sign, rest = words[0], words[2][:-1]
    if sign == _DEFINED:
        return read_definition(words[1], rest)
    prefix = _network(words[1])
    if sign == _ANNOUNCED:
        paths, has_ipv4 = _paths(rest)
        if has_ipv4 and isinstance(prefix, IPv6Network):
            raise ValueError("an IPv6 prefix with an IPv4 next hop")
        return Change(prefix, paths)
    if sign == _STRUCK_OUT:
        path_ids = [_path_id(word) for word in rest.split(" ")]
        if len(set(path_ids)) == len(path_ids):
            return Change(prefix, dict.fromkeys(path_ids))
    raise ValueError("not as it was written")


def remains(line: bytes) -> Iterator[Change]:
    """What a damaged line still tells: the prefixes of which it announced paths, and those of the
    paths that are whole.  The attributes are not known of any of them, nor of the paths that
    earlier lines gave to the prefix, because this line may have changed them."""
    text = line[:MAX_DEFINITION_OCTETS].decode("ascii", "replace")
    for part in _BEGINNING.split(text)[1:]:
        words = part.rstrip("\n").split(" ")
        if not part.endswith("\n") and _NAMES not in words[-1]:
            words.pop()  # it may have been longer
        try:
            prefix = _network(words[1])
        except (ValueError, IndexError):
            continue
        yield Change(prefix, dict(_whole_paths(prefix, words[2::2], words[3::2])))


def _whole_paths(
    prefix: Network, ids: Iterable[str], hops: Iterable[str]
) -> Iterator[tuple[PathId, NamedPath]]:
    for path_id, hop in zip(ids, hops, strict=False):
        try:
            next_hop = _address(hop.partition(_NAMES)[0])
            known = _path_id(path_id), NamedPath(next_hop, UNKNOWN)
        except ValueError:
            return
        if next_hop.version < prefix.version or not may_be_next_hop(next_hop):
            return
        yield known


def _path_text(
    path_id: PathId,
    next_hop: Address,
    attributes: PathAttributes | None,
    definitions: dict[str, str],
) -> str:
    """A path as text; the definition of what it names is added to `definitions`."""
    text = f"{_path_id_text(path_id)} {_address_text(next_hop)}"
    if attributes is None:
        return f"{text}{_NAMES}{UNKNOWN}"
    if attributes == NO_ATTRIBUTES:
        return text
    definition = define(attributes)
    definitions[definition.digest] = definition.text
    return f"{text}{_NAMES}{definition.digest}"


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


@lru_cache(maxsize=4096)
def _named_path(text: str) -> NamedPath:
    hop, names, digest = text.partition(_NAMES)
    if names and not _DIGEST.fullmatch(digest):
        raise ValueError(f"attributes {digest}")
    return NamedPath(_address(hop), digest)


@lru_cache(maxsize=32768)
def _paths(text: str) -> tuple[Mapping[PathId, NamedPath], bool]:
    """The paths of a line, and whether one has an IPv4 next hop."""
    words = text.split(" ")
    ids, hops = words[::2], words[1::2]
    if len(ids) != len(hops):
        raise ValueError("not as it was written")
    paths = {_path_id(path_id): _named_path(hop) for path_id, hop in zip(ids, hops, strict=True)}
    if len(paths) != len(ids):
        raise ValueError("a path identifier twice")
    return paths, any(isinstance(path.next_hop, IPv4Address) for path in paths.values())


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
