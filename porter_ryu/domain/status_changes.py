"""The changes of a status that are reported as Events: another reason of a condition, or other
addresses of a Service."""

from __future__ import annotations

from typing import NamedTuple

from porter_ryu.domain.model import ServiceStatus
from porter_ryu.domain.objects import ObjectStatus


class StatusChange(NamedTuple):
    """The type (Warning or Normal), reason and message of an Event."""

    warning: bool
    reason: str
    message: str


def status_changes(before: ObjectStatus | None, after: ObjectStatus) -> list[StatusChange]:
    """The changes from one status to the next; `before` is None where there was none."""
    reasons = {c.type: c.reason for c in before.conditions} if before is not None else {}
    changes = [
        StatusChange(not condition.status, condition.reason, condition.message)
        for condition in after.conditions
        if reasons.get(condition.type) != condition.reason
    ]
    if isinstance(after, ServiceStatus) and after.address_change:
        changes.insert(0, StatusChange(True, "AddressChanged", after.address_change))
    return changes
