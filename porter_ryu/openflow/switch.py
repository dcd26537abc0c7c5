"""One switch: reads what it has, and keeps it as it should be until its connection ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from ryu.lib import hub

from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.text import listed
from porter_ryu.openflow import flows, forwarding, replies, wire
from porter_ryu.openflow.asking import Asking
from porter_ryu.openflow.config import OpenFlowSettings
from porter_ryu.openflow.connection import SwitchConnection
from porter_ryu.openflow.contents import Contents
from porter_ryu.openflow.counters import PacketCounts, Served
from porter_ryu.openflow.exchange import RequestRefusedError, SwitchGoneError
from porter_ryu.openflow.limits import Limits
from porter_ryu.openflow.neighbours import Neighbours
from porter_ryu.openflow.next_hop_sets import Wanted
from porter_ryu.openflow.plan import Plan
from porter_ryu.openflow.replies import FlowOnSwitch
from porter_ryu.openflow.report import SwitchHealth, SwitchReport
from porter_ryu.problem_log import ProblemLog
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_FIRST_ANSWERS_SECONDS = 0.1
_RETRY_SECONDS = 10.0
_AUDIT_SECONDS = 30.0
_COUNT_SECONDS = 5.0
_REFUSED_SHOWN = 10


class Switch:
    """A switch of ours.  `wanted` is what all addresses want; `touch` names those that changed.
    `ready` says whether all of them are known: before, the switch stays as it is.  `on_packets` is
    told what it sent."""

    def __init__(
        self,
        connection: SwitchConnection,
        settings: OpenFlowSettings,
        wanted: Mapping[Network, Wanted],
        ready: Callable[[], bool],
        on_packets: Callable[[Mapping[Served, int]], None],
        supervisor: Supervisor,
        limits: Limits,
    ) -> None:
        self.datapath = int(connection.id)
        self.connection = connection
        self._settings = settings
        self._wanted = wanted
        self._ready = ready
        self._on_packets = on_packets
        self._supervisor = supervisor
        self._name = f"switch {self.datapath:#x}"
        self._problems = ProblemLog(
            LOG, "%(subject)s: %(problem)s", "%(subject)s: over: %(problem)s"
        )
        self._contents = Contents(connection, limits.reply_octets, self._name, self._problems)
        self._exchange = self._contents.exchange
        self._neighbours = Neighbours(settings.probe_seconds, settings.panic_percent)
        self._wake = hub.Event()
        self._asking = Asking(
            connection, self._exchange, self._neighbours, settings, self._wake.set
        )
        self._plan: Plan | None = None
        self._counts = PacketCounts()
        self._touched: set[Network] = set()
        self._answered = hub.Event()
        self._withdrawing = False
        self._withdrawn = hub.Event()
        self._state = "reading"
        self._since = time.monotonic()
        self._give_way = TimeSlice()

    # -- what is told -----------------------------------------------------------------------------

    def touch(self, prefixes: Iterable[Network]) -> None:
        """What these addresses want has changed."""
        self._touched.update(prefixes)
        self._wake.set()

    def wake(self) -> None:
        """All addresses are known now."""
        self._wake.set()

    def received(self, kind: int, xid: int, body: bytes) -> None:
        """A message of the switch; raises ValueError if it cannot be read."""
        if kind == wire.PACKET_IN:
            self._take_answer(replies.packet_in(body))
        elif kind == wire.PORT_STATUS:
            self._asking.take_port(body)
        else:
            self._exchange.received(kind, xid, body)

    def withdraw(self) -> None:
        """Begins to remove what is ours, except the flow for the packets of others."""
        self._withdrawing = True
        self._wake.set()

    def wait_withdrawn(self, seconds: float) -> bool:
        """Waits so long at most until the switch has confirmed that; whether it has."""
        self._withdrawn.wait(timeout=seconds)
        return bool(self._withdrawn.is_set())

    def ended(self) -> None:
        """The connection ended."""
        self._exchange.ended()
        self._wake.set()
        self._answered.set()
        self._problems.update_all({})

    @property
    def up(self) -> bool:
        """Whether it has what it should have, except what it refuses."""
        return self._state == "filled"

    def health(self) -> SwitchHealth:
        """How it is now."""
        next_hops = self._plan.next_hops if self._plan is not None else set()
        silent = sum(not self._neighbours.is_reachable(address) for address in next_hops)
        return SwitchHealth(self.up, len(self._contents.refused), silent, self._neighbours.doubted)

    def hops(self, prefix: Network) -> tuple[Address, ...]:
        """The next hops of an address that the switch sends to now."""
        entry = self._wanted.get(prefix)
        if entry is None or not self.up:
            return ()
        is_reachable = self._neighbours.is_reachable
        sets = [found for found in (entry.hops, *(s for _, s in entry.ports)) if found is not None]
        found = {address for each in sets for address, _ in each.hops if is_reachable(address)}
        return tuple(sorted(found, key=lambda a: (a.version, int(a))))

    def report(self) -> SwitchReport:
        """Its state now."""
        reachable = self._neighbours.reachable
        next_hops = self._plan.next_hops if self._plan is not None else set()
        ordered = sorted(next_hops, key=lambda a: (a.version, int(a)))
        return SwitchReport(
            self.datapath,
            str(self.connection.address[0]),
            self.connection.version,
            self._state,
            len(self._contents.present.flows),
            len(self._contents.present.groups),
            self._contents.changes,
            self._since,
            self._neighbours.doubted,
            self._contents.refused[:_REFUSED_SHOWN],
            tuple((address, reachable.get(address)) for address in ordered),
            tuple(self._counts.packets.items()),
        )

    # -- its greenthreads -------------------------------------------------------------------------

    def run(self) -> None:
        """Keeps the switch as it should be until the connection ends."""
        try:
            found = self._contents.read()
            self._state = "waiting"
            while not (self._ready() or self._withdrawing):
                self._wait(None)
            if not self._withdrawing:
                self._fill(found)
                self._supervisor.spawn("openflow counters", self._count)
                self._keep()
            self._remove()
        except SwitchGoneError as error:
            self.connection.end(str(error))
        except (RequestRefusedError, ValueError) as error:
            LOG.error("%s cannot be used: %s", self._name, error)
            self.connection.end(str(error))

    def _wait(self, seconds: float | None) -> None:
        self._wake.wait(timeout=seconds)
        self._wake.clear()
        if not self.connection.is_active:
            raise SwitchGoneError(self.connection.why)

    def _fill(self, found: list[FlowOnSwitch]) -> None:
        """Brings the switch from what an earlier process left to what it should have."""
        self._state = "filling"
        version = self.connection.version
        if version < wire.VERSION_15:
            text = "it speaks OpenFlow 1.3 only, so it chooses buckets by a hash of its own"
            self._problems.update(self._name, text)
        contents = self._contents
        plan = self._plan = Plan(self._settings, version, contents.add_meter())
        plan.adopt(contents.present.groups)
        contents.follow(plan)
        self._touched.clear()
        wanted = dict(self._wanted)
        members = {address for entry in wanted.values() for address in entry.members}
        now = time.monotonic()
        self._neighbours.set_targets(members, now)
        for address, where in forwarding.seeds(found, members, plan.numbers).items():
            self._neighbours.seed(address, where, now)
        learning = [c for c, flow in plan.flows.items() if flow.priority == flows.PRIORITY_LEARN]
        contents.apply(learning, ())
        self._supervisor.spawn("openflow neighbours", self._asking.run)
        if self._neighbours.unresolved:
            self._answered.wait(timeout=_FIRST_ANSWERS_SECONDS)
        plan.set_reachable(self._neighbours.reachable, self._give_way)
        plan.set_addresses(wanted, self._give_way)
        plan.pop_changed()
        contents.apply_all()
        self._state = "filled"
        LOG.warning(
            "%s is filled: %d flows, %d groups, of which %d had to be changed",
            self._name,
            len(contents.present.flows),
            len(contents.present.groups),
            contents.changes,
        )

    def _keep(self) -> None:
        """Follows what changes, until everything is to be withdrawn."""
        plan = self._plan
        assert plan is not None
        audit_at = time.monotonic() + _AUDIT_SECONDS
        retry_at = time.monotonic() + _RETRY_SECONDS
        while True:
            now = time.monotonic()
            self._wait(max(0.0, min(audit_at, retry_at) - now))
            if self._withdrawing:
                return
            self._update(plan)
            now = time.monotonic()
            if now >= retry_at:
                retry_at = now + _RETRY_SECONDS
                self._contents.retry()
                self._report_silent(plan)
            if now >= audit_at:
                audit_at = now + _AUDIT_SECONDS
                self._contents.audit()

    def _update(self, plan: Plan) -> None:
        """Applies what changed."""
        if self._neighbours.pop_changed(time.monotonic()):
            plan.set_reachable(self._neighbours.reachable, self._give_way)
        touched, self._touched = self._touched, set()
        if touched:
            wanted = {prefix: self._wanted.get(prefix) for prefix in touched}
            plan.set_addresses(wanted, self._give_way)
            self._neighbours.set_targets(plan.next_hops, time.monotonic())
        self._contents.apply(*plan.pop_changed())

    def _report_silent(self, plan: Plan) -> None:
        """Says which next hops do not answer; those of a moment are never seen here."""
        silent = plan.next_hops - self._neighbours.reachable.keys()
        ordered = sorted(silent, key=lambda a: (a.version, int(a)))
        text = f"next hops do not answer: {listed([str(a) for a in ordered])}" if ordered else ""
        if self._neighbours.doubted:
            text = "so many next hops fell silent at once that it is not believed"
        self._problems.update(f"{self._name} (next hops)", text)

    def _remove(self) -> None:
        """Removes what is ours, also of an earlier process."""
        plan = self._plan or Plan(self._settings, self.connection.version, meter=False)
        plan.keep_base()
        contents = self._contents
        contents.follow(plan)
        contents.apply(list(contents.present.flows), list(contents.present.groups))
        contents.remove_meter()
        self._withdrawn.set()

    def _take_answer(self, packet: replies.PacketIn) -> None:
        """Takes an answer of a next hop, and wakes what waits for it."""
        before = len(self._neighbours.unresolved)
        self._asking.take(packet)
        unresolved = len(self._neighbours.unresolved)
        if before and not unresolved:
            self._answered.set()
        if before != unresolved:
            self._wake.set()

    # -- counters ---------------------------------------------------------------------------------

    def _count(self) -> None:
        try:
            while True:
                hub.sleep(_COUNT_SECONDS)
                if self._plan is None or not self.connection.is_active:
                    return
                found = list(self._exchange.flows(flows.NODES, flows.MARK, flows.MARK_MASK))
                self._on_packets(self._counts.update(found, self._plan.node_flows()))
        except SwitchGoneError:
            return
        except (RequestRefusedError, ValueError) as error:
            LOG.error("%s: its counters cannot be read: %s", self._name, error)
