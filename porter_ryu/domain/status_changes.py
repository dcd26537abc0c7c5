"""The changes of a status that are reported as Events: another reason of a condition, other
addresses of a Service, or communities that it may not add."""

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
    if not isinstance(after, ServiceStatus):
        return changes
    refused = after.refused_communities
    known = (c.message for c in before.conditions) if before is not None else ()
    if refused and not any(refused in message for message in known):
        changes.append(StatusChange(True, "CommunityNotAllowed", refused))
    if after.address_change:
        changes.insert(0, StatusChange(True, "AddressChanged", after.address_change))
    return changes
