"""What one switch has of ours, and the changes that bring it to what it should have."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from porter_ryu.domain.text import listed
from porter_ryu.openflow import flows, replies, responder, wire
from porter_ryu.openflow.connection import SwitchConnection
from porter_ryu.openflow.difference import Change, Present, steps
from porter_ryu.openflow.exchange import Exchange
from porter_ryu.openflow.groups import content_of, is_ours
from porter_ryu.openflow.plan import Plan
from porter_ryu.openflow.replies import FlowOnSwitch, Refusal
from porter_ryu.problem_log import ProblemLog
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_PACKETS_PER_SECOND = 1_000  # that the switch sends us
_SHOWN = 3


class Contents:
    """`present` is what the switch has, as far as it is known; `changes`: how many messages have
    changed it.  `exchange` is where its requests go.  Everything that sends may raise
    SwitchGoneError."""

    def __init__(
        self, connection: SwitchConnection, reply_octets: int, name: str, problems: ProblemLog
    ) -> None:
        self.exchange = Exchange(connection, reply_octets, self._on_refused)
        self.present = Present()
        self.changes = 0
        self._connection = connection
        self._name = name
        self._problems = problems
        self._plan: Plan | None = None
        self._refused: dict[tuple[int | None, int | None], tuple[Change, Refusal]] = {}
        self._give_way = TimeSlice()

    @property
    def refused(self) -> tuple[str, ...]:
        """What the switch refuses, with its words."""
        return tuple(f"{c.about}: {refusal.text}" for c, refusal in self._refused.values())

    def follow(self, plan: Plan) -> None:
        """Sets what the switch should have."""
        self._plan = plan

    def read(self) -> list[FlowOnSwitch]:
        """Reads the flows and groups of ours that the switch has.  Raises ValueError, or
        RequestRefusedError."""
        found = list(self.exchange.flows(wire.ALL_TABLES, flows.MARK, flows.MARK_MASK))
        self.present = Present(
            {flow.cookie: self.present.flows.get(flow.cookie) for flow in found},
            {g.number: content_of(g) for g in self.exchange.groups() if is_ours(g.number)},
        )
        return found

    def add_meter(self) -> bool:
        """Adds the meter for what the switch sends us; whether it has one."""
        body = wire.meter_add(responder.METER, _PACKETS_PER_SECOND)
        refusal = self._change_meter(body)
        if refusal is None:
            return True
        there = (refusal.kind, refusal.code) == replies.METER_EXISTS
        if not there:
            text = "%s: packets to the controller are not metered: %s"
            LOG.warning(text, self._name, refusal.text)
        return there

    def remove_meter(self) -> None:
        """Removes the meter, if it is there."""
        self._change_meter(wire.meter_delete(responder.METER))

    def _change_meter(self, body: bytes) -> Refusal | None:
        """Changes the meter; returns what the switch says if it refuses."""
        change = Change(wire.METER_MOD, body, "the meter for packets to the controller")
        self.exchange.change([[change]], self._give_way)
        refused = self._refused.pop((None, None), None)
        return None if refused is None else refused[1]

    def apply(self, cookies: Collection[int], numbers: Collection[int]) -> None:
        """Sends the difference for these flows and groups."""
        plan, version = self._plan, self._connection.version
        if plan is None or not (cookies or numbers):
            return

        def sent() -> Iterable[list[Change]]:
            made = steps(
                self.present, plan.flows, plan.groups, cookies, numbers, version, self._give_way
            )
            for step in list(made):
                for change in step:
                    self._note(plan, change)
                yield [change for change in step if change.body]

        self.changes += self.exchange.change(sent(), self._give_way)
        self._report_refused()

    def apply_all(self) -> None:
        """Sends the difference for all flows and groups."""
        if self._plan is not None:
            plan, present = self._plan, self.present
            self.apply(
                plan.flows.keys() | present.flows.keys(), plan.groups.keys() | present.groups.keys()
            )

    def retry(self) -> None:
        """Tries again what was refused."""
        refused = list(self._refused)
        self._refused.clear()
        cookies = [cookie for cookie, _ in refused if cookie is not None]
        self.apply(cookies, [number for _, number in refused if number is not None])
        self._report_refused()

    def audit(self) -> None:
        """Reads what the switch has, and repairs what somebody else changed."""
        before = Present(dict(self.present.flows), dict(self.present.groups))
        self.read()
        lost = [c for c in before.flows if c not in self.present.flows and not self._is_base(c)]
        gone = [n for n, content in before.groups.items() if self.present.groups.get(n) != content]
        if lost or gone:
            text = "%s: somebody changed %d flows and %d groups of ours: they are put back"
            LOG.warning(text, self._name, len(lost), len(gone))
        self.apply_all()

    def _note(self, plan: Plan, change: Change) -> None:
        """Takes a change for done; a refusal corrects it."""
        self._refused.pop((change.flow, change.group), None)
        if change.flow is not None:
            if change.removes:
                self.present.flows.pop(change.flow, None)
            else:
                self.present.flows[change.flow] = plan.flows[change.flow]
        if change.group is not None:
            if change.removes:
                self.present.groups.pop(change.group, None)
            else:
                self.present.groups[change.group] = plan.groups[change.group]

    def _on_refused(self, change: Change, refusal: Refusal) -> None:
        """The switch refuses a change: it does not have it."""
        code = (refusal.kind, refusal.code)
        is_base = change.flow is not None and self._is_base(change.flow)
        if is_base and code == replies.OVERLAP:
            return  # somebody else's flow says what becomes of other packets
        if change.flow is not None and not change.removes:
            self.present.flows.pop(change.flow, None)
        if change.group is not None and not change.removes:
            if code == replies.GROUP_EXISTS:
                self.present.groups[change.group] = None
            else:
                self.present.groups.pop(change.group, None)
        self._refused[change.flow, change.group] = (change, refusal)

    def _is_base(self, cookie: int) -> bool:
        flow = self._plan.flows.get(cookie) if self._plan is not None else None
        return flow is not None and bool(flow.flags & wire.CHECK_OVERLAP)

    def _report_refused(self) -> None:
        texts = self.refused
        problem = ""
        if texts:
            shown = listed(texts[:_SHOWN])
            more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
            problem = f"it refuses {shown}{more}; the rest is done, and this is tried again"
        self._problems.update(f"{self._name} (refused)", problem)
