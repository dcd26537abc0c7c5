"""A part of what an update group sends, encoded once for all of its members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from porter_ryu.bgp.output.journal_line import NO_LINES, Lines, announced
from porter_ryu.bgp.protocol.rib_out import Difference
from porter_ryu.bgp.protocol.update import Paths
from porter_ryu.domain.model import Address, Network

_SLICE_PREFIXES = 512
_PART_OCTETS = 1 << 16  # of what is sent before the others have a turn


class Batch(Struct, frozen=True, gc=False):
    """Whole UPDATEs, and what has to be known about them.

    `updates`: how many messages `octets` are.  `lines`: for the journal, to be written before the
    octets are sent.  `next_hops`: those that are announced.  `before`: the paths that the table had
    of the prefixes that changed, for a member that is not sent this batch.  `struck_out`: paths
    that `lines` strike out.  `made_at`: of the monotonic clock, in seconds.
    """

    octets: bytes
    updates: int
    lines: Lines = NO_LINES
    next_hops: Sequence[Address] = ()
    before: Mapping[Network, Paths] = {}
    struck_out: Sequence[tuple[Network, Paths]] = ()
    made_at: float = 0.0


def encode(
    difference: Difference, max_length: int, made_at: float = 0.0, journal: bool = True
) -> Batch:
    """A difference as UPDATEs of at most `max_length` octets; without `journal`, its paths are in
    the journals already."""
    messages = list(difference.messages(max_length))
    return Batch(
        b"".join(messages),
        len(messages),
        announced(difference.announced) if journal else NO_LINES,
        tuple(difference.next_hops()),
        difference.before,
        made_at=made_at,
    )


class EncodedTable:
    """A whole table as it was at one moment, for new sessions and route refreshes.

    It is encoded slice by slice, and is the same object for all sessions that need it at the same
    time.  `parts`: what is sent at once each time, so that no session puts the same octets together
    again.  `journal`: they have lines for the journal.
    """

    def __init__(
        self, table: Iterable[tuple[Network, Paths]], max_length: int, journal: bool
    ) -> None:
        self.parts: list[Batch] = []
        self._begun: list[Batch] = []
        # prefixes by the same paths one after the other, so that they share messages
        self._left = sorted(table, key=lambda entry: id(entry[1]))
        self._max_length = max_length
        self._journal = journal

    def encode_slice(self) -> bool:
        """Encodes the next slice; returns False if nothing was left, and `parts` are all of it."""
        if not self._left:
            return False
        part = self._left[-_SLICE_PREFIXES:]
        del self._left[-_SLICE_PREFIXES:]
        batch = encode(Difference(part), self._max_length, journal=self._journal)
        self._begun.append(batch)
        if not self._left or sum(len(begun.octets) for begun in self._begun) >= _PART_OCTETS:
            self.parts.append(_joined(self._begun))
            self._begun.clear()
        return True


def _joined(batches: Sequence[Batch]) -> Batch:
    """Batches of one table as one."""
    lines = Lines(
        b"".join(batch.lines.octets for batch in batches),
        sum(batch.lines.paths for batch in batches),
    )
    return Batch(
        b"".join(batch.octets for batch in batches),
        sum(batch.updates for batch in batches),
        lines,
        tuple(dict.fromkeys(hop for batch in batches for hop in batch.next_hops)),
    )
