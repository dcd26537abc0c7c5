"""The log: each line once, with its time and level, printable, of a bounded length.

Repeats of a line are counted, and the count is logged later.  Text from outside (an annotation, a
peer, a file) can neither break a line nor reach the terminal as a control sequence.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable

from porter_ryu import tls_errors
from porter_ryu.domain.growth import doubled
from porter_ryu.domain.text import one_line

_OURS = "porter_ryu"
_FIRST_QUIET_SECONDS, _MAX_QUIET_SECONDS = 60.0, 3600.0
_MAX_REMEMBERED_LINES = 10_000
_MAX_BURST_LINES, _BURST_SECONDS = 100, 60.0


class _LineFormatter(logging.Formatter):
    """The time in UTC (RFC 3339), the level and the message, where Ryu's default has the message
    alone."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.converter = time.gmtime


class _LoggedLine:
    """A line that was logged: until when its repeats are only counted, and how many there are."""

    __slots__ = ("level", "repeats", "reports", "until")

    def __init__(self, now: float, level: int) -> None:
        self.level = level
        self.reports = self.repeats = 0
        self.until = now + _FIRST_QUIET_SECONDS

    def report(self, now: float) -> int:
        """Returns the number of repeats, resets it, and begins the next, longer quiet period."""
        repeats, self.repeats = self.repeats, 0
        self.reports += 1
        self.until = now + doubled(_FIRST_QUIET_SECONDS, _MAX_QUIET_SECONDS, self.reports)
        return repeats


class _Burst:
    """How often one message format was logged in the present minute, and the last line of it that
    was dropped."""

    __slots__ = ("count", "dropped", "last", "until")

    def __init__(self, now: float) -> None:
        self.until = now + _BURST_SECONDS
        self.count = self.dropped = 0
        self.last = ""


class LogFilter(logging.Filter):
    """A filter for a handler.  Records of other packages pass unchanged."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._logged: OrderedDict[tuple[str, str], _LoggedLine] = OrderedDict()
        self._bursts: OrderedDict[tuple[str, str], _Burst] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is printed; makes its text printable."""
        if not record.name.startswith(_OURS):
            return True
        text = one_line(record.getMessage())
        suffix = self._repeats(record.name, text, record.levelno)
        if suffix is None or not self._within_burst(record, text):
            return False
        record.msg, record.args = text + suffix, None
        if record.exc_info and not record.exc_text:
            lines = logging.Formatter().formatException(record.exc_info).splitlines()
            record.exc_text = "\n".join(one_line(line) for line in lines)
        return True

    def pending(self) -> list[tuple[str, int, str]]:
        """Logger, level and line for each count that is due; each is returned once."""
        now, lines = self._clock(), []
        for (name, text), line in list(self._logged.items()):
            if now < line.until:
                continue
            if line.repeats:
                lines.append((name, line.level, f"{text} ({line.report(now)} more times)"))
            else:
                del self._logged[name, text]
        for (name, template), burst in list(self._bursts.items()):
            if now >= burst.until:
                if burst.dropped:
                    text = f"{burst.dropped} more lines of this kind, the last: {burst.last}"
                    lines.append((name, logging.WARNING, text))
                del self._bursts[name, template]
        return lines

    def _repeats(self, name: str, text: str, level: int) -> str | None:
        """The suffix of a line about its earlier repeats; None: the line is only counted."""
        now = self._clock()
        line = self._logged.get((name, text))
        if line is not None and now < line.until:
            line.repeats += 1
            return None
        suffix = ""
        if line is not None and line.repeats:
            suffix = f" ({line.repeats} more times)"
        self._logged[name, text] = _LoggedLine(now, level)
        self._logged.move_to_end((name, text))
        while len(self._logged) > _MAX_REMEMBERED_LINES:
            self._logged.popitem(last=False)
        return suffix

    def _within_burst(self, record: logging.LogRecord, text: str) -> bool:
        """Whether its message format was not logged too often in the present minute."""
        now, template = self._clock(), (record.name, str(record.msg))
        burst = self._bursts.get(template)
        if burst is None:
            burst = self._bursts[template] = _Burst(now)
            while len(self._bursts) > _MAX_REMEMBERED_LINES:
                self._bursts.popitem(last=False)
        burst.count += 1
        if burst.count <= _MAX_BURST_LINES:
            return True
        burst.dropped += 1
        burst.last = text
        return False


def reason_of(error: Exception) -> str:
    """The text of an error.  For errors of the system it is that of strerror, because eventlet's
    sockets have only the name there (ECONNREFUSED)."""
    said = tls_errors.reason(error)
    if said:
        return said
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and number and number < 0:
        return error.strerror or str(error)  # an error of getaddrinfo
    return os.strerror(number) if number else str(error) or type(error).__name__


def install() -> Callable[[], None]:
    """Adds a filter to every handler of the root logger, and a format to those without one
    (`--log-config-file` sets others).  Returns a function that has to be called every few seconds,
    which logs the counts that are due."""
    filters = []
    for handler in logging.getLogger().handlers:
        log_filter = LogFilter()
        handler.addFilter(log_filter)
        if handler.formatter is None:
            handler.setFormatter(_LineFormatter())
        filters.append((handler, log_filter))

    def log_counts() -> None:
        for handler, log_filter in filters:
            for name, level, text in log_filter.pending():
                handler.emit(logging.LogRecord(name, level, __file__, 0, text, None, None))

    return log_counts
