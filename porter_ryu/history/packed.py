"""Changes in few octets: the record keeps ten thousand, and nearly all of them are never asked for.

A change as a value takes 0.9 kB, of which little is its own: the changes of a storm have the same
words.  64 of them together are compressed to a twentieth, in a quarter of a millisecond.
"""

from __future__ import annotations

import marshal
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import astuple, replace

from porter_ryu.history.change import (
    NO_DELIVERY,
    Change,
    ChangeKind,
    Delivery,
    LaterDelivery,
    Part,
)

_FAST = 1  # of the levels of zlib: a better one takes longer for little


class Packed(Struct, frozen=True, gc=False):
    """Changes of one kind in the order of their numbers, of which some are forgotten.

    `numbers`, `times` and `causes` (the hashes that the caller gave) are those of each change.
    `gone` has the bits of those that are forgotten.  `pending` are the deliveries that were not
    known when the changes were packed, by the numbers of the changes.
    """

    kind: ChangeKind
    numbers: array[int]
    times: array[float]
    causes: array[int]
    octets: bytes
    pending: Mapping[int, Delivery | LaterDelivery]
    gone: int = 0

    @property
    def left(self) -> int:
        """How many are not forgotten."""
        return len(self.numbers) - self.gone.bit_count()

    def oldest(self, cause: int | None) -> int | None:
        """The index of the first change with this cause (None: any) that is not forgotten."""
        if cause is None:
            lowest = ~self.gone & (self.gone + 1)
            return lowest.bit_length() - 1 if self.left else None
        index = -1
        try:
            while True:
                index = self.causes.index(cause, index + 1)
                if not self.gone >> index & 1:
                    return index
        except ValueError:
            return None

    def without(self, index: int) -> Packed:
        """The same, with this change forgotten."""
        return replace(self, gone=self.gone | 1 << index)

    def changes(self, later_than: int = 0) -> Iterator[Change]:
        """The changes that are not forgotten, with numbers above this one."""
        # written by this process
        rows = marshal.loads(zlib.decompress(self.octets))  # noqa: S302
        for index, row in enumerate(rows):
            number, name, before, after, cause, about, seconds, parts = row
            if number > later_than and not self.gone >> index & 1:
                yield Change(
                    number,
                    self.times[index],
                    self.kind,
                    name,
                    before,
                    after,
                    cause,
                    about,
                    self.pending.get(number) or _delivery(seconds),
                    tuple(Part(*part) for part in parts),
                )


def pack(changes: Sequence[Change], causes: Sequence[int]) -> Packed:
    """Packs at least one change; all are of one kind."""
    rows = [
        (
            change.sequence,
            change.object,
            change.before,
            change.after,
            change.cause,
            change.about,
            change.delivery.seconds,
            tuple(map(astuple, change.parts)),
        )
        for change in changes
    ]
    return Packed(
        changes[0].kind,
        array("q", [change.sequence for change in changes]),
        array("d", [change.time for change in changes]),
        array("q", causes),
        zlib.compress(marshal.dumps(rows), _FAST),
        {
            change.sequence: change.delivery
            for change in changes
            if change.delivery is not NO_DELIVERY and change.delivery.seconds is None
        },
    )


def _delivery(seconds: float | None) -> Delivery:
    if seconds is None:
        return NO_DELIVERY
    delivery = Delivery()
    delivery.seconds = seconds
    return delivery
