"""The Services that cannot be reached, each counted once, under its first cause: its own reason,
what cannot be read of it, or the peers that would carry it and have no session; and those that are
reached only because a peer keeps their routes without a session."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Sequence, Set
from typing import NamedTuple

from msgspec import Struct, field

from porter_ryu.domain import problems
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.problems import Problem, ProblemReason
from porter_ryu.domain.reach import IsSent, is_recorded, was_sent
from porter_ryu.domain.service_mending import of_record, of_service
from porter_ryu.domain.verdict import Reason
from porter_ryu.report_unsent import NotSent, UnsentServices

_MAX_CAUSES = 5  # of one reason; the Services of further ones are told together
# their messages name what is to be mended: an Eip, or the nodes
_TOLD_APART = (
    Reason.NO_POOL,
    Reason.POOL_EXHAUSTED,
    Reason.POOL_DISABLED,
    Reason.FAMILY_UNAVAILABLE,
    Reason.NO_USABLE_NODE,
)
# they are problems of their own, with the Services that they cost
_TOLD_ELSEWHERE = (
    ProblemReason.SESSION_DOWN,
    ProblemReason.FILE_UNREADABLE,
    ProblemReason.OBJECT_UNREADABLE,
)


class Cause(NamedTuple):
    """Why Services cannot be reached: the reason, and what tells it from others with this reason:
    of SESSION_DOWN the names of the peers, else a sentence; empty where nothing does."""

    reason: Reason | ProblemReason
    of: str = ""
    peers: tuple[str, ...] = ()


class Loss(Struct):
    """How many Services a cause costs, and the first of them."""

    count: int = 0
    first: list[ObjectKey] = field(default_factory=list)

    def add(self, count: int, keys: Sequence[ObjectKey]) -> None:
        """More Services have the same cause."""
        self.count += count
        self.first += keys[: problems.MAX_OBJECTS - len(self.first)]


class Tally(Struct):
    """The Services by their state, those that cannot be reached by their cause, and those that are
    reached only because peers keep their routes, by the names of these."""

    states: collections.Counter[str] = field(default_factory=collections.Counter)
    lost: dict[Cause, Loss] = field(default_factory=dict)
    kept: dict[tuple[str, ...], Loss] = field(default_factory=dict)

    @property
    def unreachable(self) -> int:
        """How many Services cannot be reached."""
        return sum(loss.count for loss in self.lost.values())

    @property
    def at_risk(self) -> int:
        """How many Services are reached only because peers keep their routes."""
        return sum(loss.count for loss in self.kept.values())

    def of_peers(self) -> dict[frozenset[str], int]:
        """How many Services cannot be reached because some peers have no session: sets of peers
        without one in common."""
        found: dict[frozenset[str], int] = {}
        for cause, loss in self.lost.items():
            if cause.reason is not ProblemReason.SESSION_DOWN:
                continue
            joined, count = frozenset(cause.peers), loss.count
            for names in [names for names in found if names & joined]:
                joined, count = joined | names, count + found.pop(names)
            found[joined] = count
        return found

    def of(self, reason: ProblemReason) -> int:
        """How many Services cannot be reached for a reason."""
        return sum(loss.count for cause, loss in self.lost.items() if cause.reason is reason)

    @property
    def unsent(self) -> int:
        """How many Services cannot be reached only because nobody was sent them."""
        return self.of(ProblemReason.SESSION_DOWN) + self.of(ProblemReason.NOT_SENT)

    def problems(self, planner: Planner, unsent: UnsentServices, now: float) -> Iterator[Problem]:
        """A problem for each cause that is not one by itself; `now` as for `mend`."""
        for (reason, of, _), loss in _few(self.lost).items():
            if reason not in _TOLD_ELSEWHERE:
                first = planner.decisions.get(loss.first[0])
                told = "" if first is None else mend(planner, first, unsent, now)
                told = told or f"porter-ryu explain {problems.quoted(str(loss.first[0]))}"
                yield problems.of_services(reason, of, loss.count, loss.first, told)


def tally(
    planner: Planner,
    unsent: UnsentServices,
    is_sent: IsSent,
    give_way: Callable[[], None],
    of_files: Set[str],
) -> Tally:
    """Counts the Services; `of_files` is why objects cannot be read whose file cannot be."""
    found = Tally()
    for key in sorted(planner.decisions):
        give_way()
        decision = planner.decisions.get(key)
        if decision is None:
            continue
        cause = _why_lost(planner, decision, is_sent, of_files)
        if cause is not None and cause.reason is ProblemReason.NOT_SENT:
            found.states[Reason.ALLOCATED.value] += 1
            keepers = unsent.kept(decision).peers
            if keepers:
                found.kept.setdefault(keepers, Loss()).add(1, [key])
                continue
            cause = _why_not_sent(unsent.why(decision))
        elif cause is not None and cause.reason is ProblemReason.NOT_RECORDED:
            found.states[Reason.ALLOCATED.value] += 1
        else:
            found.states[decision.state] += 1
        if cause is not None:
            found.lost.setdefault(cause, Loss()).add(1, [key])
    return found


def mend(planner: Planner, decision: Decision, unsent: UnsentServices, now: float) -> str:
    """What mends it that a Service is not announced; empty where `explain` says all that is known.
    `now` is of the clock of the turns, in seconds."""
    if not decision.verdict.ok:
        return of_service(planner, decision, now)
    if not is_recorded(decision):
        return of_record(planner)
    return unsent.why(decision).mend if decision.announced is not None else ""


def _why_lost(
    planner: Planner, decision: Decision, is_sent: IsSent, of_files: Set[str]
) -> Cause | None:
    """Why a Service cannot be reached; None if it can, as far as this program knows."""
    verdict = decision.verdict
    if verdict.reason is Reason.UNREADABLE:
        why = planner.cluster.why_unreadable(Kind.SERVICE, decision.service.key)
        if why:
            in_file = why in of_files
            return Cause(
                ProblemReason.FILE_UNREADABLE if in_file else ProblemReason.OBJECT_UNREADABLE
            )
    if not verdict.ok:
        told_apart = verdict.reason in _TOLD_APART
        return Cause(verdict.reason, verdict.message if told_apart else "")
    if not is_recorded(decision):
        return Cause(ProblemReason.NOT_RECORDED)
    if decision.announced is None or was_sent(planner, decision, is_sent):
        return None
    return Cause(ProblemReason.NOT_SENT)


def _why_not_sent(why: NotSent) -> Cause:
    if why.peers:
        return Cause(ProblemReason.SESSION_DOWN, peers=why.peers)
    return Cause(ProblemReason.NOT_SENT, why.text)


def _few(lost: dict[Cause, Loss]) -> dict[Cause, Loss]:
    """The causes with the most Services of each reason, and one for all others of it."""
    found: dict[Cause, Loss] = {}
    kept: collections.Counter[Reason | ProblemReason] = collections.Counter()
    for cause, loss in sorted(lost.items(), key=lambda entry: -entry[1].count):
        kept[cause.reason] += 1
        told = cause if kept[cause.reason] <= _MAX_CAUSES else Cause(cause.reason)
        found.setdefault(told, Loss()).add(loss.count, loss.first)
    return found
