"""Runs `ip`, and comes to an end whatever the command does.

A command can fail to start (no descriptor, no memory, no program), hang, die, say no, or print
what nobody can hold.  Each of these is an IpError here, so that whoever asks the kernel has one
thing to expect.  The pipes are read without the subprocess module's own `communicate`: under
eventlet that one waits without a bound and raises exceptions of a copy of the module.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Sequence
from typing import IO, Protocol

from eventlet.green import select, subprocess
from ryu.lib import hub

from porter_ryu.domain.growth import doubled
from porter_ryu.log import reason_of
from porter_ryu.time_slice import TimeSlice

_SECONDS = 5.0
_REAPED_WITHIN = 1.0
_OUTPUT_MOST = 16 << 20  # octets; some 80,000 addresses
_COMPLAINT_MOST = 64 << 10
_READ = 1 << 16
_POLL_FIRST, _POLL_MOST = 0.001, 0.02


class IpError(Exception):
    """`ip` could not be run, did not end, or said no; the message is its own."""


class RefusedError(IpError):
    """`ip` works, and this cannot be done as the host is: what else it was told may be done."""


class Run(Protocol):
    """Runs a command with this input; returns its output; raises IpError."""

    def __call__(self, argv: Sequence[str], text: str = "") -> str:
        """Takes the whole argument vector."""


class Commands:
    """Runs one command at a time, whoever asks.

    A command has five seconds and 16 MB of output.  What is beyond is killed, with every process
    of its group.  One that the kernel does not let go of (uninterruptible sleep) is waited for
    for a second; until it is gone no other is started, so that they do not pile up.
    """

    def __init__(self, seconds: float = _SECONDS, output_most: int = _OUTPUT_MOST) -> None:
        self._seconds = seconds
        self._output_most = output_most
        self._turn = hub.Semaphore(1)
        self._undead: subprocess.Popen[bytes] | None = None

    def __call__(self, argv: Sequence[str], text: str = "") -> str:
        """Runs a command; returns stdout, where octets that are no UTF-8 are surrogates; raises
        IpError, RefusedError for an exit status other than 0."""
        with self._turn:
            if self._undead is not None and self._undead.poll() is None:
                raise IpError(f"{argv[0]}: process {self._undead.pid} cannot be killed")
            self._undead = None
            with contextlib.ExitStack() as stack:
                try:
                    process, out, err = _start(argv, text, stack)
                except (OSError, ValueError) as error:
                    raise IpError(f"cannot run {argv[0]}: {reason_of(error)}") from error
                try:
                    printed, complaint = self._finish(process, out, err)
                finally:
                    if process.returncode is None:
                        self._kill(process)
        if process.returncode:
            raise _failure(argv, process.returncode, complaint)
        return printed.decode("utf-8", "surrogateescape")

    def _finish(self, process: subprocess.Popen[bytes], out: int, err: int) -> tuple[bytes, bytes]:
        """Reads until both ends are closed, and waits for the process; raises IpError."""
        deadline = time.monotonic() + self._seconds
        printed: dict[int, bytearray] = {out: bytearray(), err: bytearray()}
        total, reading, give_way = 0, {out, err}, TimeSlice()
        while reading:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select(list(reading), [], [], left)
            if not ready and not left:
                raise self._late(process)
            for descriptor in ready:
                octets = os.read(descriptor, _READ)
                total += len(octets)
                if total > self._output_most:
                    most = self._output_most >> 20
                    raise IpError(f"{_words(process.args)} printed more than {most} MB")
                if not octets:
                    reading.discard(descriptor)
                elif descriptor == out or len(printed[err]) < _COMPLAINT_MOST:
                    printed[descriptor] += octets
            give_way()
        if not _ended(process, deadline):
            raise self._late(process)
        return bytes(printed[out]), bytes(printed[err])

    def _late(self, process: subprocess.Popen[bytes]) -> IpError:
        return IpError(f"{_words(process.args)} did not end within {self._seconds:g} s")

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the id is still its own
        if not _ended(process, time.monotonic() + _REAPED_WITHIN):
            self._undead = process


def _start(
    argv: Sequence[str], text: str, stack: contextlib.ExitStack
) -> tuple[subprocess.Popen[bytes], int, int]:
    """Starts a command; returns where to read what it prints and what it complains of.  `stack`
    closes those two, and whatever was opened before something failed."""
    out, out_of_child = _pipe(stack)
    err, err_of_child = _pipe(stack)
    source = stack.enter_context(os.fdopen(os.memfd_create("input"), "w+b"))
    source.write(text.encode("utf-8", "surrogateescape"))
    source.seek(0)
    process = subprocess.Popen(
        list(argv),
        stdin=source,
        stdout=out_of_child,
        stderr=err_of_child,
        start_new_session=True,
    )
    out_of_child.close()
    err_of_child.close()
    return process, out, err


def _pipe(stack: contextlib.ExitStack) -> tuple[int, IO[bytes]]:
    """A pipe: the descriptor to read from, which never blocks, and the file to write to."""
    read, write = os.pipe()
    stack.callback(os.close, read)
    end = stack.enter_context(os.fdopen(write, "wb", buffering=0))
    os.set_blocking(read, False)
    return read, end


def _ended(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Whether a process has ended by then; waits for it."""
    for tries in itertools.count():
        if process.poll() is not None:
            break
        if time.monotonic() >= deadline:
            return False
        hub.sleep(doubled(_POLL_FIRST, _POLL_MOST, tries))
    return True


def _failure(argv: Sequence[str], status: int, complaint: bytes) -> IpError:
    if status < 0:
        with contextlib.suppress(ValueError):
            return IpError(f"{_words(argv)} was ended by {signal.Signals(-status).name}")
        return IpError(f"{_words(argv)} was ended by signal {-status}")
    lines = [line for line in complaint.decode("utf-8", "replace").splitlines() if line.strip()]
    return RefusedError("; ".join(lines[:2]) or f"{_words(argv)} failed: {status}")


def _words(argv: object) -> str:
    return " ".join(str(word) for word in argv) if isinstance(argv, Sequence) else str(argv)
