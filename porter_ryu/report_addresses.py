"""Who has an address, as JSON and text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from porter_ryu.domain.address_states import address_standing
from porter_ryu.domain.model import Address, ObjectKey
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import shortened

Json = dict[str, Any]

_MAX_TEXT_CHARACTERS = 1_000


def address(planner: Planner, wanted: Address, give_way: Callable[[], None]) -> Json:
    """Who has an address, or whether it is free."""
    found = address_standing(planner, wanted, give_way)
    return {
        "address": str(wanted),
        "state": found.verdict.reason.value,
        "free": found.verdict.ok,
        "why": shortened(found.verdict.message, _MAX_TEXT_CHARACTERS),
        "eip": found.eip or None,
        "holders": [_name(key) for key in found.holders],
        "recorded": [_name(key) for key in found.recorded],
        "foreign": [_name(key) for key in found.foreign],
        "claimants": [_name(key) for key in found.claimants],
        "owners": list(found.owners),
    }


def _name(key: ObjectKey) -> Json:
    return {"namespace": key.namespace, "name": key.name}
