"""Reads the journal of announced paths of an earlier run.

A damaged line is reported and left out; the others count.  Paths of which it may have said that
they have other attributes now, and paths by a digest that no line defines, are kept as paths of
which the attributes are not known: they are never announced with wrong ones, but may have to be
withdrawn.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct, field

from porter_ryu import regular_file
from porter_ryu.bgp.output.journal_attributes import Definition
from porter_ryu.bgp.output.journal_line import (
    MAX_LINE_OCTETS,
    UNKNOWN,
    Change,
    NamedPath,
    decode,
    may_be_next_hop,
    remains,
)
from porter_ryu.bgp.protocol.rib_out import SentPaths
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.announcement import NO_ATTRIBUTES, PathAttributes, SentPath
from porter_ryu.domain.model import Network

LOG = logging.getLogger(__name__)

_LARGEST_OCTETS = 64 * 1024 * 1024
_DAMAGED_LINES_REPORTED = 10


class Contents(Struct, frozen=True):
    """What a journal says.

    `written`: how many paths its lines are about.  `octets`: its size.  `unfit` are paths whose
    next hop can never be one.  `damaged`: something in it is missing.
    """

    paths: Mapping[Network, SentPaths]
    unfit: Mapping[Network, Collection[PathId]]
    written: int
    octets: int
    damaged: bool


def read(path: str) -> Contents:
    """Reads a journal; raises FileNotFoundError, another OSError, or ValueError where it is no
    regular file or too large."""
    octets, _ = regular_file.read(path, _LARGEST_OCTETS)
    reading = _Reading(path)
    reading.apply_all(io.BytesIO(octets))
    if reading.damaged > _DAMAGED_LINES_REPORTED:
        LOG.warning("%s: %d lines were left out", path, reading.damaged)
    unfit = {prefix: path_ids for prefix, path_ids in reading.unfit.items() if path_ids}
    if unfit:
        count = sum(map(len, unfit.values()))
        LOG.warning("%s: %d paths by impossible next hops left out", path, count)
    undefined = reading.forget_undefined()
    if undefined:
        LOG.warning("%s: the attributes of %d paths are missing", path, undefined)
    damaged = bool(reading.damaged or undefined)
    return Contents(reading.sent_paths(), unfit, reading.written, len(octets), damaged)


class _Reading(Struct):
    """What the lines said so far."""

    path: str
    paths: dict[Network, dict[PathId, NamedPath]] = field(default_factory=dict)
    unfit: dict[Network, set[PathId]] = field(default_factory=dict)
    attributes: dict[str, PathAttributes | None] = field(
        default_factory=lambda: {"": NO_ATTRIBUTES, UNKNOWN: None}
    )
    written: int = 0
    damaged: int = 0

    def apply_all(self, lines: Iterable[bytes]) -> None:
        """Applies the lines."""
        for number, line in enumerate(lines, 1):
            try:
                said = decode(line)
            except ValueError as error:
                self._report(number, line, error)
                for change in remains(line):
                    self._doubt(change.prefix)
                    self._apply(change)
            else:
                if isinstance(said, Definition):
                    self.attributes[said.digest] = said.attributes
                else:
                    self._apply(said)

    def forget_undefined(self) -> int:
        """Has all paths by a digest without definition known as such; returns how many."""
        count = 0
        for paths in self.paths.values():
            for path_id, path in paths.items():
                if path.digest not in self.attributes:
                    paths[path_id] = path._replace(digest=UNKNOWN)
                    count += 1
        return count

    def sent_paths(self) -> dict[Network, SentPaths]:
        """The paths with their attributes.  Prefixes with the same paths share one mapping."""
        alike: dict[frozenset[tuple[PathId, NamedPath]], SentPaths] = {}
        found: dict[Network, SentPaths] = {}
        for prefix, paths in self.paths.items():
            if not paths:
                continue
            key = frozenset(paths.items())
            known = alike.get(key)
            if known is None:
                known = alike[key] = {
                    path_id: SentPath(path.next_hop, self.attributes[path.digest])
                    for path_id, path in paths.items()
                }
            found[prefix] = known
        return found

    def _report(self, number: int, line: bytes, error: ValueError) -> None:
        self.damaged += 1
        if self.damaged <= _DAMAGED_LINES_REPORTED:
            told = line[:MAX_LINE_OCTETS]
            LOG.warning("%s:%d: left out (%s): %r", self.path, number, error, told)

    def _doubt(self, prefix: Network) -> None:
        """The attributes of the paths of a prefix are not known any more."""
        known = self.paths.get(prefix, {})
        self.paths[prefix] = {i: path._replace(digest=UNKNOWN) for i, path in known.items()}

    def _apply(self, change: Change) -> None:
        prefix, told = change.prefix, change.paths
        self.written += len(told)
        fit = {
            path_id: path
            for path_id, path in told.items()
            if path is not None and may_be_next_hop(path.next_hop)
        }
        bad = {i for i, path in told.items() if path is not None and i not in fit}
        if bad or prefix in self.unfit:
            self.unfit[prefix] = (self.unfit.get(prefix, set()) - told.keys()) | bad
        known = self.paths.get(prefix)
        if known:
            fit = {**{i: path for i, path in known.items() if i not in told}, **fit}
        self.paths[prefix] = fit
