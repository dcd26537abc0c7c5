"""Who leads among several instances, and what follows from it for this one.

The instance that leads assigns addresses and writes status.  Where bindings are its task, too, they
stay as they are while it is not known who leads: only another instance that is seen to lead makes
this one let go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from porter_ryu.domain.planner import Planner
from porter_ryu.domain.ports import Role, StatusTarget

LOG = logging.getLogger(__name__)


class Leadership:
    """What this instance may do now.

    `bind_only_leading`: bindings are for the instance that leads.  `on_change` is called when
    something has to be decided or applied anew.
    """

    def __init__(self, planner: Planner, status: StatusTarget, bind_only_leading: bool) -> None:
        self._planner = planner
        self._status = status
        self._bind_only_leading = bind_only_leading
        self._binds: bool | None = None if bind_only_leading else True
        self.on_change: Callable[[], None] = _nobody_follows

    @property
    def leads(self) -> bool:
        """Whether this instance assigns addresses and writes status."""
        return self._planner.leading

    @property
    def binds(self) -> bool | None:
        """Whether bindings are for this instance; None while that is not known."""
        return self._binds

    def learn(self, role: Role) -> None:
        """Takes note of what is known of who leads."""
        leads = role is Role.LEADER
        if self._bind_only_leading and role is not Role.UNKNOWN and leads != self._binds:
            self._binds = leads
            self._planner.resync()
            self.on_change()
        if leads != self.leads:
            LOG.info("this instance %s", "leads now" if leads else "does not lead any more")
            self._planner.lead(leads)
            if not leads:
                self._status.drop()
            self.on_change()


def _nobody_follows() -> None:
    """Until a loop runs there is nobody to tell."""
