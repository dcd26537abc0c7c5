"""What a peer does not take, found from the NOTIFICATIONs with which it ends its sessions.

RFC 7606 asks a router to treat a route that it cannot use as withdrawn, but many end the session
over one impossible next hop, and every route goes with it.  Said again, it would end the next
session too.  So what a peer refused is not said to it again for a time: whatever it refuses
costs only itself.

Most routers name it in the NOTIFICATION.  Where one does not, the next session says what is
suspected group by group, with a pause after each: the group that was said last when the session
ends is the suspect, and is divided further.  A group is the square root of what is suspected, up
to sixteen are tried one by one: of a hundred next hops the bad one is found in two sessions more
and some twenty pauses.
"""

from __future__ import annotations

import collections
import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.update import MP_REACH, MP_UNREACH, NEXT_HOP
from porter_ryu.domain.growth import doubled
from porter_ryu.domain.model import Address, Network

Suspect = Address | Network

BARRED_FIRST, BARRED_MOST = 600.0, 86400.0
PAUSE = 2.0  # seconds in which a peer answers what it does not take
_ANSWERS_WITHIN = 10.0
_ONE_BY_ONE = 16
_SAID_MOST = 10_000
_ABOUT_OTHERS = (2, 3, 4, 5, 6, 7, 11)  # well-known, flags, length, ORIGIN, AS_PATH
_INVALID_NETWORK_FIELD = 10
_INVALID_NEXT_HOP = 8
_EXTENDED_LENGTH = 0x10
_SHORT_HEAD = 3
_MP_REACH_HEAD = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a refusal: `barred`, for `seconds`; or so many `suspects`."""

    barred: tuple[Suspect, ...] = ()
    seconds: float = 0.0
    suspects: int = 0


class Refusals:
    """What one peer refuses; `withheld` is what it must not be told now: next hops, or prefixes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.withheld: set[Suspect] = set()
        self._clock = clock
        self._barred: dict[Suspect, float] = {}
        self._how_often: dict[Suspect, int] = {}
        self._groups: collections.deque[tuple[Suspect, ...]] = collections.deque()
        self._trying: tuple[Suspect, ...] = ()
        self._tried_at: float | None = None
        self._said: dict[Address, float] = {}
        self._trusted: set[Address] = set()

    @property
    def hunting(self) -> bool:
        """Whether something is still to be tried, or is being tried now."""
        return bool(self._trying or self._groups)

    def opened(self) -> None:
        """A new session: nothing was said in it, and what was being tried is tried again."""
        if self._said:
            self._trusted = self._long_said | (self._trusted & self._said.keys())
        self._said.clear()
        self._put_back(self._trying)
        self._trying = ()

    def said(self, next_hops: Iterable[Address]) -> None:
        """These next hops are announced."""
        for next_hop in next_hops:
            if next_hop not in self._said:
                self._said[next_hop] = self._clock()
                if len(self._said) > _SAID_MOST:
                    self._said.pop(next(iter(self._said)))

    def take(self, notification: Notification, prefixes: Collection[Network]) -> Verdict:
        """A session ended with an UPDATE Message Error; `prefixes` were announced in it."""
        named = named_next_hop(notification)
        if named is not None and named in self._said:
            self._put_back(tuple(s for s in self._trying if s != named))
            self._trying = ()
            return self._bar(named)
        if _is_shared(notification):
            return Verdict()
        suspects = self._trying or self._suspects(notification, prefixes)
        self._trying = ()
        if len(suspects) == 1:
            if self._trusted or self._said.keys() - set(suspects):
                return self._bar(suspects[0])
            # a peer that has taken nothing yet may refuse everything: the others are tried first
            self._groups.append(suspects)
            self.withheld.update(suspects)
            return Verdict(suspects=len(self._groups))
        size = math.isqrt(len(suspects)) if len(suspects) > _ONE_BY_ONE else 1
        for start in reversed(range(0, len(suspects), size)):
            self._put_back(suspects[start : start + size])
        return Verdict(suspects=len(suspects))

    def pause(self) -> float:
        """How many seconds the peer has left to refuse the group that was said last; to be asked
        when that is sent."""
        if not self._trying:
            return 0.0
        if self._tried_at is None:
            self._tried_at = self._clock()
        return max(0.0, self._tried_at + PAUSE - self._clock())

    def next_group(self) -> None:
        """What was said last was not refused: lets the next group be said, if there is one."""
        self._trusted.update(s for s in self._trying if isinstance(s, Address))
        self._trying = self._groups.popleft() if self._groups else ()
        self._tried_at = None
        self.withheld.difference_update(self._trying)

    def expire(self) -> bool:
        """Lets what was barred for long enough be tried again, each alone."""
        now = self._clock()
        over = [suspect for suspect, until in self._barred.items() if until <= now]
        for suspect in over:
            del self._barred[suspect]
            self._groups.append((suspect,))
        return bool(over)

    @property
    def _long_said(self) -> set[Address]:
        before = self._clock() - _ANSWERS_WITHIN
        return {next_hop for next_hop, at in self._said.items() if at < before}

    def _suspects(
        self, notification: Notification, prefixes: Collection[Network]
    ) -> tuple[Suspect, ...]:
        if notification.subcode == _INVALID_NETWORK_FIELD:
            return tuple(prefixes)
        trusted = self._trusted | self._long_said
        return tuple(hop for hop in self._said if hop not in trusted) or tuple(self._said)

    def _put_back(self, group: tuple[Suspect, ...]) -> None:
        if group:
            self._groups.appendleft(group)
            self.withheld.update(group)

    def _bar(self, suspect: Suspect) -> Verdict:
        before = self._how_often.get(suspect, 0)
        seconds = doubled(BARRED_FIRST, BARRED_MOST, before)
        self._how_often[suspect] = before + 1
        self._barred[suspect] = self._clock() + seconds
        self.withheld.add(suspect)
        return Verdict((suspect,), seconds)


def named_next_hop(notification: Notification) -> Address | None:
    """The next hop in the data of an UPDATE Message Error: of an attribute as it came, NEXT_HOP
    or MP_REACH_NLRI; or the bare address, as some send it.  None where there is none."""
    if notification.subcode == _INVALID_NEXT_HOP and len(notification.data) in (4, 16):
        return ip_address(notification.data)
    kind, value = _attribute(notification.data)
    if kind == NEXT_HOP and len(value) == 4:  # noqa: PLR2004 - an IPv4 address
        return IPv4Address(value)
    if kind == MP_REACH and len(value) > _MP_REACH_HEAD:
        length = value[3]
        address = value[_MP_REACH_HEAD : _MP_REACH_HEAD + min(length, 16)]
        if len(address) in (4, 16) and length in (4, 16, 32):
            return ip_address(address)
    return None


def _is_shared(notification: Notification) -> bool:
    """Whether it is about an attribute that all paths to a peer have alike."""
    kind, _ = _attribute(notification.data)
    if kind in (NEXT_HOP, MP_REACH, MP_UNREACH):
        return False
    return kind != 0 or notification.subcode in _ABOUT_OTHERS


def _attribute(data: bytes) -> tuple[int, bytes]:
    """Type and value of an attribute (RFC 4271, 4.3 and 6.3); type 0 where there is none."""
    if len(data) < _SHORT_HEAD:
        return 0, b""
    if data[0] & _EXTENDED_LENGTH:
        return data[1], data[_SHORT_HEAD + 1 :]
    return data[1], data[_SHORT_HEAD:]
