"""Which peers would carry the addresses of a Service.

Where a Service was not sent, a session that is down is the cause only if it would carry it.
"""

from __future__ import annotations

from typing import NamedTuple

from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Family
from porter_ryu.domain.planner import Planner


class Carrier(NamedTuple):
    """A peer, by name, and the family of an address that it would be sent."""

    peer: str
    family: Family


class Carriers:
    """Answers for the Services of one report: those with the same next hops are asked for once."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._families = {terms.name: terms.families for terms in planner.sending.terms}
        self._known: dict[tuple[Announcements, Family], frozenset[Carrier]] = {}

    def of(self, decision: Decision) -> frozenset[Carrier]:
        """The configured peers that are to be sent an address of a Service, itself or as part of
        an aggregate, whether their sessions are up or not."""
        found: frozenset[Carrier] = frozenset()
        for held in decision.outcome.held:
            family = Family(held.address.version)
            found |= self._of(self._planner.announcements(held.address), family)
        return found

    def _of(self, announcements: Announcements, family: Family) -> frozenset[Carrier]:
        known = self._known.get((announcements, family))
        if known is None:
            known = self._known[announcements, family] = frozenset(
                Carrier(name, family)
                for path in announcements
                for _, names in self._planner.sending.of(path)
                for name in names
                if family in self._families[name]
            )
        return known
