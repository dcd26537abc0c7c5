"""The order in which the result of a turn is applied.

A new address is recorded in status, then bound, then announced.  An address that goes is withdrawn,
then unbound, then removed from status.  A change of an existing announcement waits for neither.
What takes the place of a prefix, an aggregate or the addresses in it, is announced before that is
withdrawn, from all peers or from some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from ipaddress import ip_network

from porter_ryu.domain.announcement import Announcements, Route
from porter_ryu.domain.model import Kind, Network, ObjectKey
from porter_ryu.domain.ports import AddressTarget, BindingTarget, RouteTarget, StatusTarget
from porter_ryu.domain.prefix import host_prefix
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
        addresses: Sequence[AddressTarget] = (),
    ) -> None:
        self._routes = routes
        self._addresses = addresses
        self._bindings = bindings
        self._status = status
        self._leadership = leadership
        self._routes_complete = self._bindings_complete = False

    def apply(self, turn: Turn, read_at: float | None) -> None:
        """Applies a turn; `read_at` is time.monotonic() when its oldest cause was read."""
        wanted = {host_prefix(address): route for address, route in turn.routes.items()}
        announced = dict(turn.aggregates)
        for prefix, route in wanted.items():
            announced[prefix] = route.announcements
        bound = {prefix for prefix, route in wanted.items() if route.bound}
        binds = self._leadership.binds
        to_bind = bound if binds else set()
        new = [
            self._update(target, announced, wanted, turn.aggregates, read_at)
            for target in self._routes
        ]
        new_addresses = [self._update_known(each, wanted, read_at) for each in self._addresses]
        if binds is not None:
            self._bindings.unbind(frozenset(wanted.keys() - to_bind))
        self._write(turn)
        self._bindings.bind(frozenset(to_bind))
        for target, routes in zip(self._routes, new, strict=True):
            if routes:
                target.set_routes(routes, read_at)
        for forwarder, added in zip(self._addresses, new_addresses, strict=True):
            if added:
                forwarder.set_addresses(added, read_at)

    def complete(self) -> None:
        """All that was read is applied: targets may remove what is left of an earlier run."""
        if not self._routes_complete:
            for target in self._routes:
                target.complete()
            for forwarder in self._addresses:
                forwarder.complete()
            self._routes_complete = True
        if not self._bindings_complete and self._leadership.binds is not None:
            self._bindings.complete()
            self._bindings_complete = True

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """An object is gone: its pending write is dropped."""
        self._status.forget(kind, key)

    @staticmethod
    def _update(
        target: RouteTarget,
        announced: Mapping[Network, Announcements],
        wanted: Mapping[Network, Route],
        aggregates: Mapping[Network, Announcements],
        read_at: float | None,
    ) -> dict[Network, Announcements]:
        """Sets the prefixes that a target announces already; returns those to set later: new ones,
        then those that are sent after them."""
        known: dict[Network, Announcements] = {}
        new: dict[Network, Announcements] = {}
        for prefix, paths in announced.items():
            if target.announces(prefix):
                known[prefix] = paths
            elif paths:
                new[prefix] = paths
        last = _sent_last(wanted, aggregates, new.keys())
        for prefix in [p for p in known if p in last] if last else ():
            new[prefix] = known.pop(prefix)
        if known:
            target.set_routes(known, read_at)
        return new

    @staticmethod
    def _update_known(
        target: AddressTarget, wanted: Mapping[Network, Route], read_at: float | None
    ) -> dict[Network, Route]:
        """Sets the addresses that a target forwards already; returns those to set later."""
        known = {prefix: route for prefix, route in wanted.items() if target.forwards(prefix)}
        if known:
            target.set_addresses(known, read_at)
        return {p: route for p, route in wanted.items() if p not in known and route.bound}

    def _write(self, turn: Turn) -> None:
        if not self._leadership.leads:
            return
        for obj, status in turn.statuses:
            self._status.want(obj, status)


def _sent_last(
    wanted: Mapping[Network, Route], aggregates: Mapping[Network, Announcements], new: Set[Network]
) -> set[Network]:
    """The prefixes that are set together with what is `new`, because in one set of routes a peer
    gets announcements before withdrawals: those that others take the place of, for all peers or for
    some.  They are the addresses that an aggregate covers, and the aggregates that give way to
    their addresses or to other aggregates.
    """
    if not aggregates and not any(route.aggregates for route in wanted.values()):
        return set()  # no prefix takes the place of another
    last: set[Network] = set()
    gone = {prefix for prefix, paths in aggregates.items() if not paths}
    lengths = {(p.version, p.prefixlen) for p in (aggregates if new else gone)}
    for prefix, route in wanted.items():
        if not route.announcements and not route.aggregates:
            continue
        around = {prefix, *route.aggregates}
        around.update(
            ip_network((prefix.network_address, n), strict=False)
            for v, n in lengths
            if v == prefix.version
        )
        if not new.isdisjoint(around):
            last |= around
        elif route.announcements:
            last |= gone & around
        else:
            last.add(prefix)
    return last
