"""What was decided for one Service, and what its status says of it."""

from __future__ import annotations

from dataclasses import dataclass

from porter_ryu.domain.addresses.allocator import Held, Outcome
from porter_ryu.domain.model import Condition, Service, ServiceStatus
from porter_ryu.domain.text import printable
from porter_ryu.domain.verdict import Reason, ServiceVerdict, Verdict

_ALLOCATED = "porter.kubesphere.io/Allocated"
_ANNOUNCED = "porter.kubesphere.io/Announced"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one Service.

    `announced` is None without an address or without BGP, else the reason and its sentence.
    `unreadable` says why the Service cannot be read now, where this is of its last good form.
    """

    service: Service
    outcome: Outcome
    announced: ServiceVerdict | None
    unreadable: str = ""

    @property
    def state(self) -> str:
        """The reason that tells most about it: what stands in its way, else that it works."""
        if self.outcome.refusal is not None:
            return self.outcome.refusal.reason.value
        if self.announced is not None:
            return self.announced.reason.value
        return Reason.ALLOCATED.value


def service_status(decision: Decision) -> ServiceStatus:
    """What status should say for a decision."""
    outcome, announced = decision.outcome, decision.announced
    if outcome.refusal is None:
        text = ", ".join(map(_whence, outcome.held))
        if decision.service.deleting:
            text += "; it is being deleted, keeps that until it is gone, and gets no other"
        conditions = [Condition(_ALLOCATED, True, Reason.ALLOCATED.value, text)]
    else:
        refusal = outcome.refusal
        conditions = [Condition(_ALLOCATED, False, refusal.reason.value, refusal.message)]
    if announced is not None:
        conditions.append(
            Condition(_ANNOUNCED, announced.ok, announced.reason.value, announced.message)
        )
    moved = outcome.lost.message if outcome.lost is not None else ""
    return ServiceStatus(tuple(held.address for held in outcome.held), tuple(conditions), moved)


def _whence(held: Held) -> str:
    if held.eip:
        return f"{held.address} from Eip {held.eip}"
    return f"{held.address}, kept because an Eip cannot be read"


def of_unread(service: Service, held: tuple[Held, ...], why: str) -> Decision:
    """The decision about a Service that could never be read: it keeps what is on record."""
    kept = "what is on record stays reserved for it" if held else "nothing is on record for it"
    refusal = Verdict(
        False, Reason.UNREADABLE, f"it cannot be read ({printable(why, 200)}): {kept}"
    )
    return Decision(service, Outcome(held, refusal), None)
