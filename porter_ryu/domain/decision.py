"""The decision about one Service, and the status that follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.model import Address, Condition, Service, ServiceStatus
from porter_ryu.domain.text import MAX_MESSAGE_CHARACTERS, printable
from porter_ryu.domain.verdict import Reason, ServiceVerdict, Verdict

_ALLOCATED = "porter.kubesphere.io/Allocated"
_ANNOUNCED = "porter.kubesphere.io/Announced"
_MAX_REFUSED_CHARACTERS = 500


class Decision(Struct, frozen=True, gc=False):
    """What was decided for one Service.

    `announced` is None without BGP, and for a Service that was never readable.  `unreadable` says
    why the Service cannot be read now; the decision is then about its last good form.
    `refused_communities` says which communities it may not add, and why.
    """

    service: Service
    outcome: Outcome
    announced: ServiceVerdict | None
    unreadable: str = ""
    refused_communities: str = ""

    @property
    def verdict(self) -> ServiceVerdict:
        """Whether it is announced, or, before it has its addresses and without BGP, whether it has
        them."""
        if self.announced is None or not self.outcome.verdict.ok:
            return self.outcome.verdict
        return self.announced

    @property
    def state(self) -> str:
        """The reason of its verdict, as text."""
        return self.verdict.reason.value


def service_status(decision: Decision, recorded: Sequence[Address]) -> ServiceStatus:
    """The wanted status for a decision; `recorded` are the addresses in status now."""
    outcome, announced = decision.outcome, decision.announced
    conditions = [_condition(_ALLOCATED, outcome.verdict)]
    refused = ""
    if announced is not None:
        refused = printable(decision.refused_communities, _MAX_REFUSED_CHARACTERS)
        if refused:  # the whole of it: by this text it is known whether it was reported before
            room = MAX_MESSAGE_CHARACTERS - len(refused) - len("; ")
            message = f"{printable(announced.message, room)}; {refused}"
            announced = replace(announced, message=message)
        conditions.append(_condition(_ANNOUNCED, announced))
    addresses = tuple(held.address for held in outcome.held)
    address_change = _address_change(recorded, addresses, outcome.lost)
    return ServiceStatus(
        addresses, tuple(conditions), address_change=address_change, refused_communities=refused
    )


def _address_change(
    before: Sequence[Address], now: Sequence[Address], lost: ServiceVerdict | None
) -> str:
    """Which addresses a Service loses, what it has instead, and why; empty where it keeps all."""
    gone = ", ".join(str(address) for address in before if address not in now)
    if not gone:
        return ""
    why = f": {lost.message}" if lost is not None else ""
    return f"from {gone} to {', '.join(map(str, now)) or 'no address'}{why}"


def _condition(kind: str, verdict: ServiceVerdict) -> Condition:
    message = printable(verdict.message, MAX_MESSAGE_CHARACTERS)
    return Condition(kind, verdict.ok, verdict.reason.value, message)


def unreadable_decision(
    service: Service, held: tuple[Held, ...], why: str, record_unread: bool = False
) -> Decision:
    """The decision about a Service that was never readable: it keeps the addresses on record."""
    record = "its record stays reserved" if held else "it has no record"
    if record_unread:
        addresses = ", ".join(str(entry.address) for entry in held)
        kept = f"{addresses} stays reserved, which may be its address" if held else "none is known"
        record = f"its record cannot be read, and {kept}"
    text = f"it cannot be read ({printable(why, 200)}): {record}"
    return Decision(service, Outcome(held, Verdict(False, Reason.UNREADABLE, text)), None)
