"""Runs a process beside this one, which does what no long work here may delay.

It reads lines on its standard input, and reports by lines on its standard output, at least every
few seconds.  When it ends, hangs, writes an invalid line or cannot be started, it is started again.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from eventlet import patcher
from eventlet.green import subprocess
from ryu.lib import hub

from porter_ryu.backoff import Backoff
from porter_ryu.log import reason_of
from porter_ryu.supervisor import Beat, Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_RESTART_FIRST_SECONDS, _RESTART_MAX_SECONDS = 1.0, 30.0
_STABLE_SECONDS = 60.0
_SILENCE_MAX_SECONDS = 10.0  # the process reports every second that it is alive
_LINE_MAX_OCTETS = 1 << 16
_select = patcher.original("select")


class SideProcess:
    """`input_lines` yields the lines that the process has to read now, and is told whether they are
    its first.  `handle_line` handles a line that it wrote, and raises ValueError, KeyError or
    TypeError if that is invalid.  `ended` is called each time that the process has ended.  `name`
    is for the log.

    `fault`: why the process does not run, empty while it does.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        input_lines: Callable[[bool], Iterable[bytes]],
        handle_line: Callable[[bytes], None],
        ended: Callable[[], None],
        supervisor: Supervisor,
    ) -> None:
        self.fault = ""
        self._name = name
        self._command = command
        self._input_lines = input_lines
        self._handle_line = handle_line
        self._ended = ended
        self._supervisor = supervisor
        self._input_changed = hub.Event()
        self._running = False
        self._stopped = False

    def start(self) -> None:
        """Starts it, unless it was started or stopped before."""
        if not self._running and not self._stopped:
            self._running = True
            self._supervisor.keep_running(self._name.lower(), self._run)

    def input_changed(self) -> None:
        """There are other lines to read: the process is sent them."""
        self._input_changed.set()

    def stop(self) -> None:
        """Closes its input, so that it ends by itself."""
        self._running, self._stopped = False, True
        self._input_changed.set()

    def _run(self, beat: Beat) -> None:
        backoff = Backoff(_RESTART_FIRST_SECONDS, _RESTART_MAX_SECONDS)
        while self._running:
            beat()
            started_at, why = time.monotonic(), self._run_once(beat)
            self._ended()
            if not self._running:
                return
            if time.monotonic() - started_at > _STABLE_SECONDS:
                backoff.reset()
            self.fault = f"the {self._name} process {why}"
            LOG.error("%s; it is restarted", self.fault)
            hub.sleep(backoff.next())

    def _run_once(self, beat: Beat) -> str:
        """Starts the process and reads its reports until it ends; returns how it ended."""
        pipe = subprocess.PIPE
        try:
            # from /: a module in the working directory must not shadow ours
            process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, cwd="/")
        except OSError as error:
            return f"cannot be started: {reason_of(error)}"
        writer = self._supervisor.spawn(f"{self._name.lower()} input", self._write_input, process)
        try:
            why = self._read_reports(process, beat)
        finally:
            writer.end()
            process.kill()
            status = process.wait()
            for pipe_end in (process.stdin, process.stdout):
                with contextlib.suppress(OSError, ValueError):
                    pipe_end.close()
        return why or f"ended with status {status}"

    def _write_input(self, process: subprocess.Popen[bytes]) -> None:
        """Writes the input each time it changes.  It has a greenthread of its own, so that a
        process that does not read blocks nothing else."""
        give_way, first = TimeSlice(), True
        try:
            while not self._stopped:
                self._input_changed.clear()
                for line in self._input_lines(first):
                    process.stdin.write(line)
                    process.stdin.flush()
                    give_way()
                first = False
                self._input_changed.wait()
            process.stdin.close()
        except (OSError, ValueError):
            LOG.debug("the %s process has ended; the next one receives its input", self._name)

    def _read_reports(self, process: subprocess.Popen[bytes], beat: Beat) -> str:
        """Reads the reports of the process; returns why it must be killed, '' if it has ended."""
        while True:
            beat()
            line = None
            with hub.Timeout(_SILENCE_MAX_SECONDS, False):
                line = process.stdout.readline(_LINE_MAX_OCTETS)
            if line is None and self._has_output(process):
                continue  # this loop was late, not the process
            if line is None:
                return f"was silent for {_SILENCE_MAX_SECONDS:.0f} s"
            if not line:
                return ""
            try:
                self._handle_line(line)
            except (ValueError, KeyError, TypeError, RecursionError):
                return f"wrote an invalid line: {line[:80]!r}"
            self.fault = ""

    @staticmethod
    def _has_output(process: subprocess.Popen[bytes]) -> bool:
        return bool(_select.select([process.stdout.fileno()], [], [], 0)[0])
