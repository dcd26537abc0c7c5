"""What an Event tells of an object when its status was written: a condition's reason is another,
or its addresses are."""

from __future__ import annotations

from typing import NamedTuple

from porter_ryu.domain.model import ObjectStatus, ServiceStatus


class News(NamedTuple):
    """A change that is worth an Event: `warning` if something is wrong."""

    warning: bool
    reason: str
    message: str


def news(before: ObjectStatus | None, after: ObjectStatus) -> list[News]:
    """What is new in a status; `before` is None where there was none."""
    reasons = {c.type: c.reason for c in before.conditions} if before is not None else {}
    found = [
        News(not condition.status, condition.reason, condition.message)
        for condition in after.conditions
        if reasons.get(condition.type) != condition.reason
    ]
    if isinstance(after, ServiceStatus) and after.address_change:
        found.insert(0, News(True, "AddressChanged", after.address_change))
    return found
