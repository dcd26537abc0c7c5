"""The state machine of one BFD session in asynchronous mode (RFC 5880, 6.8).

Its input is packets and the time; its output is packets to send and its state.  It opens no socket
and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable

from porter_ryu.bgp.bfd.packet import Diagnostic, Packet, State

_SLOW_INTERVAL = 1_000_000  # RFC 5880, 6.8.3, in microseconds: the least unless Up
_MICROSECONDS = 1e6
_JITTER = (0.75, 1.0)  # RFC 5880, 6.8.7
_JITTER_WITH_MULTIPLIER_ONE = (0.75, 0.9)


class BfdSession:
    """`interval` is in microseconds, each `now` in seconds of one monotonic clock.  `uniform`
    returns a random number between two numbers."""

    def __init__(
        self,
        discriminator: int,
        interval: int,
        multiplier: int,
        uniform: Callable[[float, float], float],
        now: float,
    ) -> None:
        self.state = State.DOWN
        self.local_discriminator = discriminator
        self.next_send = now
        self._interval = interval
        self._multiplier = multiplier
        self._uniform = uniform
        self._remote_discriminator = 0
        self._diagnostic = Diagnostic.NONE
        self._polling = False
        self._remote_min_rx = 1
        self._remote_min_tx = 0
        self._remote_multiplier = 0
        self._remote_diagnostic = 0
        self._received_at: float | None = None

    @property
    def detection_expires(self) -> float | None:
        """When the detection time expires (6.8.4), None if it does not run."""
        if self._received_at is None:
            return None
        interval = max(self._interval, self._remote_min_tx)
        return self._received_at + self._remote_multiplier * interval / _MICROSECONDS

    @property
    def down_reason(self) -> str:
        """Why the session is not Up."""
        if self._diagnostic is Diagnostic.NEIGHBOR_SIGNALED_DOWN:
            return f"the peer signaled it, with diagnostic {self._remote_diagnostic}"
        if self._diagnostic is Diagnostic.DETECTION_TIME_EXPIRED:
            return "the detection time expired"
        return "not up yet"

    def receive(self, packet: Packet, now: float) -> Packet | None:
        """Handles a packet; returns the answer that must be sent at once, if any (6.8.6)."""
        self._remote_discriminator = packet.my_discriminator
        self._remote_min_rx = packet.required_min_rx
        self._remote_min_tx = packet.desired_min_tx
        self._remote_multiplier = packet.multiplier
        self._remote_diagnostic = packet.diagnostic
        self._received_at = now
        if packet.final:
            self._polling = False
        before = self.state
        self._change_state(packet.state)
        if self.state is State.UP and before is not State.UP:
            self._polling = True
        if self.state is not before:
            self.next_send = now
        # a shorter interval applies at once, or the peer's detection time could expire
        self.next_send = min(self.next_send, now + self._send_interval())
        return self._packet(final=True) if packet.poll else None

    def _change_state(self, remote: State) -> None:
        """The state machine of RFC 5880, 6.2."""
        if remote is State.ADMIN_DOWN or (remote is State.DOWN and self.state is State.UP):
            if self.state is not State.DOWN:
                self._diagnostic = Diagnostic.NEIGHBOR_SIGNALED_DOWN
            self.state = State.DOWN
        elif self.state is State.DOWN:
            if remote is State.DOWN:
                self.state = State.INIT
            elif remote is State.INIT:
                self._come_up()
        elif self.state is State.INIT and remote in (State.INIT, State.UP):
            self._come_up()

    def _come_up(self) -> None:
        self.state = State.UP
        self._diagnostic = Diagnostic.NONE

    def tick(self, now: float) -> Packet | None:
        """Handles the timers that have expired by `now`; returns the packet to send, if any."""
        expires = self.detection_expires
        if expires is not None and now >= expires:
            self._received_at = None
            self._remote_discriminator = 0
            self._remote_min_rx = 1
            if self.state is not State.DOWN:
                self.state = State.DOWN
                self._diagnostic = Diagnostic.DETECTION_TIME_EXPIRED
                self.next_send = now
        if now < self.next_send:
            return None
        self.next_send = now + self._send_interval()
        return self._packet() if self._remote_min_rx else None

    def end(self) -> Packet:
        """Ends the session with AdminDown; returns the packet to send."""
        self.state = State.ADMIN_DOWN
        self._diagnostic = Diagnostic.ADMINISTRATIVELY_DOWN
        return self._packet()

    def _send_interval(self) -> float:
        """Seconds between two packets, with jitter (6.8.7)."""
        low, high = _JITTER_WITH_MULTIPLIER_ONE if self._multiplier == 1 else _JITTER
        interval = max(self._desired_min_tx, self._remote_min_rx)
        return interval / _MICROSECONDS * self._uniform(low, high)

    @property
    def _desired_min_tx(self) -> int:
        return self._interval if self.state is State.UP else max(_SLOW_INTERVAL, self._interval)

    def _packet(self, final: bool = False) -> Packet:
        return Packet(
            self.state,
            self._multiplier,
            self.local_discriminator,
            self._remote_discriminator,
            self._desired_min_tx,
            self._interval,
            self._diagnostic,
            poll=self._polling and not final,
            final=final,
        )
