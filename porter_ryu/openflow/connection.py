"""A connection from a switch: Ryu's Datapath with loops of our own.

Ryu's handlers do the handshake and answer echo requests, and other applications get their events.
Its loops read eight octets at a time, let others run only after 2,048 messages, and end neither a
silent nor a slow peer.  The messages that this package reads are given to it as octets, because
Ryu's parser takes a second for a thousand flows.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any, Protocol

from eventlet.green import socket
from ryu.controller import ofp_event
from ryu.controller.controller import Datapath
from ryu.controller.handler import (
    CONFIG_DISPATCHER,
    DEAD_DISPATCHER,
    HANDSHAKE_DISPATCHER,
    MAIN_DISPATCHER,
)
from ryu.lib import hub

from porter_ryu.log import reason_of
from porter_ryu.openflow import replies, wire
from porter_ryu.openflow.limits import Limits, Rate
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_CHUNK_OCTETS = 1 << 16
_CHECK_SECONDS = 1.0
_ECHO_SECONDS = 5.0
_IN_HANDSHAKE = frozenset({wire.HELLO, wire.ERROR, wire.ECHO_REQUEST, wire.ECHO_REPLY})
# what Ryu's handlers need, beside what another application observes
_FOR_RYU = frozenset({wire.ECHO_REQUEST, wire.ECHO_REPLY, wire.FEATURES_REPLY})
_OURS = frozenset(
    {wire.ERROR, wire.PACKET_IN, wire.PORT_STATUS, wire.MULTIPART_REPLY, wire.BARRIER_REPLY}
)
_MAX_VERSION = 6
_MAX_XID = (1 << 31) - 1  # other applications use the upper half
_VERSION_BITMAP = b"\x00\x01\x00\x08"  # the header of the element of HELLO (7.5.1)


class Owner(Protocol):
    """What a connection tells."""

    def connected(self, connection: SwitchConnection) -> None:
        """The handshake is complete."""

    def received(self, connection: SwitchConnection, kind: int, xid: int, body: bytes) -> None:
        """A message of a switch whose handshake is complete."""

    def ended(self, connection: SwitchConnection) -> None:
        """The connection ended."""


class ProtocolError(Exception):
    """The peer is no switch, or not one that can be used; the text says why."""


class SwitchConnection(Datapath):  # type: ignore[misc]
    """`serve` runs until the connection ends; `why` says then why it ended.  `give_way` is
    shared by all connections: together they get one slice of the loop.
    """

    def __init__(
        self,
        sock: Any,
        address: Any,
        owner: Owner,
        supervisor: Supervisor,
        limits: Limits,
        give_way: TimeSlice,
    ) -> None:
        super().__init__(sock, address)
        self.xid |= 1 << 31
        self.why = ""
        self._xid = 0
        self._owner = owner
        self._supervisor = supervisor
        self._limits = limits
        self._began = self._heard = self._asked = time.monotonic()
        self._packet_ins = Rate(limits.packet_ins_per_second)
        self._unsent: deque[bytes] = deque()
        self._unsent_octets = 0
        self._to_send = hub.Event()
        self._sent = hub.Event()
        self._give_way = give_way

    @property
    def version(self) -> int:
        """The version of OpenFlow that both sides speak."""
        return int(self.ofproto.OFP_VERSION)

    @property
    def complete(self) -> bool:
        """Whether the handshake is complete."""
        return bool(self.state == MAIN_DISPATCHER)

    def serve(self) -> None:
        """Reads until the connection ends, and closes it."""
        tasks = [
            self._supervisor.spawn("openflow send", self._send_loop),
            self._supervisor.spawn("openflow watch", self._watch),
        ]
        try:
            self.send(self._hello())
            self._recv_loop()
        except (OSError, EOFError) as error:
            self.why = self.why or reason_of(error)
        except ProtocolError as error:
            self.why = self.why or str(error)
        finally:
            self.is_active = False
            self.set_state(DEAD_DISPATCHER)
            for task in tasks:
                task.end()
            self._sent.set()
            self.socket.close()
            self._owner.ended(self)

    def end(self, why: str) -> None:
        """Ends the connection."""
        self.why = self.why or why
        self.is_active = False
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster

    def next_xid(self) -> int:
        """A transaction number that no other message of this connection has."""
        self._xid = (self._xid + 1) & _MAX_XID
        return self._xid

    # -- sending ----------------------------------------------------------------------------------

    def send(self, buf: bytes, close_socket: bool = False) -> bool:
        """Queues octets; waits while the switch has too much to read.  False: the connection
        ended."""
        while self._unsent_octets > self._limits.unsent_octets and self.is_active:
            self._sent.clear()
            self._sent.wait()
        if not self.is_active:
            return False
        self._unsent.append(bytes(buf))
        self._unsent_octets += len(buf)
        self._to_send.set()
        if close_socket:
            self._supervisor.after(_CHECK_SECONDS, "openflow close", self.end, "refused")
        return True

    def _send_loop(self) -> None:
        try:
            while self.is_active:
                if not self._unsent:
                    self._to_send.clear()
                    self._to_send.wait()
                chunk = b"".join(self._unsent)
                self._unsent.clear()
                self._send_all(memoryview(chunk))
                self._unsent_octets -= len(chunk)
                self._sent.set()
        except OSError as error:
            self.end(f"it reads nothing: {reason_of(error)}")

    def _send_all(self, unsent: memoryview) -> None:
        while unsent:
            self.socket.settimeout(self._limits.stall_seconds)
            unsent = unsent[self.socket.send(unsent[:_CHUNK_OCTETS]) :]
            self._give_way()

    def _hello(self) -> bytes:
        versions = sum(1 << version for version in self.supported_ofp_version)
        body = _VERSION_BITMAP + versions.to_bytes(4, "big")
        return wire.message(max(self.supported_ofp_version), wire.HELLO, self.next_xid(), body)

    def _watch(self) -> None:
        """Ends the connection if the handshake or the answers to echo requests take too long."""
        limits = self._limits
        while self.is_active:
            hub.sleep(_CHECK_SECONDS)
            now = time.monotonic()
            if not self.complete:
                if now - self._began > limits.handshake_seconds:
                    self.end("its handshake takes too long")
            elif now - self._heard > limits.silence_seconds:
                self.end(f"it said nothing for {limits.silence_seconds:g} s")
            elif now - max(self._heard, self._asked) > _ECHO_SECONDS:
                self._asked = now
                self.send(wire.message(self.version, wire.ECHO_REQUEST, self.next_xid()))

    # -- reading ----------------------------------------------------------------------------------

    def _recv_loop(self) -> None:
        buffer = b""
        while self.is_active:
            self.socket.settimeout(None)
            data = self.socket.recv(_CHUNK_OCTETS)
            if not data:
                raise ProtocolError("it closed the connection")
            self._heard = time.monotonic()
            buffer = self._take(buffer + data if buffer else data)

    def _take(self, data: bytes) -> bytes:
        """Handles all complete messages; returns the rest."""
        offset = 0
        while len(data) - offset >= wire.HEADER.size and self.is_active:
            version, kind, length, xid = wire.HEADER.unpack_from(data, offset)
            if not 0 < version <= _MAX_VERSION or length < wire.HEADER.size:
                raise ProtocolError("it does not speak OpenFlow")
            if self.state == HANDSHAKE_DISPATCHER and kind not in _IN_HANDSHAKE:
                raise ProtocolError("it does not begin with HELLO")
            if len(data) - offset < length:
                break
            self._handle(version, kind, xid, data[offset : offset + length])
            offset += length
            self._give_way()
        return data[offset:]

    def _handle(self, version: int, kind: int, xid: int, message: bytes) -> None:
        if kind == wire.HELLO and self.state == HANDSHAKE_DISPATCHER:
            self._negotiate(version, message[wire.HEADER.size :])
            return
        if kind == wire.PACKET_IN and not self._packet_ins.admits():
            return
        if self.complete and kind in _OURS:
            self._owner.received(self, kind, xid, message[wire.HEADER.size :])
        if not self._for_ryu(kind, message):
            return
        was_complete = self.complete
        self._dispatch(version, kind, xid, message)
        if self.complete and not was_complete:
            self._owner.connected(self)

    def _for_ryu(self, kind: int, message: bytes) -> bool:
        """Whether Ryu's handlers or another application want a message.

        Ryu's parsers follow the lengths in lists, and one of 0 without end, so they get no list
        that nobody needs: while the handshake lasts, that of the ports alone.
        """
        if kind in _FOR_RYU:
            return True
        if kind == wire.MULTIPART_REPLY and not self.complete:
            try:
                found, _, ports = replies.multipart(message[wire.HEADER.size :])
                if found != wire.MULTIPART_PORT_DESC:
                    return False
                replies.check_ports(self.version, ports)
            except ValueError as error:
                raise ProtocolError("its list of ports cannot be read") from error
            return True
        return self.complete and self._observed(kind)

    def _negotiate(self, version: int, elements: bytes) -> None:
        """Agrees on the highest version that both sides speak (7.5.1)."""
        theirs = set(range(1, version + 1))
        if elements[:4] == _VERSION_BITMAP:
            bits = int.from_bytes(elements[4:8], "big")
            theirs = {number for number in range(32) if bits >> number & 1}
        common = theirs & set(self.supported_ofp_version)
        if not common:
            ours = " and ".join(f"1.{number - 1}" for number in sorted(self.supported_ofp_version))
            raise ProtocolError(f"it does not speak OpenFlow {ours}")
        self.set_version(max(common))
        self.set_state(CONFIG_DISPATCHER)
        self.send(wire.message(self.version, wire.FEATURES_REQUEST, self.next_xid()))

    def _observed(self, kind: int) -> bool:
        """Whether another application of the same ryu-manager wants such messages."""
        observers = self.ofp_brick.observers
        if kind == wire.PACKET_IN:
            return bool(observers.get(ofp_event.EventOFPPacketIn))
        if kind == wire.MULTIPART_REPLY:
            return any(who and e.__name__.endswith("StatsReply") for e, who in observers.items())
        return any(observers.values())

    def _dispatch(self, version: int, kind: int, xid: int, message: bytes) -> None:
        """Gives a message to Ryu's handlers and to other applications, as Ryu does."""
        try:
            # not `ofproto_parser.msg`, which logs a traceback for each message that it cannot read
            parsed = self.ofproto_parser.msg_parser(
                self, version, kind, len(message), xid, bytearray(message)
            )
        except Exception as error:
            raise ProtocolError(f"message type {kind} cannot be read") from error
        event = ofp_event.ofp_msg_to_ev(parsed)
        self.ofp_brick.send_event_to_observers(event, self.state)
        for handler in list(self.ofp_brick.get_handlers(event, self.state)):
            handler(event)
