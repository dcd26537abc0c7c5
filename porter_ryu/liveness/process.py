"""The process that probes nodes: `python -m porter_ryu.liveness.process`.

It is a process of its own so that long work of the main process never delays a probe.

The lines on standard input are orders, those on standard output reports (`orders`).  The
loop runs in ticks: read all that has arrived, judge what did not arrive, send what has its turn,
report.  So an answer that waits in a socket is always seen before its absence is judged, and a
thousand nodes cost no more system calls than their probes.  When its input ends, it exits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import signal
import sys
import time

from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.liveness import Findings, Liveness
from porter_ryu.liveness.connections import Connections
from porter_ryu.liveness.echo import MARK_OCTETS, newest
from porter_ryu.liveness.echo_socket import NEEDS, EchoSocket
from porter_ryu.liveness.orders import (
    Instructions,
    NodeOrder,
    Report,
    decode_instructions,
    decode_nodes,
    encode_report,
)
from porter_ryu.liveness.probes import ProbeKind
from porter_ryu.liveness.schedule import Schedule
from porter_ryu.liveness.targets import Target, Targets
from porter_ryu.log import reason_of

_NICE = -10  # a probe that waits for the processor is late
_TICKS_PER_INTERVAL = 50
_TICK_MIN_SECONDS, _TICK_MAX_SECONDS = 0.001, 0.02
_HEARTBEAT_SECONDS = 1.0
_READ_OCTETS = 1 << 16
_NODES_PER_LINE = 10
_LATE_FAULT_SHARE = 0.1
_WINDOW_SECONDS = 10.0
# nothing to send with on this host: the node is not to blame
_LOCAL_ERRORS = frozenset(
    {
        errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
    }
)  # fmt: skip
_NO_ANSWER = "no answer"


class Prober:
    """Sends the probes of its targets and judges the answers."""

    def __init__(self, instructions: Instructions) -> None:
        self.rule = rule = instructions.rule
        self.liveness = {family: Liveness(rule) for family in Family}
        self._targets = Targets(instructions.probes, self.liveness)
        self._schedule: Schedule[Target] = Schedule(rule.interval, rule.timeout)
        self._connections = Connections(self._result)
        self._mark = os.urandom(MARK_OCTETS)
        self._echo: dict[Family, EchoSocket] = {}
        self._sent = self._late = 0
        self._seen: dict[str, str] = {}
        self.faults: dict[str, str] = {}

    def follow(self, order: NodeOrder, now: float) -> None:
        """Adds a node, changes its address, or removes it.  A node whose address changed begins
        anew."""
        if self._targets.addresses.get(order.node) == order.address:
            return
        for target in self._targets.remove(order.node):
            if target.probe.kind is not ProbeKind.ICMP:
                self._connections.stop(target)
        if order.address is not None:
            for target in self._targets.add(order.node, order.address, order.known, now):
                self._schedule.add(target, now)

    @property
    def doubted(self) -> frozenset[Family]:
        """The families in which so many nodes fell silent at once that it is not believed."""
        return frozenset(family for family, each in self.liveness.items() if each.doubted)

    def tick(self, now: float) -> dict[tuple[str, str], Findings]:
        """One round; returns the nodes with new findings, by name and address.  `now` is the time
        before it reads what has arrived."""
        self._read_replies()
        self._connections.advance()
        for target in self._schedule.missed(now):
            self.liveness[target.family].missed(target.node, target.index, _NO_ANSWER)
        for target in self._schedule.turns(now):
            self._send(target)
        late = self._schedule.pop_late()
        if late:
            self._late += late
        changed: dict[tuple[str, str], Findings] = {}
        for family, liveness in self.liveness.items():
            if late:
                liveness.was_late(now)
            for name in liveness.judge(now):
                address = self._targets.addresses[name, family]
                changed[name, address] = liveness.findings(name)
        return changed

    def end_window(self) -> None:
        """Forgets the faults that did not occur since this was called last."""
        self.faults, self._seen = self._seen, {}
        rounds, late = self._sent + self._late, self._late
        self._sent = self._late = 0
        if late > _LATE_FAULT_SHARE * rounds:
            self.faults["lateness"] = (
                f"{late} of {rounds} probes were late and count for nothing: this host is too "
                "busy, or interval_ms is too short for so many nodes"
            )

    def _send(self, target: Target) -> None:
        self._sent += 1
        self._schedule.sent(target, time.monotonic())
        try:
            if target.probe.kind is ProbeKind.ICMP:
                sock = self._echo_socket(target)
                if sock is not None:
                    sock.send(target.address, target.sequence, self._mark + target.secret)
            else:
                self._connections.start(target)
        except OSError as error:
            if error.errno in _LOCAL_ERRORS:
                self._void(target, f"cannot be sent: {reason_of(error)}")
            else:
                self._result(target, target.sequence, reason_of(error).lower())

    def _echo_socket(self, target: Target) -> EchoSocket | None:
        """The socket for the IP version of a target; None if this process may not open it."""
        family = target.family
        if family not in self._echo:
            try:
                self._echo[family] = EchoSocket(family, self._mark)
            except OSError as error:
                self._void(target, f"{NEEDS}: {reason_of(error)}")
                return None
        return self._echo[family]

    def _void(self, target: Target, fault: str) -> None:
        """A probe that could not be sent counts for nothing."""
        target.settled = target.sequence
        subject = target.probe.kind.value
        self._seen[subject] = self.faults[subject] = fault

    def _read_replies(self) -> None:
        for sock in self._echo.values():
            for source, sequence, data in sock.replies():
                for target in self._targets.by_address.get(source, ()):
                    if data == self._mark + target.secret:
                        number = newest(sequence, target.sequence)
                        self._result(target, number, "")

    def _result(self, target: Target, number: int, objection: str) -> None:
        """A probe was answered, or refused if there is an objection.  An answer that comes late
        still shows that the node lives; each answer counts once."""
        if objection:
            if number > target.settled:
                target.settled = number
                self.liveness[target.family].missed(target.node, target.index, objection)
        elif target.answered < number and number > target.sequence - self.rule.multiplier:
            target.answered = number
            target.settled = max(target.settled, number)
            self.liveness[target.family].answered(target.node, target.index)


class Process:
    """Reads orders, runs a Prober, and writes its reports without ever waiting for the reader."""

    def __init__(self) -> None:
        self._input = b""
        self._output = bytearray()
        self._prober: Prober | None = None
        self._changed: dict[tuple[str, str], Findings] = {}
        self._told: tuple[frozenset[Family], dict[str, str]] = (frozenset(), {})
        self._heartbeat_at = self._window_ends_at = time.monotonic()

    def run(self) -> None:
        """Runs until standard input ends."""
        poller = select.poll()
        poller.register(0, select.POLLIN)
        os.set_blocking(1, False)
        tick_at = time.monotonic()
        while True:
            wait = max(0.0, tick_at - time.monotonic())
            if poller.poll(wait * 1000) and not self._read_input():
                return
            now = time.monotonic()
            if now < tick_at:
                continue
            tick_at = now + self._tick_seconds
            if self._prober is not None:
                self._changed |= self._prober.tick(now)
            self._report(now)

    @property
    def _tick_seconds(self) -> float:
        if self._prober is None:
            return _TICK_MAX_SECONDS
        share = self._prober.rule.interval / _TICKS_PER_INTERVAL
        return min(_TICK_MAX_SECONDS, max(_TICK_MIN_SECONDS, share))

    def _read_input(self) -> bool:
        """Reads standard input; returns False at its end."""
        octets = os.read(0, _READ_OCTETS)
        self._input += octets
        *lines, self._input = self._input.split(b"\n")
        for line in lines:
            if self._prober is None:
                self._prober = Prober(decode_instructions(line))
                continue
            for order in decode_nodes(line):
                self._prober.follow(order, time.monotonic())
        return bool(octets)

    def _report(self, now: float) -> None:
        """Writes what is new as far as the reader takes it; the rest waits and is kept current."""
        prober = self._prober
        if prober is not None and now >= self._window_ends_at:
            self._window_ends_at = now + _WINDOW_SECONDS
            prober.end_window()
        while not self._output:
            report = self._next_report(now)
            if report is None:
                return
            self._output += encode_report(report)
            with contextlib.suppress(BlockingIOError):
                del self._output[: os.write(1, self._output)]
        with contextlib.suppress(BlockingIOError):
            del self._output[: os.write(1, self._output)]

    def _next_report(self, now: float) -> Report | None:
        prober = self._prober
        state = (prober.doubted, dict(prober.faults)) if prober else self._told
        found: dict[tuple[str, str], Findings] = {}
        while self._changed and len(found) < _NODES_PER_LINE:
            node, findings = self._changed.popitem()
            found[node] = findings
        if not found and state == self._told and now < self._heartbeat_at:
            return None
        self._told = state
        self._heartbeat_at = now + _HEARTBEAT_SECONDS
        return Report(found, *state)


def _prepare() -> None:
    """Takes as many descriptors and as much of the processor as this process may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)


if __name__ == "__main__":
    _prepare()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the main process ends this one
    try:
        Process().run()
    except BrokenPipeError:
        sys.exit(1)
