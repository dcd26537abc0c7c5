"""What is wrong, ranked by the Services that it costs, each with what mends it.

A value for `status`, the page and scripts: the reasons are a fixed list, the sentences are for
people.
"""

from __future__ import annotations

import enum
import itertools
import shlex
from collections.abc import Iterable, Sequence

from msgspec import Struct

from porter_ryu.domain.model import ObjectKey
from porter_ryu.domain.text import counted, printable
from porter_ryu.domain.verdict import Reason

MAX_OBJECTS = 10
_MAX_WHAT_CHARACTERS = 1_000


class ProblemReason(enum.Enum):
    """What is wrong, beside the reasons of Services (`verdict.Reason`); the texts are public API.
    Of problems that cost equally many Services, the order here is that of their weight."""

    STOPPED = "Stopped"
    NOT_READY = "NotReady"
    SOURCE_UNREADABLE = "SourceUnreadable"
    ROUTES_KEPT = "RoutesKept"
    SESSION_DOWN = "SessionDown"
    BFD_DOWN = "BfdDown"
    SWITCH_NOT_FILLED = "SwitchNotFilled"
    NOT_SENT = "NotSent"
    NOT_RECORDED = "NotRecorded"
    TASK_FAULT = "TaskFault"
    NODES_DOUBTED = "NodesDoubted"
    PROBES_DOUBTED = "ProbesDoubted"
    LEADER_UNKNOWN = "LeaderUnknown"
    NOT_BOUND = "NotBound"
    CONFIGURATION_NOT_LOADED = "ConfigurationNotLoaded"
    STATE_DIR_UNWRITABLE = "StateDirUnwritable"
    FILE_UNREADABLE = "FileUnreadable"
    EIP_NOT_SERVING = "EipNotServing"
    EIP_PROBLEM = "EipProblem"
    OBJECT_UNREADABLE = "ObjectUnreadable"
    NODE_DEAD = "NodeDead"


class Problem(Struct, frozen=True):
    """One thing that is wrong: a sentence, its reason, how many Services it costs (they cannot be
    reached), the first names of what it is about, a command or a sentence that mends it, why,
    without saying how many Services that costs, how many it will cost if nothing is done, and how
    many things it is about."""

    what: str
    reason: Reason | ProblemReason
    services: int
    objects: tuple[str, ...]
    mend: str
    why: str
    at_risk: int
    total: int


_OF_SERVICES: dict[Reason | ProblemReason, str] = {
    Reason.NO_READY_ENDPOINTS: "no ready endpoint",
    Reason.NO_USABLE_NODE: "no node that may be a next hop",
    Reason.NO_POOL: "no Eip for it",
    Reason.POOL_EXHAUSTED: "every Eip that it may use is full",
    Reason.POOL_DISABLED: "its Eip is disabled",
    Reason.NOT_ALLOWED: "its Eip does not admit it",
    Reason.ADDRESS_NOT_IN_POOL: "the address that it asks for is in no Eip",
    Reason.ADDRESS_IN_USE: "the address that it asks for is in use",
    Reason.INVALID_REQUEST: "its request cannot be read",
    Reason.FAMILY_UNAVAILABLE: "no Eip has an address of its family",
    Reason.RECORD_UNKNOWN: "the record of another Service cannot be read",
    Reason.NO_ADDRESS: "no address",
    Reason.UNREADABLE: "no good form of the Service is known",
    ProblemReason.NOT_RECORDED: "its address is not recorded in its status yet",
    ProblemReason.NOT_SENT: "no peer was sent it",
}


def in_a_word(reason: Reason | ProblemReason) -> str:
    """Why a Service cannot be reached, in a few words."""
    return _OF_SERVICES.get(reason) or str(reason.value)


def of_services(
    reason: Reason | ProblemReason,
    of: str,
    count: int,
    first: Sequence[ObjectKey],
    mend: str,
) -> Problem:
    """So many Services cannot be reached for one reason; `of` is that in more words, empty for
    none, `first` are the first of them, and `mend` mends the first one."""
    why = printable(of, _MAX_WHAT_CHARACTERS) or in_a_word(reason)
    what = f"{counted(count, 'Service')} cannot be reached: {why}"
    return Problem(what, reason, count, named(map(str, first)), mend, why, 0, count)


def problem(
    reason: ProblemReason,
    what: str,
    mend: str,
    objects: Sequence[str] = (),
    services: int = 0,
    at_risk: int = 0,
    total: int = 0,
) -> Problem:
    """A problem of another kind; `what` may have text from outside.  It is about `total` things, if
    `objects` are the first of more."""
    text, total = printable(what, _MAX_WHAT_CHARACTERS), max(total, len(objects))
    return Problem(text, reason, services, named(objects), mend, text, at_risk, total)


def named(objects: Iterable[str]) -> tuple[str, ...]:
    """The first names, printable."""
    return tuple(printable(name, 300) for name in itertools.islice(objects, MAX_OBJECTS))


def quoted(name: str) -> str:
    """A name from outside as one word of a command."""
    return shlex.quote(printable(name, 300))


def ranked(problems: Iterable[Problem]) -> list[Problem]:
    """Those that cost the most Services, or will if nothing is done, first."""
    weights = {reason: weight for weight, reason in enumerate([*Reason, *ProblemReason])}
    return sorted(problems, key=lambda p: (-max(p.services, p.at_risk), weights[p.reason]))


def summary(problems: Sequence[Problem], total: int, unreachable: int, well: str) -> str:
    """One sentence about ranked problems: what hurts most, or `well`.  Of `total` Services so many
    are `unreachable`."""
    if not problems:
        return f"all is well: {well}"
    worst = problems[0]
    if worst.reason is ProblemReason.STOPPED:
        return worst.what
    if unreachable:
        first = max(problems, key=lambda p: p.services)
        some = "" if first.services >= unreachable else f", {first.services:,} of them"
        text = f"{unreachable:,} of {total:,} Services cannot be reached{some}: {first.why}"
        besides = [worst.what] if worst.at_risk else []
        besides += [p.what for p in problems if p.reason is ProblemReason.NOT_READY]
        return "; ".join((text, *besides))
    more = f", and {counted(len(problems) - 1, 'more problem')}" if len(problems) > 1 else ""
    return f"{worst.what}{more}; {well}"
