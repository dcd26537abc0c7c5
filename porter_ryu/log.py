"""What reaches the log: each line once, printable, of a bounded length.

A fault that repeats is logged when it begins; its repeats are counted and the count is told.  Text
that came from outside (an annotation, a peer, a file) can neither break a line nor reach the
terminal as a control sequence.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable

from porter_ryu.domain.growth import doubled
from porter_ryu.domain.text import one_line

_OURS = "porter_ryu"
_QUIET_FIRST, _QUIET_MOST = 60.0, 3600.0
_REMEMBERED = 10_000
_KIND_MOST, _KIND_WINDOW = 100, 60.0


class _Said:
    """A line that was logged: until when its repeats are only counted, and how many came."""

    __slots__ = ("count", "level", "told", "until")

    def __init__(self, now: float, level: int) -> None:
        self.level = level
        self.told = self.count = 0
        self.until = now + _QUIET_FIRST

    def tell(self, now: float) -> int:
        """How many repeats came since it was last told; from now on they are counted anew."""
        count, self.count = self.count, 0
        self.told += 1
        self.until = now + doubled(_QUIET_FIRST, _QUIET_MOST, self.told)
        return count


class _Kind:
    """How often one message template was logged in the present minute."""

    __slots__ = ("count", "dropped", "until")

    def __init__(self, now: float) -> None:
        self.until = now + _KIND_WINDOW
        self.count = self.dropped = 0


class LogFilter(logging.Filter):
    """To be put on a handler.  Records of other libraries pass as they are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: OrderedDict[tuple[str, str], _Said] = OrderedDict()
        self._kinds: OrderedDict[tuple[str, str], _Kind] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is printed; what is printed is made printable."""
        if not record.name.startswith(_OURS):
            return True
        text = one_line(record.getMessage())
        more = self._repeats(record.name, text, record.levelno)
        if more is None or not self._within_burst(record):
            return False
        record.msg, record.args = text + more, None
        if record.exc_info and not record.exc_text:
            lines = logging.Formatter().formatException(record.exc_info).splitlines()
            record.exc_text = "\n".join(one_line(line) for line in lines)
        return True

    def pending(self) -> list[tuple[str, int, str]]:
        """Logger, level and line for each count that is due to be told; they count as told."""
        now, lines = self._clock(), []
        for (name, text), said in list(self._said.items()):
            if now < said.until:
                continue
            if said.count:
                lines.append((name, said.level, f"{text} ({said.tell(now)} more times)"))
            else:
                del self._said[name, text]
        for (name, template), kind in list(self._kinds.items()):
            if now >= kind.until:
                if kind.dropped:
                    text = f"{kind.dropped} more lines of this kind: {template}"
                    lines.append((name, logging.WARNING, text))
                del self._kinds[name, template]
        return lines

    def _repeats(self, name: str, text: str, level: int) -> str | None:
        """What to add to a line about its repeats; None where the line is only counted."""
        now = self._clock()
        said = self._said.get((name, text))
        if said is not None and now < said.until:
            said.count += 1
            return None
        more = f" ({said.count} more times)" if said is not None and said.count else ""
        self._said[name, text] = _Said(now, level)
        self._said.move_to_end((name, text))
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        return more

    def _within_burst(self, record: logging.LogRecord) -> bool:
        now, place = self._clock(), (record.name, str(record.msg))
        kind = self._kinds.get(place)
        if kind is None:
            kind = self._kinds[place] = _Kind(now)
            while len(self._kinds) > _REMEMBERED:
                self._kinds.popitem(last=False)
        kind.count += 1
        if kind.count <= _KIND_MOST:
            return True
        kind.dropped += 1
        return False


def reason_of(error: Exception) -> str:
    """Why something failed, in the words of the system: eventlet's sockets have but the name of
    the error (ECONNREFUSED)."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and number and number < 0:
        return error.strerror or str(error)  # a number of getaddrinfo's
    return os.strerror(number) if number else str(error) or type(error).__name__


def install() -> Callable[[], None]:
    """Puts a filter on every handler of the root logger; returns what has to be called every
    few seconds, so that counts are told."""
    filters = []
    for handler in logging.getLogger().handlers:
        mine = LogFilter()
        handler.addFilter(mine)
        filters.append((handler, mine))

    def tell() -> None:
        for handler, mine in filters:
            for name, level, text in mine.pending():
                handler.emit(logging.LogRecord(name, level, __file__, 0, text, None, None))

    return tell
