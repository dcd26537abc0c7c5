"""The role of this instance among several, and what it may do in it.

The leader assigns addresses and writes status.  If only the leader binds addresses, bindings stay
as they are while the role is not known: an instance unbinds only when it sees that another one
leads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from porter_ryu.domain.planner import Planner
from porter_ryu.domain.ports import Role, StatusTarget

LOG = logging.getLogger(__name__)


class Leadership:
    """What this instance may do now.

    `bind_only_leading`: only the leader binds addresses.  `on_change` is called when that changes,
    and a turn is due; `on_role` with the role before and after, when it changes.
    """

    def __init__(self, planner: Planner, status: StatusTarget, bind_only_leading: bool) -> None:
        self._planner = planner
        self._status = status
        self._bind_only_leading = bind_only_leading
        self._binds: bool | None = None if bind_only_leading else True
        self.on_change: Callable[[], None] = _do_nothing
        self.on_role: Callable[[Role, Role], None] = _ignore
        self._role = Role.UNKNOWN

    @property
    def role(self) -> Role:
        """The role of this instance by the Lease; UNKNOWN as well where there is none."""
        return self._role

    @property
    def leads(self) -> bool:
        """Whether this instance assigns addresses and writes status."""
        return self._planner.leading

    @property
    def binds(self) -> bool | None:
        """Whether this instance binds addresses; None while that is not known."""
        return self._binds

    def set_role(self, role: Role) -> None:
        """Sets the role of this instance."""
        before, self._role = self._role, role
        if role is not before:
            self.on_role(before, role)
        leads = role is Role.LEADER
        if self._bind_only_leading and role is not Role.UNKNOWN and leads != self._binds:
            self._binds = leads
            self._planner.resync()
            self.on_change()
        if leads != self.leads:
            LOG.info("this instance leads now" if leads else "this instance does not lead any more")
            self._planner.lead(leads)
            if not leads:
                self._status.drop()
            self.on_change()


def _do_nothing() -> None:
    """Until a reconciler runs, no turn can be due."""


def _ignore(_before: Role, _after: Role) -> None:
    """Until there is an observer."""
