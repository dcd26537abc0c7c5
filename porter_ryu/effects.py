"""The order in which a turn takes effect.

What adds runs record, binding, announcement: an address is bound and announced once it is recorded.
What takes away runs the other way round.  A change of what is announced already waits for neither.
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
    """Tells the targets what a turn wants of them; each knows itself what it has."""

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
        mine = bound if binds else set()
        new = [self._change(target, announced, read_at) for target in self._routes]
        if binds is not None:
            self._bindings.unbind(frozenset(wanted.keys() - mine))
        self._write(turn)
        self._bindings.bind(frozenset(mine))
        for target, routes in zip(self._routes, new, strict=True):
            if routes:
                target.set_routes(routes, read_at)

    def complete(self) -> None:
        """Everything known was applied: the targets may drop what an earlier run left."""
        if not self._routes_complete:
            self._routes_complete = True
            for target in self._routes:
                target.complete()
        if not self._bindings_complete and self._leadership.binds is not None:
            self._bindings_complete = True
            self._bindings.complete()

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """An object is gone: nothing is written to it any more."""
        self._status.forget(kind, key)

    @staticmethod
    def _change(
        target: RouteTarget, announced: dict[Network, Announcements], read_at: float | None
    ) -> dict[Network, Announcements]:
        """Sets what a target announces already; returns what it is to announce anew."""
        known = {p: paths for p, paths in announced.items() if target.announces(p)}
        if known:
            target.set_routes(known, read_at)
        return {p: paths for p, paths in announced.items() if paths and p not in known}

    def _write(self, turn: Turn) -> None:
        if not self._leadership.leads:
            return
        for obj, status in turn.statuses:
            self._status.want(obj, status)
