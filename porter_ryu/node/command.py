"""Runs `ip` with bounded time and output.

A command can fail to start (no descriptor, no memory, no program), hang, die, refuse, or print too
much.  Each of these raises IpError, so a caller has one exception to handle.  The pipes are not
read with `subprocess.communicate`: under eventlet it waits without a bound and raises exceptions of
another copy of the module.
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

_TIMEOUT_SECONDS = 5.0
_KILL_SECONDS = 1.0
_OUTPUT_MAX_OCTETS = 16 << 20  # about 80,000 addresses
_STDERR_MAX_OCTETS = 64 << 10
_READ_OCTETS = 1 << 16
_POLL_FIRST_SECONDS, _POLL_MAX_SECONDS = 0.001, 0.02


class IpError(Exception):
    """`ip` could not be run, did not end, or failed; the text is that of `ip` if it has one."""


class RefusedError(IpError):
    """`ip` was run and refused this request; other requests may succeed."""


class Runner(Protocol):
    """Runs a command."""

    def __call__(self, argv: Sequence[str], text: str = "") -> str:
        """Runs the argument vector with `text` as input; returns its output; raises IpError."""


class CommandRunner:
    """Runs one command at a time.

    A command has five seconds and 16 MB of output; beyond that its process group is killed.  A
    process that the kernel does not end (uninterruptible sleep) is waited for for one second; until
    it has ended no other command is started, so that such processes do not accumulate.
    """

    def __init__(
        self, timeout: float = _TIMEOUT_SECONDS, output_max: int = _OUTPUT_MAX_OCTETS
    ) -> None:
        self._timeout = timeout
        self._output_max = output_max
        self._lock = hub.Semaphore(1)
        self._unkillable: subprocess.Popen[bytes] | None = None

    def __call__(self, argv: Sequence[str], text: str = "") -> str:
        """Runs a command; returns its stdout, with surrogates for octets that are not UTF-8.
        Raises IpError; RefusedError for an exit status other than 0."""
        with self._lock:
            if self._unkillable is not None and self._unkillable.poll() is None:
                raise IpError(f"{argv[0]}: process {self._unkillable.pid} cannot be killed")
            self._unkillable = None
            with contextlib.ExitStack() as stack:
                try:
                    process, stdout, stderr = _start(argv, text, stack)
                except (OSError, ValueError) as error:
                    raise IpError(f"cannot run {argv[0]}: {reason_of(error)}") from error
                try:
                    output, errors = self._read_until_end(process, stdout, stderr)
                finally:
                    if process.returncode is None:
                        self._kill(process)
        if process.returncode:
            raise _failure(argv, process.returncode, errors)
        return output.decode("utf-8", "surrogateescape")

    def _read_until_end(
        self, process: subprocess.Popen[bytes], stdout: int, stderr: int
    ) -> tuple[bytes, bytes]:
        """Reads stdout and stderr until both are closed and the process has ended; raises
        IpError."""
        deadline = time.monotonic() + self._timeout
        output: dict[int, bytearray] = {stdout: bytearray(), stderr: bytearray()}
        total, is_open, give_way = 0, {stdout, stderr}, TimeSlice()
        while is_open:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select(list(is_open), [], [], left)
            if not ready and not left:
                raise self._timeout_error(process)
            for descriptor in ready:
                octets = os.read(descriptor, _READ_OCTETS)
                total += len(octets)
                if total > self._output_max:
                    limit = self._output_max >> 20
                    raise IpError(f"{_command_line(process.args)} printed more than {limit} MB")
                if not octets:
                    is_open.discard(descriptor)
                elif descriptor == stdout or len(output[stderr]) < _STDERR_MAX_OCTETS:
                    output[descriptor] += octets
            give_way()
        if not _wait_for_end(process, deadline):
            raise self._timeout_error(process)
        return bytes(output[stdout]), bytes(output[stderr])

    def _timeout_error(self, process: subprocess.Popen[bytes]) -> IpError:
        return IpError(f"{_command_line(process.args)} did not end within {self._timeout:g} s")

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it is not reaped, so the id is not reused
        if not _wait_for_end(process, time.monotonic() + _KILL_SECONDS):
            self._unkillable = process


def _start(
    argv: Sequence[str], text: str, stack: contextlib.ExitStack
) -> tuple[subprocess.Popen[bytes], int, int]:
    """Starts a command; returns the process and the descriptors to read its stdout and stderr.
    `stack` closes them, also when the start fails."""
    stdout, child_stdout = _pipe(stack)
    stderr, child_stderr = _pipe(stack)
    source = stack.enter_context(os.fdopen(os.memfd_create("input"), "w+b"))
    source.write(text.encode("utf-8", "surrogateescape"))
    source.seek(0)
    process = subprocess.Popen(
        list(argv),
        stdin=source,
        stdout=child_stdout,
        stderr=child_stderr,
        start_new_session=True,
    )
    child_stdout.close()
    child_stderr.close()
    return process, stdout, stderr


def _pipe(stack: contextlib.ExitStack) -> tuple[int, IO[bytes]]:
    """A pipe: its non-blocking read end as a descriptor, its write end as a file."""
    read_end, write = os.pipe()
    stack.callback(os.close, read_end)
    write_end = stack.enter_context(os.fdopen(write, "wb", buffering=0))
    os.set_blocking(read_end, False)
    return read_end, write_end


def _wait_for_end(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Waits until a process has ended; returns False if it has not by the deadline."""
    for tries in itertools.count():
        if process.poll() is not None:
            break
        if time.monotonic() >= deadline:
            return False
        hub.sleep(doubled(_POLL_FIRST_SECONDS, _POLL_MAX_SECONDS, tries))
    return True


def _failure(argv: Sequence[str], status: int, stderr: bytes) -> IpError:
    if status < 0:
        with contextlib.suppress(ValueError):
            return IpError(f"{_command_line(argv)} was ended by {signal.Signals(-status).name}")
        return IpError(f"{_command_line(argv)} was ended by signal {-status}")
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return RefusedError("; ".join(lines[:2]) or f"{_command_line(argv)} failed: {status}")


def _command_line(argv: object) -> str:
    return " ".join(str(word) for word in argv) if isinstance(argv, Sequence) else str(argv)
