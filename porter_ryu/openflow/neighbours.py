"""Where the next hops are, as one switch sees them: their MACs and ports, and which of them answer.

Each is asked every `probe_seconds`, at its port and MAC only, and everybody as soon as it does not
answer there: so a node that moved is found within one interval.  A node that misses two questions
in a row is dead, within a second by default.  Whether the loss of nodes is believed is decided as
for all probes (`domain.nodes.liveness`).

A node that stays silent is not asked for some seconds now and then.  A switch may remember a wrong
decision about its answers for as long as answers come: Open vSwitch forgets what no packet used for
10 seconds (`max-idle`), and its user-space datapath can keep a "drop" after its tables changed
(seen with 3.1.0).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from porter_ryu.domain.model import Address, Family
from porter_ryu.domain.nodes.liveness import Findings, Liveness, LivenessRule

_MISSES = 2
_LABEL = "the question for its MAC"
_UNKNOWN_EVERY = 4  # rounds between two questions for a node that never answered
_EAGER_ROUNDS = 5
_ASKED_SECONDS, _PAUSE_SECONDS = 20.0, 12.0  # how long a silent node is asked, and then is not


class Location(Struct, frozen=True):
    """The MAC of a node, and the port of the switch that leads to it."""

    mac: bytes
    port: int


class Question(Struct, frozen=True):
    """A question to send: for which address, and where (None: everybody)."""

    address: Address
    where: Location | None


class Neighbours:
    """The next hops of one switch; each `now` is of one monotonic clock, in seconds."""

    def __init__(self, probe_seconds: float, panic_percent: int) -> None:
        rule = LivenessRule(_MISSES, probe_seconds, probe_seconds / 2, panic_percent)
        self._liveness = {family: Liveness(rule) for family in Family}
        self._asked_rounds = max(_MISSES, math.ceil(_ASKED_SECONDS / probe_seconds))
        self._cycle_rounds = self._asked_rounds + math.ceil(_PAUSE_SECONDS / probe_seconds)
        self._locations: dict[Address, Location] = {}
        # since a next hop answered or was added, or its pause was cut short
        self._rounds: dict[Address, int] = {}
        self._cut_short: set[Address] = set()  # their next pause is whole
        self._awaited: set[Address] = set()
        self._changed = False

    @property
    def doubted(self) -> bool:
        """Whether so many nodes fell silent at once that their loss is not believed."""
        return any(liveness.doubted for liveness in self._liveness.values())

    @property
    def reachable(self) -> Mapping[Address, Location]:
        """The next hops that answer, and where they are."""
        return {a: where for a, where in self._locations.items() if not self.is_dead(a)}

    def is_reachable(self, address: Address) -> bool:
        """Whether a next hop answers."""
        return address in self._locations and not self.is_dead(address)

    @property
    def unresolved(self) -> Collection[Address]:
        """The next hops that never answered."""
        return self._rounds.keys() - self._locations.keys()

    def is_dead(self, address: Address) -> bool:
        """Whether a next hop does not answer any more."""
        return str(address) in self._liveness[Family(address.version)].dead

    def pop_changed(self, now: float) -> bool:
        """Whether `reachable` may have changed since the last call."""
        for liveness in self._liveness.values():
            self._changed |= bool(liveness.judge(now))
        changed, self._changed = self._changed, False
        return changed

    def set_targets(self, wanted: Collection[Address], now: float) -> None:
        """Sets the next hops; those that are new are asked in the next round."""
        for address in self._rounds.keys() - set(wanted):
            self._liveness[Family(address.version)].remove(str(address))
            self._locations.pop(address, None)
            self._awaited.discard(address)
            self._cut_short.discard(address)
            del self._rounds[address]
            self._changed = True
        for address in wanted:
            if address not in self._rounds:
                self._rounds[address] = 0
                self._add(address, None, now)

    def seed(self, address: Address, where: Location, now: float) -> None:
        """Where a next hop was when an earlier process asked it: it counts as there until it misses
        questions."""
        if address in self._rounds and address not in self._locations:
            self._locations[address] = where
            self._add(address, Findings(), now)
            self._changed = True

    def _add(self, address: Address, known: Findings | None, now: float) -> None:
        self._liveness[Family(address.version)].add(str(address), [_LABEL], known, now)

    def answered(self, address: Address, where: Location) -> None:
        """A next hop answered from there; any other address is ignored."""
        if address not in self._rounds:
            return
        self._rounds[address] = 0
        self._awaited.discard(address)
        self._cut_short.discard(address)
        self._liveness[Family(address.version)].answered(str(address), 0)
        if self._locations.get(address) != where:
            self._locations[address] = where
            self._changed = True

    def late(self, now: float) -> None:
        """Questions could not be sent or judged in time."""
        for liveness in self._liveness.values():
            liveness.was_late(now)

    def ask(self) -> Iterator[Question]:
        """Begins a round: what to ask now."""
        self._awaited.clear()
        for address, rounds in self._rounds.items():
            where = self._locations.get(address)
            self._rounds[address] = rounds + 1
            phase = rounds % self._cycle_rounds
            if phase >= self._asked_rounds:
                continue
            if rounds and not phase:
                self._cut_short.discard(address)
            if where is None:
                if _asks_unknown(phase):
                    yield Question(address, None)
                continue
            self._awaited.add(address)
            yield Question(address, None if self.is_dead(address) else where)

    def judge(self) -> Iterator[Question]:
        """Ends a round: whoever did not answer has missed it, and everybody is asked where it
        is."""
        for address in self._awaited:
            self._liveness[Family(address.version)].missed(str(address), 0, "no answer")
            yield Question(address, None)
        self._awaited.clear()

    def port_is_down(self, port: int) -> Iterator[Question]:
        """Nothing answers at a port any more: everybody is asked for those that were there."""
        for address, where in self._locations.items():
            if where.port == port:
                yield Question(address, None)

    def port_is_up(self) -> None:
        """A port has a link again: the next hops that are silent may be behind it, and are asked in
        the next round.  A pause is cut short only once, so that a port that comes and goes does not
        keep a switch from forgetting."""
        for address, rounds in self._rounds.items():
            phase = rounds % self._cycle_rounds
            due = phase  # the next round in which also one that never answered is asked
            while not _asks_unknown(due):
                due += 1
            if due < self._asked_rounds:
                self._rounds[address] = rounds - phase + due
            elif address not in self._cut_short:
                self._cut_short.add(address)
                self._rounds[address] = 0


def _asks_unknown(phase: int) -> bool:
    """Whether a next hop that never answered is asked in this round of those in which it may be."""
    return phase < _EAGER_ROUNDS or not phase % _UNKNOWN_EVERY
