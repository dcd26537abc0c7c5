"""Reads the journal of announced paths of an earlier run.

A damaged line is reported and left out; the others count.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from porter_ryu import regular_file
from porter_ryu.bgp.output.journal_line import MAX_LINE_OCTETS, Change, decode, may_be_next_hop
from porter_ryu.bgp.protocol.rib_out import NextHops
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.model import Address, Network

LOG = logging.getLogger(__name__)

_LARGEST_OCTETS = 64 * 1024 * 1024
_DAMAGED_LINES_REPORTED = 10

_Paths = dict[Network, dict[PathId, Address]]
_Unfit = dict[Network, set[PathId]]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal says.

    `written`: how many paths its lines are about.  `unfit` are paths whose next hop can never be
    one.  `damaged`: some lines were left out.
    """

    paths: Mapping[Network, NextHops]
    unfit: Mapping[Network, Collection[PathId]]
    written: int
    damaged: bool


def read(path: str) -> Contents:
    """Reads a journal; raises FileNotFoundError, another OSError, or ValueError where it is no
    regular file or too large."""
    octets, _ = regular_file.read(path, _LARGEST_OCTETS)
    paths: _Paths = {}
    unfit: _Unfit = {}
    written, damaged = _apply_all(io.BytesIO(octets), path, paths, unfit)
    if damaged > _DAMAGED_LINES_REPORTED:
        LOG.warning("%s: %d lines were left out", path, damaged)
    left = {prefix: path_ids for prefix, path_ids in unfit.items() if path_ids}
    if left:
        count = sum(map(len, left.values()))
        LOG.warning("%s: %d paths by impossible next hops left out", path, count)
    return Contents(_shared(paths), left, written, bool(damaged))


def _apply_all(lines: Iterable[bytes], path: str, paths: _Paths, unfit: _Unfit) -> tuple[int, int]:
    """Applies the lines; returns how many paths they are about, and how many are damaged."""
    written = damaged = 0
    for number, line in enumerate(lines, 1):
        try:
            change = decode(line)
        except ValueError as error:
            damaged += 1
            if damaged <= _DAMAGED_LINES_REPORTED:
                LOG.warning("%s:%d: left out (%s): %r", path, number, error, line[:MAX_LINE_OCTETS])
        else:
            _apply(change, paths, unfit)
            written += len(change.next_hops)
    return written, damaged


def _apply(change: Change, paths: _Paths, unfit: _Unfit) -> None:
    prefix, told = change.prefix, change.next_hops
    fit = {i: hop for i, hop in told.items() if hop is not None and may_be_next_hop(hop)}
    bad = {i for i, hop in told.items() if hop is not None and i not in fit}
    if bad or prefix in unfit:
        unfit[prefix] = (unfit.get(prefix, set()) - told.keys()) | bad
    known = paths.get(prefix)
    if known:
        fit = {**{i: hop for i, hop in known.items() if i not in told}, **fit}
    paths[prefix] = fit


def _shared(paths: _Paths) -> dict[Network, NextHops]:
    """The same, where prefixes with the same next hops share one mapping."""
    alike: dict[frozenset[tuple[PathId, Address]], NextHops] = {}
    return {
        prefix: alike.setdefault(frozenset(next_hops.items()), next_hops)
        for prefix, next_hops in paths.items()
        if next_hops
    }
