"""The loop: what was touched is decided again, and the targets are told what is wanted.

There is one path for everything.  What adds runs record, binding, announcement; what takes away
runs the other way round; an endpoint change only touches an announcement and waits for nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_network

from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.backoff import Backoff
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Kind, Network, ObjectKey, Reading
from porter_ryu.domain.planner import Planner, Turn
from porter_ryu.domain.ports import BindingTarget, RouteTarget, Standing, StatusTarget
from porter_ryu.supervisor import Beat
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_HEARTBEAT = 1.0
_RETRY_FIRST, _RETRY_MOST = 0.1, 10.0


class Reconciler:
    """An Observer of the cluster that drives the targets; a target that is None is not there.

    `bind_only_leading`: bindings are for the instance that leads; while it is not known who does,
    they stay as they are.  `after_turn` is called after every turn, for who follows the cluster
    besides.
    """

    def __init__(
        self,
        planner: Planner,
        routes: RouteTarget | None,
        bindings: BindingTarget | None,
        status: StatusTarget | None,
        resync_seconds: float,
        bind_only_leading: bool,
    ) -> None:
        self.planner = planner
        self.synced = False
        self.lists_read = 0
        self.after_turn: Callable[[], None] = _nothing
        self._routes = routes
        self._bindings = bindings
        self._status = status
        self._resync_seconds = resync_seconds
        self._bind_only_leading = bind_only_leading
        self._binds: bool | None = None if bind_only_leading else True
        self._wake = hub.Event()
        self._announced: set[Network] = set()
        self._bound: set[Network] = set()
        self._bindings_complete = False
        self._oldest_read: float | None = None
        self._doubted = False
        self._retired = False
        self._slice = TimeSlice()
        self._beat: Beat = _nothing

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """A complete list of one kind (Observer)."""
        self.lists_read += 1
        self.planner.replace(kind, objects, self._give_way)
        self._touch(read_at)

    def put(self, obj: Reading, read_at: float) -> None:
        """One object is there or changed (Observer)."""
        self.planner.put(obj)
        self._touch(read_at)

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        """One object is gone (Observer)."""
        self.planner.remove(kind, key)
        if self._status is not None:
            self._status.forget(kind, key)
        self._touch(read_at)

    def lead(self, standing: Standing) -> None:
        """What is known of whether this instance assigns, writes and, by mode, binds."""
        if self._bind_only_leading and standing is not Standing.UNKNOWN:
            binds = standing is Standing.LEADS
            if binds != self._binds:
                self._binds = binds
                self.planner.resync()
                self._wake.set()
        leading = standing is Standing.LEADS
        if leading != self.planner.leading:
            LOG.info("this instance %s", "leads now" if leading else "does not lead any more")
            self.planner.lead(leading)
            if self._status is not None and not leading:
                self._status.drop()
            self._wake.set()

    def retire(self) -> None:
        """Decides nothing any more: alive, but not ready."""
        self._retired = True
        self.synced = False

    def run(self, beat: Beat) -> None:
        """Turns for ever: whatever breaks a turn is logged whole, and everything is looked at
        again with backoff."""
        self._beat = beat
        resync_at = time.monotonic() + self._resync_seconds
        backoff = Backoff(_RETRY_FIRST, _RETRY_MOST)
        while True:
            beat()
            self._wake.wait(timeout=self._patience())
            self._wake.clear()
            now = time.monotonic()
            if now >= resync_at:
                resync_at = now + self._resync_seconds
                self.planner.resync()
            try:
                self.turn()
                backoff.reset()
            except Exception:
                LOG.exception("a turn failed, and everything is looked at again")
                hub.sleep(backoff.next())
                self.planner.resync()
                self._wake.set()

    def _patience(self) -> float:
        """How long to wait for something to happen, in seconds."""
        due = self.planner.due
        return _HEARTBEAT if due is None else min(_HEARTBEAT, max(0.0, due - time.monotonic()))

    def turn(self) -> None:
        """Decides what was touched and applies it."""
        started = time.monotonic()
        due = self.planner.due
        waiting = self.planner.idle and (due is None or started < due)
        if self._retired or not self.planner.ready or (waiting and self.synced):
            return
        read_at, self._oldest_read = self._oldest_read, None
        turn = self.planner.turn(pause=self._give_way, now=started)
        self._alarm()
        self._apply(turn, read_at)
        for text in turn.oddities:
            LOG.warning("%s", text)
        self.after_turn()
        self._complete()
        metrics.reconcile_seconds.observe(time.monotonic() - started)

    def _give_way(self) -> None:
        """A turn that takes long is no loop that stands still."""
        self._beat()
        self._slice()

    def _alarm(self) -> None:
        """Says when the loss of nodes begins, and ceases, to be doubted."""
        doubted = self.planner.doubted
        metrics.nodes_doubted.set(doubted)
        if doubted and not self._doubted:
            LOG.error(
                "ALARM: almost all nodes are lost at once: that is not believed, and they count "
                "as Ready as they were ([kubernetes] panic_percent)"
            )
        elif self._doubted and not doubted:
            LOG.warning("ALARM over: nodes are back, and their readiness is believed again")
        self._doubted = doubted

    def _touch(self, read_at: float) -> None:
        if self._oldest_read is None:
            self._oldest_read = read_at
        self._wake.set()

    def _apply(self, turn: Turn, read_at: float | None) -> None:
        routes = {ip_network(address): route for address, route in turn.routes.items()}
        known = {n: r.announcements for n, r in routes.items() if n in self._announced}
        new = {n: r.announcements for n, r in routes.items() if r.announcements and n not in known}
        self._announce(known, read_at)
        bound = {n for n, r in routes.items() if r.bound and self._binds}
        self._unbind((routes.keys() - bound) & self._bound)
        self._write(turn)
        self._bind(bound - self._bound)
        self._announce(new, read_at)

    def _announce(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        if self._routes is None or not routes:
            return
        self._routes.set_routes(routes, read_at)
        self._announced -= routes.keys()
        self._announced |= {network for network, paths in routes.items() if paths}

    def _bind(self, networks: set[Network]) -> None:
        if self._bindings is not None and networks:
            self._bindings.bind(frozenset(networks))
            self._bound |= networks

    def _unbind(self, networks: set[Network]) -> None:
        if self._bindings is not None and networks:
            self._bindings.unbind(frozenset(networks))
            self._bound -= networks

    def _write(self, turn: Turn) -> None:
        if self._status is None or not self.planner.leading:
            return
        for service, service_status in turn.services.values():
            self._status.want_service(service, service_status)
        for eip, eip_status in turn.eips.values():
            self._status.want_eip(eip, eip_status)

    def _complete(self) -> None:
        """Everything that was recorded before this start is wanted again."""
        if not self.synced and self._routes is not None:
            self._routes.complete()
        self.synced = True
        if not self._bindings_complete and self._binds is not None:
            self._bindings_complete = True
            if self._bindings is not None:
                self._bindings.complete()


def _nothing() -> None:
    """Where nobody follows a turn, or watches over it."""
