"""What was decided for one Service, and what its status says of it."""

from __future__ import annotations

from dataclasses import dataclass

from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.model import Condition, Service, ServiceStatus
from porter_ryu.domain.text import printable
from porter_ryu.domain.verdict import Reason, ServiceVerdict, Verdict

_ALLOCATED = "porter.kubesphere.io/Allocated"
_ANNOUNCED = "porter.kubesphere.io/Announced"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one Service.

    `announced` is None without BGP, and of a Service that could never be read.
    `unreadable` says why the Service cannot be read now, where this is of its last good form.
    """

    service: Service
    outcome: Outcome
    announced: ServiceVerdict | None
    unreadable: str = ""

    @property
    def verdict(self) -> ServiceVerdict:
        """What tells most about it: what stands in its way, else that it works."""
        if self.announced is None or not self.outcome.verdict.ok:
            return self.outcome.verdict
        return self.announced

    @property
    def state(self) -> str:
        """The reason of its verdict, as text."""
        return self.verdict.reason.value


def service_status(decision: Decision) -> ServiceStatus:
    """What status should say for a decision."""
    outcome, announced = decision.outcome, decision.announced
    conditions = [_condition(_ALLOCATED, outcome.verdict)]
    if announced is not None:
        conditions.append(_condition(_ANNOUNCED, announced))
    moved = outcome.lost.message if outcome.lost is not None else ""
    return ServiceStatus(tuple(held.address for held in outcome.held), tuple(conditions), moved)


def _condition(kind: str, verdict: ServiceVerdict) -> Condition:
    return Condition(kind, verdict.ok, verdict.reason.value, verdict.message)


def of_unread(service: Service, held: tuple[Held, ...], why: str) -> Decision:
    """The decision about a Service that could never be read: it keeps what is on record."""
    kept = "what is on record stays reserved for it" if held else "nothing is on record for it"
    text = f"it cannot be read ({printable(why, 200)}): {kept}"
    return Decision(service, Outcome(held, Verdict(False, Reason.UNREADABLE, text)), None)
