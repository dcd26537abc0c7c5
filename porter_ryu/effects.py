"""The order in which the result of a turn is applied.

A new address is recorded in status, then bound, then announced.  An address that goes is withdrawn,
then unbound, then removed from status.  A change of an existing announcement waits for neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Kind, Network, ObjectKey
from porter_ryu.domain.ports import BindingTarget, RouteTarget, StatusTarget
from porter_ryu.domain.turn import Turn
from porter_ryu.leadership import Leadership


class Effects:
    """Gives the targets what a turn wants; each target knows its present state itself."""

    def __init__(
        self,
        routes: Sequence[RouteTarget],
        bindings: BindingTarget,
        status: StatusTarget,
        leadership: Leadership,
    ) -> None:
        self._routes = routes
        self._bindings = bindings
        self._status = status
        self._leadership = leadership
        self._routes_complete = self._bindings_complete = False

    def apply(self, turn: Turn, read_at: float | None) -> None:
        """Applies a turn; `read_at` is time.monotonic() when its oldest cause was read."""
        wanted = {ip_network(address): route for address, route in turn.routes.items()}
        announced = {prefix: route.announcements for prefix, route in wanted.items()}
        bound = {prefix for prefix, route in wanted.items() if route.bound}
        binds = self._leadership.binds
        to_bind = bound if binds else set()
        new = [self._update(target, announced, read_at) for target in self._routes]
        if binds is not None:
            self._bindings.unbind(frozenset(wanted.keys() - to_bind))
        self._write(turn)
        self._bindings.bind(frozenset(to_bind))
        for target, routes in zip(self._routes, new, strict=True):
            if routes:
                target.set_routes(routes, read_at)

    def complete(self) -> None:
        """All that was read is applied: targets may remove what is left of an earlier run."""
        if not self._routes_complete:
            for target in self._routes:
                target.complete()
            self._routes_complete = True
        if not self._bindings_complete and self._leadership.binds is not None:
            self._bindings.complete()
            self._bindings_complete = True

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """An object is gone: its pending write is dropped."""
        self._status.forget(kind, key)

    @staticmethod
    def _update(
        target: RouteTarget, announced: dict[Network, Announcements], read_at: float | None
    ) -> dict[Network, Announcements]:
        """Sets the prefixes that a target announces already; returns those to announce newly."""
        known = {p: paths for p, paths in announced.items() if target.announces(p)}
        if known:
            target.set_routes(known, read_at)
        return {p: paths for p, paths in announced.items() if paths and p not in known}

    def _write(self, turn: Turn) -> None:
        if not self._leadership.leads:
            return
        for obj, status in turn.statuses:
            self._status.want(obj, status)
