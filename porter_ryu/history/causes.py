"""What was read, or happened, since the last turn: the causes of what a turn changes.

Of many things that were read at once, a change names those that concern it; otherwise the first few
of all, and how many more there were.  Texts are made only for changes, after these were sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from porter_ryu.domain.model import Kind, ObjectKey

_MAX_REMEMBERED = 1000
_MAX_NAMED = 3
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


class TurnCauses:
    """The causes of one turn.

    `read_at`: when the oldest was read, on a monotonic clock, in seconds; None if nothing was.
    `otherwise`: the cause if nothing was read.  `earlier` are nodes that were read in earlier turns
    as well: the loss of a node may be judged later, together with others.
    """

    def __init__(self, earlier: Mapping[str, _ReadAt]) -> None:
        self.read_at: float | None = None
        self.otherwise = ""
        self.began = 0.0
        self._earlier = earlier
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

    def absorb(self, others: TurnCauses) -> None:
        """Takes what was read since: the turn goes on with what an earlier one left."""
        self._summary = ""
        self._more += others._more
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
        self.current = TurnCauses(self._nodes)
        self._next = TurnCauses(self._nodes)

    def read(
        self,
        kind: Kind,
        key: ObjectKey,
        read_at: float,
        service: ObjectKey | None = None,
        gone: bool = False,
    ) -> None:
        """An object was read, or is gone; `service` is the one of an EndpointSlice."""
        read = _Read(kind, key, gone)
        if kind is Kind.NODE:
            self._nodes.pop(key.name, None)
            self._nodes[key.name] = _ReadAt(read, read_at)
            if len(self._nodes) > _MAX_REMEMBERED:
                del self._nodes[next(iter(self._nodes))]
            self._next.add(read, read_at, nodes=(key.name,))
        elif kind is Kind.SERVICE:
            self._next.add(read, read_at, services=(key,))
        else:
            self._next.add(read, read_at, services=() if service is None else (service,))

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


def _few(causes: list[_Read | str] | list[str], more: int) -> str:
    """The first few causes, and how many more there are."""
    more += max(0, len(causes) - _MAX_NAMED)
    text = ", ".join(map(str, causes[:_MAX_NAMED]))
    return f"{text} and {more} more" if more else text
