"""One BFD session in asynchronous mode (RFC 5880, 6.8): packets and the clock go in, packets and
changes of state come out.  It opens nothing and reads no clock."""

from __future__ import annotations

from collections.abc import Callable

from porter_ryu.bgp.bfd.packet import Diagnostic, Packet, State

_SLOW = 1_000_000  # RFC 5880, 6.8.3: not Up, no faster than one second
_MICROSECONDS = 1e6
_JITTER = (0.75, 1.0)
_JITTER_OF_ONE = (0.75, 0.9)  # RFC 5880, 6.8.7


class BfdSession:
    """`interval` in microseconds; `now` everywhere in seconds of one steady clock; `spread`
    gives a random number between two."""

    def __init__(
        self,
        discriminator: int,
        interval: int,
        multiplier: int,
        spread: Callable[[float, float], float],
        now: float,
    ) -> None:
        self.state = State.DOWN
        self.mine = discriminator
        self.next_send = now
        self._interval = interval
        self._multiplier = multiplier
        self._spread = spread
        self._yours = 0
        self._diagnostic = Diagnostic.NONE
        self._polling = False
        self._remote_min_rx = 1
        self._remote_min_tx = 0
        self._remote_multiplier = 0
        self._remote_diagnostic = 0
        self._heard_at: float | None = None

    @property
    def expires(self) -> float | None:
        """When the remote side counts as gone, None where it does already (6.8.4)."""
        if self._heard_at is None:
            return None
        interval = max(self._interval, self._remote_min_tx)
        return self._heard_at + self._remote_multiplier * interval / _MICROSECONDS

    @property
    def why(self) -> str:
        """Why it is not Up."""
        if self._diagnostic is Diagnostic.NEIGHBOR_SIGNALED_DOWN:
            return f"the peer says so, with diagnostic {self._remote_diagnostic}"
        if self._diagnostic is Diagnostic.DETECTION_TIME_EXPIRED:
            return "nothing was heard for the detection time"
        return "not up yet"

    def receive(self, packet: Packet, now: float) -> Packet | None:
        """Takes in a packet; returns what must be sent at once (6.8.6)."""
        self._yours = packet.mine
        self._remote_min_rx = packet.required_min_rx
        self._remote_min_tx = packet.desired_min_tx
        self._remote_multiplier = packet.multiplier
        self._remote_diagnostic = packet.diagnostic
        self._heard_at = now
        if packet.final:
            self._polling = False
        before = self.state
        self._follow(packet.state)
        if self.state is State.UP and before is not State.UP:
            self._polling = True
        if self.state is not before:
            self.next_send = now
        # an interval that shrank counts at once, or the peer's shorter detection time runs out
        self.next_send = min(self.next_send, now + self._until_next())
        return self._packet(final=True) if packet.poll else None

    def _follow(self, remote: State) -> None:
        """The state machine of RFC 5880, 6.2."""
        if remote is State.ADMIN_DOWN or (remote is State.DOWN and self.state is State.UP):
            if self.state is not State.DOWN:
                self._diagnostic = Diagnostic.NEIGHBOR_SIGNALED_DOWN
            self.state = State.DOWN
        elif self.state is State.DOWN:
            if remote is State.DOWN:
                self.state = State.INIT
            elif remote is State.INIT:
                self._up()
        elif self.state is State.INIT and remote in (State.INIT, State.UP):
            self._up()

    def _up(self) -> None:
        self.state = State.UP
        self._diagnostic = Diagnostic.NONE

    def tick(self, now: float) -> Packet | None:
        """Lets time pass; returns the packet that is due."""
        expires = self.expires
        if expires is not None and now >= expires:
            self._heard_at = None
            self._yours = 0
            self._remote_min_rx = 1
            if self.state is not State.DOWN:
                self.state = State.DOWN
                self._diagnostic = Diagnostic.DETECTION_TIME_EXPIRED
                self.next_send = now
        if now < self.next_send:
            return None
        self.next_send = now + self._until_next()
        return self._packet() if self._remote_min_rx else None

    def end(self) -> Packet:
        """The packet that says that we end on purpose."""
        self.state = State.ADMIN_DOWN
        self._diagnostic = Diagnostic.ADMINISTRATIVELY_DOWN
        return self._packet()

    def _until_next(self) -> float:
        """Seconds between two packets (6.8.7)."""
        low, high = _JITTER_OF_ONE if self._multiplier == 1 else _JITTER
        interval = max(self._desired_min_tx, self._remote_min_rx)
        return interval / _MICROSECONDS * self._spread(low, high)

    @property
    def _desired_min_tx(self) -> int:
        return self._interval if self.state is State.UP else max(_SLOW, self._interval)

    def _packet(self, final: bool = False) -> Packet:
        return Packet(
            self.state,
            self._multiplier,
            self.mine,
            self._yours,
            self._desired_min_tx,
            self._interval,
            self._diagnostic,
            poll=self._polling and not final,
            final=final,
        )
