"""Asks the next hops of one switch where they are, in rounds of two halves: the questions, and what
follows from the answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ryu.lib import hub

from porter_ryu.openflow import flows, frames, oxm, wire
from porter_ryu.openflow.config import OpenFlowSettings
from porter_ryu.openflow.connection import SwitchConnection
from porter_ryu.openflow.exchange import Exchange
from porter_ryu.openflow.neighbours import Location, Neighbours, Question
from porter_ryu.openflow.replies import PacketIn
from porter_ryu.time_slice import TimeSlice

_PORT_STATUS_OCTETS = 48
_PORT_DELETED, _LINK_DOWN = 1, 1


class Asking:
    """The questions to the next hops of one switch; `judged` is called after each round."""

    def __init__(
        self,
        connection: SwitchConnection,
        exchange: Exchange,
        neighbours: Neighbours,
        settings: OpenFlowSettings,
        judged: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._exchange = exchange
        self._neighbours = neighbours
        self._settings = settings
        self._judged = judged
        self._running = False
        self._give_way = TimeSlice()

    def run(self) -> None:
        """Asks until the connection ends."""
        self._running = True
        half = self._settings.probe_seconds / 2
        due = time.monotonic()
        while self._connection.is_active:
            self._send(self._neighbours.ask())
            due = self._sleep_until(due + half, half)
            self._send(self._neighbours.judge())
            self._judged()
            due = self._sleep_until(due + half, half)

    def _sleep_until(self, due: float, half: float) -> float:
        """Sleeps; returns when that should have ended.  If it is late, no loss is believed yet."""
        hub.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        if now - due <= half / 2:
            return due
        self._neighbours.late(now)
        return now

    def _send(self, questions: Iterable[Question]) -> None:
        mac, version = self._settings.virtual_mac, self._connection.version
        for asked in list(questions):
            known = asked.where
            frame = frames.question(asked.address, mac, known.mac if known else None)
            port = known.port if known else oxm.PORT_FLOOD
            self._exchange.send(wire.PACKET_OUT, wire.packet_out(version, port, frame))
            self._give_way()

    def take(self, packet: PacketIn) -> None:
        """Takes a frame that the switch sent to us."""
        if packet.cookie & flows.MARK_MASK != flows.MARK:
            return
        found = frames.answer(packet.data)
        if found is not None:
            self._neighbours.answered(found.address, Location(found.mac, packet.port))

    def take_port(self, body: bytes) -> None:
        """Takes a PORT_STATUS: whoever was at a port that is gone is asked for at once, and whoever
        is silent soon after a port came.  Raises ValueError."""
        if len(body) < _PORT_STATUS_OCTETS:
            raise ValueError("a port status that is too short")
        port = int.from_bytes(body[8:12], "big")
        down = body[0] == _PORT_DELETED or body[47] & _LINK_DOWN
        if not down:
            self._neighbours.port_is_up()
        elif self._running:
            self._send(self._neighbours.port_is_down(port))
