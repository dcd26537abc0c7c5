"""What was decided for one Service, and what its status says of it."""

from __future__ import annotations

from dataclasses import dataclass

from porter_ryu.domain.addresses.allocator import Outcome
from porter_ryu.domain.model import Condition, Reason, Refusal, Service, ServiceStatus

_ALLOCATED = "porter.kubesphere.io/Allocated"
_ANNOUNCED = "porter.kubesphere.io/Announced"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one Service.

    `announced` is None without an address or without BGP, else the reason and its sentence.
    """

    service: Service
    outcome: Outcome
    announced: Refusal | None

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
        text = ", ".join(f"{held.address} from Eip {held.eip}" for held in outcome.held)
        conditions = [Condition(_ALLOCATED, True, Reason.ALLOCATED.value, text)]
    else:
        refusal = outcome.refusal
        conditions = [Condition(_ALLOCATED, False, refusal.reason.value, refusal.message)]
    if announced is not None:
        up = announced.reason is Reason.ANNOUNCED
        conditions.append(Condition(_ANNOUNCED, up, announced.reason.value, announced.message))
    moved = outcome.lost.message if outcome.lost is not None else ""
    return ServiceStatus(tuple(held.address for held in outcome.held), tuple(conditions), moved)
