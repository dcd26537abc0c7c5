"""One switch: reads what it has, and keeps it as it should be until its connection ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from ryu.lib import hub

from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.text import listed
from porter_ryu.openflow import flows, replies, responder, wire
from porter_ryu.openflow.asking import Asking
from porter_ryu.openflow.config import OpenFlowSettings
from porter_ryu.openflow.connection import SwitchConnection
from porter_ryu.openflow.counters import PacketCounts, Served
from porter_ryu.openflow.difference import Change, Present, steps
from porter_ryu.openflow.exchange import Exchange, RequestRefusedError, SwitchGoneError
from porter_ryu.openflow.groups import content_of, is_ours
from porter_ryu.openflow.limits import Limits
from porter_ryu.openflow.neighbours import Neighbours
from porter_ryu.openflow.next_hop_sets import Wanted
from porter_ryu.openflow.plan import Plan, seeds
from porter_ryu.openflow.replies import FlowOnSwitch, Refusal
from porter_ryu.openflow.report import SwitchHealth, SwitchReport
from porter_ryu.problem_log import ProblemLog
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_PACKETS_PER_SECOND = 1_000  # that the switch sends us
_FIRST_ANSWERS_SECONDS = 0.1
_RETRY_SECONDS = 10.0
_AUDIT_SECONDS = 30.0
_COUNT_SECONDS = 5.0
_SHOWN = 3
_WITHDRAW_SECONDS = 5.0


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
        self._exchange = Exchange(connection, limits.reply_octets, self._on_refused)
        self._neighbours = Neighbours(settings.probe_seconds, settings.panic_percent)
        self._wake = hub.Event()
        self._asking = Asking(
            connection, self._exchange, self._neighbours, settings, self._wake.set
        )
        self._present = Present()
        self._plan: Plan | None = None
        self._counts = PacketCounts()
        self._touched: set[Network] = set()
        self._refused: dict[tuple[int | None, int | None], tuple[Change, Refusal]] = {}
        self._answered = hub.Event()
        self._withdrawing = False
        self._withdrawn = hub.Event()
        self._state = "reading"
        self._changes = 0
        self._since = time.monotonic()
        self._give_way = TimeSlice()
        self._name = f"switch {self.datapath:#x}"
        self._problems = ProblemLog(
            LOG, "%(subject)s: %(problem)s", "%(subject)s: over: %(problem)s"
        )

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

    def withdraw(self) -> bool:
        """Removes the flows and groups of ours, except the flow for the packets of others; whether
        the switch has confirmed it within five seconds."""
        self._withdrawing = True
        self._wake.set()
        self._withdrawn.wait(timeout=_WITHDRAW_SECONDS)
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
        return SwitchHealth(self.up, len(self._refused), silent, self._neighbours.doubted)

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
            len(self._present.flows),
            len(self._present.groups),
            self._changes,
            self._since,
            self._neighbours.doubted,
            tuple(f"{c.about}: {refusal.text}" for c, refusal in list(self._refused.values())[:10]),
            tuple((address, reachable.get(address)) for address in ordered),
            tuple(self._counts.packets.items()),
        )

    # -- its greenthreads -------------------------------------------------------------------------

    def run(self) -> None:
        """Keeps the switch as it should be until the connection ends."""
        try:
            found = self._read()
            self._state = "waiting"
            while not self._ready():
                self._wait(None)
            self._fill(found)
            self._supervisor.spawn("openflow counters", self._count)
            self._keep()
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

    def _read(self) -> list[FlowOnSwitch]:
        """Reads the flows and groups of ours that the switch has."""
        found = list(self._exchange.flows(wire.ALL_TABLES, flows.MARK, flows.MARK_MASK))
        self._present = Present(
            {flow.cookie: self._present.flows.get(flow.cookie) for flow in found},
            {g.number: content_of(g) for g in self._exchange.groups() if is_ours(g.number)},
        )
        return found

    def _fill(self, found: list[FlowOnSwitch]) -> None:
        """Brings the switch from what an earlier process left to what it should have."""
        self._state = "filling"
        version = self.connection.version
        if version < wire.VERSION_15:
            text = "it speaks OpenFlow 1.3 only, so it chooses buckets by a hash of its own"
            self._problems.update(self._name, text)
        plan = self._plan = Plan(self._settings, version, self._add_meter())
        plan.adopt(self._present.groups)
        self._touched.clear()
        wanted = dict(self._wanted)
        members = {address for entry in wanted.values() for address in entry.members}
        now = time.monotonic()
        self._neighbours.set_targets(members, now)
        for address, where in seeds(found, members, plan.numbers).items():
            self._neighbours.seed(address, where, now)
        learning = [c for c, flow in plan.flows.items() if flow.priority == flows.PRIORITY_LEARN]
        self._apply(plan, learning, ())
        self._supervisor.spawn("openflow neighbours", self._asking.run)
        if self._neighbours.unresolved:
            self._answered.wait(timeout=_FIRST_ANSWERS_SECONDS)
        plan.set_reachable(self._neighbours.reachable, self._give_way)
        plan.set_addresses(wanted, self._give_way)
        plan.pop_changed()
        cookies = plan.flows.keys() | self._present.flows.keys()
        self._apply(plan, cookies, plan.groups.keys() | self._present.groups.keys())
        self._state = "filled"
        LOG.warning(
            "%s is filled: %d flows, %d groups, of which %d had to be changed",
            self._name,
            len(self._present.flows),
            len(self._present.groups),
            self._changes,
        )

    def _add_meter(self) -> bool:
        """Adds the meter for what the switch sends us; whether it has one."""
        body = wire.meter_add(responder.METER, _PACKETS_PER_SECOND)
        change = Change(wire.METER_MOD, body, "the meter for packets to the controller")
        self._exchange.change([[change]], self._give_way)
        refused = self._refused.pop((None, None), None)
        if refused is None:
            return True
        code = (refused[1].kind, refused[1].code)
        if code != replies.METER_EXISTS:
            text = "%s: packets to the controller are not metered: %s"
            LOG.warning(text, self._name, refused[1].text)
        return code == replies.METER_EXISTS

    def _keep(self) -> None:
        plan = self._plan
        assert plan is not None
        audit_at = time.monotonic() + _AUDIT_SECONDS
        retry_at = time.monotonic() + _RETRY_SECONDS
        while True:
            now = time.monotonic()
            self._wait(max(0.0, min(audit_at, retry_at) - now))
            if self._withdrawing:
                plan.keep_base()
                self._apply(plan, *plan.pop_changed())
                self._withdrawn.set()
                return
            self._update(plan)
            now = time.monotonic()
            if now >= retry_at:
                retry_at = now + _RETRY_SECONDS
                self._retry(plan)
            if now >= audit_at:
                audit_at = now + _AUDIT_SECONDS
                self._audit(plan)

    def _update(self, plan: Plan) -> None:
        """Applies what changed."""
        if self._neighbours.pop_changed(time.monotonic()):
            plan.set_reachable(self._neighbours.reachable, self._give_way)
        touched, self._touched = self._touched, set()
        if touched:
            wanted = {prefix: self._wanted.get(prefix) for prefix in touched}
            plan.set_addresses(wanted, self._give_way)
            self._neighbours.set_targets(plan.next_hops, time.monotonic())
        cookies, numbers = plan.pop_changed()
        self._apply(plan, cookies, numbers)

    def _apply(self, plan: Plan, cookies: Iterable[int], numbers: Iterable[int]) -> None:
        """Sends the difference for these flows and groups."""
        cookies, numbers, version = list(cookies), list(numbers), self.connection.version
        if not cookies and not numbers:
            return

        def sent() -> Iterable[list[Change]]:
            made = steps(
                self._present, plan.flows, plan.groups, cookies, numbers, version, self._give_way
            )
            for step in list(made):
                for change in step:
                    self._note(plan, change)
                yield [change for change in step if change.body]

        self._changes += self._exchange.change(sent(), self._give_way)
        self._report_refused()

    def _note(self, plan: Plan, change: Change) -> None:
        """Takes a change for done; a refusal corrects it."""
        self._refused.pop((change.flow, change.group), None)
        if change.flow is not None:
            if change.removes:
                self._present.flows.pop(change.flow, None)
            else:
                self._present.flows[change.flow] = plan.flows[change.flow]
        if change.group is not None:
            if change.removes:
                self._present.groups.pop(change.group, None)
            else:
                self._present.groups[change.group] = plan.groups[change.group]

    def _on_refused(self, change: Change, refusal: Refusal) -> None:
        """The switch refuses a change: it does not have it."""
        code = (refusal.kind, refusal.code)
        is_base = change.flow is not None and self._is_base(change.flow)
        if is_base and code == replies.OVERLAP:
            return  # somebody else's flow says what becomes of other packets
        if change.flow is not None and not change.removes:
            self._present.flows.pop(change.flow, None)
        if change.group is not None and not change.removes:
            if code == replies.GROUP_EXISTS:
                self._present.groups[change.group] = None
            else:
                self._present.groups.pop(change.group, None)
        self._refused[change.flow, change.group] = (change, refusal)

    def _is_base(self, cookie: int) -> bool:
        flow = self._plan.flows.get(cookie) if self._plan is not None else None
        return flow is not None and bool(flow.flags & wire.CHECK_OVERLAP)

    def _report_refused(self) -> None:
        texts = [f"{c.about}: {refusal.text}" for c, refusal in self._refused.values()]
        problem = ""
        if texts:
            shown = listed(texts[:_SHOWN])
            more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
            problem = f"it refuses {shown}{more}; the rest is done, and this is tried again"
        self._problems.update(f"{self._name} (refused)", problem)

    def _retry(self, plan: Plan) -> None:
        """Tries again what was refused."""
        refused = list(self._refused)
        cookies = [cookie for cookie, _ in refused if cookie is not None]
        numbers = [number for _, number in refused if number is not None]
        for key in refused:
            del self._refused[key]
        self._apply(plan, cookies, numbers)
        self._report_refused()

    def _audit(self, plan: Plan) -> None:
        """Reads what the switch has, and repairs what somebody else changed."""
        before = Present(dict(self._present.flows), dict(self._present.groups))
        self._read()
        lost = [c for c in before.flows if c not in self._present.flows and not self._is_base(c)]
        gone = [n for n, content in before.groups.items() if self._present.groups.get(n) != content]
        if lost or gone:
            text = "%s: somebody changed %d flows and %d groups of ours: they are put back"
            LOG.warning(text, self._name, len(lost), len(gone))
        self._apply(
            plan,
            plan.flows.keys() | self._present.flows.keys(),
            plan.groups.keys() | self._present.groups.keys(),
        )

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
