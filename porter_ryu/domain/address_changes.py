"""Which Services hold other addresses than before a turn, and why."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, ObjectKey, Service
from porter_ryu.domain.text import MAX_MESSAGE_CHARACTERS, printable, shortened

Addresses = tuple[Address, ...]


class AddressChange(Struct, frozen=True, gc=False):
    """What a Service holds before and after, as texts: its addresses, or `no address` and the
    reason; empty: it was, or is, not ours or not there.  `addresses` are all of both, `held` those
    that it has now, `new` those of them that it had not, and `eips` the names of the Eips that any
    is from.  `why` says why it lost an address, lacks one, or is not ours; empty if none is so."""

    before: str
    after: str
    addresses: Addresses
    why: str = ""
    held: Addresses = ()
    new: Addresses = ()
    eips: tuple[str, ...] = ()


class AddressChanges:
    """Collects the changes of a turn.  `eip_of`: the Eip that has an address, None for none."""

    def __init__(self, eip_of: Callable[[Address], str | None]) -> None:
        self._eip_of = eip_of
        self._changes: dict[ObjectKey, AddressChange] = {}

    def note(
        self,
        key: ObjectKey,
        before: Decision | None,
        after: Decision | None,
        not_ours: str = "",
    ) -> None:
        """The decision about a Service was replaced; None: there was none, or is none any more,
        because of `not_ours`.  What a Service has on record when it is first seen is no change."""
        if before is not None and after is not None and _is_same(before.outcome, after.outcome):
            return
        if before is None and after is not None and _is_on_record(after):
            return
        had = _recorded(after) if before is None else _held(before.outcome)
        has = () if after is None else _held(after.outcome)
        old = _text(before.outcome) if before is not None else ", ".join(map(str, had))
        new = _text(after.outcome) if after is not None else ""
        why = shortened(not_ours, MAX_MESSAGE_CHARACTERS)
        if after is not None:
            why = after.outcome.lost.message if after.outcome.lost is not None else ""
            if not why and not after.outcome.verdict.ok:
                why = after.outcome.verdict.message
            if not why and before is None and had:
                why = self._asks_for(after.service, [a for a in had if a not in has])
        if old != new:
            addresses = tuple(dict.fromkeys((*had, *has)))
            given = tuple(address for address in has if address not in had)
            eips = dict.fromkeys(
                held.eip
                for decision in (before, after)
                if decision is not None
                for held in decision.outcome.held
            )
            self._changes[key] = AddressChange(old, new, addresses, why, has, given, tuple(eips))

    def _asks_for(self, service: Service, lost: list[Address]) -> str:
        """What a Service asks for, so that it does not have what is on record, of which it `lost`
        some; empty if that is not why."""
        if service.request is not None:
            return f"it asks for {printable(service.request.text)}"
        if service.pool is None or not lost:
            return ""
        is_other = {None, service.pool}.isdisjoint(map(self._eip_of, lost))
        return f"it asks for Eip {printable(service.pool)}" if is_other else ""

    def pop(self) -> dict[ObjectKey, AddressChange]:
        """The changes since the last call."""
        changes, self._changes = self._changes, {}
        return changes


def _held(outcome: Outcome) -> Addresses:
    return tuple(held.address for held in outcome.held)


def _recorded(decision: Decision | None) -> Addresses:
    return decision.service.ingress if decision is not None else ()


def _text(outcome: Outcome) -> str:
    if not outcome.held:
        return f"no address: {outcome.verdict.reason.value}"
    return ", ".join(str(held.address) for held in outcome.held)


def _is_same(before: Outcome, after: Outcome) -> bool:
    return before.held == after.held and before.verdict.reason is after.verdict.reason


def _is_on_record(decision: Decision) -> bool:
    """Whether the status of a Service says what was decided."""
    service, outcome = decision.service, decision.outcome
    if outcome.held:
        return service.ingress == _held(outcome)
    return not service.ingress and _says(service, outcome.verdict.reason.value)


def _says(service: Service, reason: str) -> bool:
    return any(condition.reason == reason for condition in service.conditions)
