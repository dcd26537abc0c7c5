"""What was read, or happened, since the last turn: the causes of what a turn changes.

Of many things that were read at once, a change names those that concern it; otherwise the first few
of all, and how many more there were.  Texts are made only for changes, after these were sent.

A Service gets an address in one turn, and its route in a later one, when the status that was
written is read back.  What is read back is no cause: the cause of the address is that of the route.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from porter_ryu.domain.model import Address, Kind, ObjectKey

STARTED = "this process started"  # of all that the first lists lead to

_MAX_REMEMBERED = 1000
_MAX_EXPECTED = 20_000  # Services whose status was not read back yet
_OF_ADDRESSES = (Kind.SERVICE, Kind.EIP, Kind.NAMESPACE)
_MAX_NAMED = 3
_AND_MORE = re.compile(r" and ([0-9]+) more$")
_NODE_SECONDS = 60.0


class _Read(NamedTuple):
    """An object that was read, or is gone."""

    kind: Kind
    key: ObjectKey
    gone: bool

    def __str__(self) -> str:
        return f"{self.kind.singular} {self.key}{' deleted' if self.gone else ''}"


class _ReadAt(NamedTuple):
    """An object that was read at a time of a monotonic clock, in seconds."""

    read: _Read
    at: float


class Carried(NamedTuple):
    """The cause of an address, for what follows when its record is read back; `read_at`: when that
    cause was read, on a monotonic clock, in seconds, None if it was not."""

    cause: str
    read_at: float | None


class _Expected(NamedTuple):
    """The addresses of a Service in the status that is written, and the causes of those that are
    new."""

    addresses: frozenset[Address]
    new: Mapping[Address, Carried]


class TurnCauses:
    """The causes of one turn.

    `read_at`: when the oldest was read, on a monotonic clock, in seconds; None if nothing was.
    `otherwise`: the cause if nothing was read.  `earlier` are nodes that were read in earlier turns
    as well: the loss of a node may be judged later, together with others.  `carried` has the
    addresses whose record was read back.
    """

    def __init__(self, earlier: Mapping[str, _ReadAt]) -> None:
        self.read_at: float | None = None
        self.otherwise = ""
        self.began = 0.0
        self.carried: dict[Address, Carried] = {}
        self._earlier = earlier
        self._records: dict[ObjectKey, frozenset[Address]] = {}
        self._all: dict[_Read | str, None] = {}
        self._more = 0
        self._of_services: dict[ObjectKey, list[_Read | str]] = {}
        self._of_nodes: dict[str, _Read | str] = {}
        self._texts: dict[tuple[_Read | str, ...], str] = {}
        self._summary = ""

    def add(
        self,
        what: _Read | str,
        read_at: float | None,
        services: Iterable[ObjectKey] = (),
        nodes: Iterable[str] = (),
    ) -> None:
        """Something was read, or happened, that may concern these Services and nodes."""
        if self.read_at is None:
            self.read_at = read_at
        if what in self._all:
            return
        if len(self._all) >= _MAX_REMEMBERED:
            self._more += 1
            return
        self._all[what] = None
        for key in services:
            self._of_services.setdefault(key, []).append(what)
        for node in nodes:
            self._of_nodes[node] = what

    def add_record(self, key: ObjectKey, addresses: frozenset[Address]) -> None:
        """The status of a Service was read with these addresses."""
        if len(self._records) < _MAX_REMEMBERED:
            self._records[key] = addresses

    def read_back(self, key: ObjectKey, expected: _Expected) -> None:
        """The status that was written to a Service was read: that is the cause of nothing."""
        self.carried.update(expected.new)
        self._all.pop(_Read(Kind.SERVICE, key, False), None)
        self._summary = ""

    def has_record(self, key: ObjectKey, addresses: frozenset[Address]) -> bool:
        """Whether the status of a Service was read with these addresses."""
        return self._records.get(key) == addresses

    def absorb(self, others: TurnCauses) -> None:
        """Takes what was read since: the turn goes on with what an earlier one left."""
        self._summary = ""
        self._more += others._more
        if self.read_at is None:
            self.read_at = others.read_at
        self.carried.update(others.carried)
        for key, addresses in others._records.items():
            self.add_record(key, addresses)
        nodes = {what: name for name, what in others._of_nodes.items()}
        services: dict[_Read | str, list[ObjectKey]] = {}
        for key, causes in others._of_services.items():
            for what in causes:
                services.setdefault(what, []).append(key)
        for what in others._all:
            of_node = [nodes[what]] if what in nodes else []
            self.add(what, others.read_at, services.get(what, ()), of_node)

    def of(self, services: Iterable[ObjectKey] = (), nodes: Collection[str] = ()) -> str:
        """What changed something about these Services and nodes."""
        own = [what for key in services for what in self._of_services.get(key, ())]
        own += [self._of_nodes[name] for name in nodes if name in self._of_nodes]
        if own:
            return self._text(tuple(own))
        if not self._all:
            found = [self._earlier[name] for name in sorted(nodes) if name in self._earlier]
            ages = [(entry.read, self.began - entry.at) for entry in found]
            recent = [
                f"{read}, read {age:.1f} s before" for read, age in ages if age <= _NODE_SECONDS
            ]
            return _few(recent, 0) or self.otherwise
        if not self._summary:
            self._summary = _few(list(self._all), self._more)
        return self._summary

    def of_address(self, key: ObjectKey, eips: Collection[str], is_new: bool) -> str:
        """What changed the addresses of a Service, which are or were from these Eips; `is_new`: it
        had none, and lacked none."""
        own: list[_Read | str] = [*self._of_services.get(key, ())]
        own = [what for what in own if _may_change_addresses(what)]
        if not (own and is_new):
            own += self._eips_read(eips)
        return self._text(tuple(own)) if own else self._of_all_addresses()

    def of_pool(self, eip: str, causes: Collection[str]) -> str:
        """What changed how full an Eip is; `causes` are those of the addresses that changed."""
        more = sum(int(found[1]) for found in map(_AND_MORE.search, causes) if found)
        told = (part for cause in causes for part in _AND_MORE.sub("", cause).split(", "))
        own = list(dict.fromkeys([*map(str, self._eips_read([eip])), *told]))
        return _few(own, more) if own else self._of_all_addresses()

    def _eips_read(self, names: Collection[str]) -> list[_Read]:
        found = (_Read(Kind.EIP, ObjectKey("", n), gone) for n in names for gone in (False, True))
        return [read for read in found if read in self._all]

    def _of_all_addresses(self) -> str:
        """Of all that was read, what may change addresses; otherwise all."""
        found = [what for what in self._all if _may_change_addresses(what)]
        return _few(found, 0) if found else self.of()

    def _text(self, causes: tuple[_Read | str, ...]) -> str:
        """The text of some causes, one object for all changes that have them."""
        text = self._texts.get(causes)
        if text is None:
            text = self._texts[causes] = _few(list(dict.fromkeys(causes)), 0)
        return text


class Causes:
    """Collects causes from turn to turn.  `current` are those of the present turn, or the last."""

    def __init__(self) -> None:
        self._nodes: dict[str, _ReadAt] = {}
        self._expected: collections.OrderedDict[ObjectKey, _Expected] = collections.OrderedDict()
        self.current = TurnCauses(self._nodes)
        self._next = TurnCauses(self._nodes)

    def read(
        self,
        kind: Kind,
        key: ObjectKey,
        read_at: float,
        service: ObjectKey | None = None,
        gone: bool = False,
        record: Iterable[Address] = (),
    ) -> None:
        """An object was read, or is gone; `service` is the one of an EndpointSlice, `record` are
        the addresses in the status of a Service."""
        read = _Read(kind, key, gone)
        if kind is Kind.NODE:
            self._nodes.pop(key.name, None)
            self._nodes[key.name] = _ReadAt(read, read_at)
            if len(self._nodes) > _MAX_REMEMBERED:
                del self._nodes[next(iter(self._nodes))]
            self._next.add(read, read_at, nodes=(key.name,))
        elif kind is Kind.SERVICE:
            self._next.add(read, read_at, services=(key,))
            self._read_record(key, frozenset(record), gone)
        else:
            self._next.add(read, read_at, services=() if service is None else (service,))

    def _read_record(self, key: ObjectKey, record: frozenset[Address], gone: bool) -> None:
        expected = self._expected.get(key)
        if expected is None or gone or record == expected.addresses:
            self._expected.pop(key, None)
        if gone:
            return
        if expected is not None and record == expected.addresses:
            self._next.read_back(key, expected)
        else:
            self._next.add_record(key, record)

    def listed(self, key: ObjectKey, record: Iterable[Address]) -> None:
        """A Service was read in a list, with these addresses in its status."""
        if key in self._expected:
            self._read_record(key, frozenset(record), gone=False)

    def gave(
        self, key: ObjectKey, held: Iterable[Address], new: Iterable[Address], cause: str
    ) -> None:
        """A turn gave a Service some `new` addresses, so that it has those `held`, because of
        `cause`.  Its status may have been read back already, while the turn went on."""
        carried = Carried(cause, self.current.read_at)
        before = self._expected.pop(key, None)
        addresses = frozenset(held)
        earlier = {} if before is None else {a: before.new[a] for a in before.new if a in addresses}
        expected = _Expected(addresses, {**earlier, **dict.fromkeys(new, carried)})
        if not expected.new:
            return
        for causes in (self.current, self._next):
            if causes.has_record(key, addresses):
                causes.read_back(key, expected)
                return
        self._expected[key] = expected
        if len(self._expected) > _MAX_EXPECTED:
            self._expected.popitem(last=False)

    def happened(self, what: str, at: float | None, nodes: Iterable[str] = ()) -> None:
        """Something else happened that a turn follows; it may concern these nodes.  `at` is None if
        no time to the wire is measured from it."""
        self._next.add(what, at, nodes=nodes)

    def forget(self) -> None:
        """Nothing follows from what was read since the last turn."""
        self._next = TurnCauses(self._nodes)

    def begin_turn(self, otherwise: str, now: float, goes_on: bool = False) -> TurnCauses:
        """The causes of the turn that begins now; `otherwise` is the cause if nothing was read.
        A turn that `goes_on` with what an earlier one left has the causes of that as well."""
        before, self.current = self.current, self._next
        self._next = TurnCauses(self._nodes)
        if goes_on:
            before.absorb(self.current)
            self.current = before
            return before
        self.current.otherwise, self.current.began = otherwise, now
        return self.current


def _may_change_addresses(what: _Read | str) -> bool:
    return isinstance(what, str) or what.kind in _OF_ADDRESSES


def _few(causes: list[_Read | str] | list[str], more: int) -> str:
    """The first few causes, and how many more there are."""
    more += max(0, len(causes) - _MAX_NAMED)
    text = ", ".join(map(str, causes[:_MAX_NAMED]))
    return f"{text} and {more} more" if more else text
