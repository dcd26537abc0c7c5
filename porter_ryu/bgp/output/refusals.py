"""Finds which next hop or prefix a peer refuses, by the NOTIFICATIONs that end its sessions.

RFC 7606 asks a router to treat a route that it cannot use as withdrawn, but many routers end the
session because of one invalid next hop, and all routes are lost with it.  Announced again, it would
end the next session, too.  So what a peer refused is not announced to it for some time: a refusal
costs only the refused route.

Most routers name it in the NOTIFICATION.  For one that does not, the next session announces the
suspects group by group, with a pause after each.  The group that was announced last when the
session ends contains the cause, and is divided further.  The size of a group is the square root of
the number of suspects; up to sixteen suspects are tried one by one.  Of a hundred next hops the bad
one is found in two more sessions and some twenty pauses.
"""

from __future__ import annotations

import collections
import math
import time
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, ip_address

from msgspec import Struct

from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.update import MP_REACH, MP_UNREACH, NEXT_HOP
from porter_ryu.domain.growth import doubled
from porter_ryu.domain.model import Address, Network

Suspect = Address | Network

FIRST_BAR_SECONDS, MAX_BAR_SECONDS = 600.0, 86400.0
PAUSE_SECONDS = 2.0  # in which a peer answers an announcement that it refuses
_ANSWER_SECONDS = 10.0
_ONE_BY_ONE = 16
_REMEMBERED_NEXT_HOPS = 10_000
_ABOUT_OTHERS = (2, 3, 4, 5, 6, 7, 11)  # well-known, flags, length, ORIGIN, AS_PATH
_INVALID_NETWORK_FIELD = 10
_INVALID_NEXT_HOP = 8
_EXTENDED_LENGTH = 0x10
_SHORT_HEAD = 3
_MP_REACH_HEAD = 4


class Finding(Struct, frozen=True):
    """The result of a refusal: what is `barred` for `seconds`, or how many `suspects` there are."""

    barred: tuple[Suspect, ...] = ()
    seconds: float = 0.0
    suspects: int = 0


class Refusals:
    """What one peer refuses.  `withheld`: next hops and prefixes that must not be announced now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.withheld: set[Suspect] = set()
        self._clock = clock
        self._barred: dict[Suspect, float] = {}
        self._refusal_counts: dict[Suspect, int] = {}
        self._groups: collections.deque[tuple[Suspect, ...]] = collections.deque()
        self._trying: tuple[Suspect, ...] = ()
        self._tried_at: float | None = None
        self._announced_at: dict[Address, float] = {}
        self._trusted: set[Address] = set()

    @property
    def searching(self) -> bool:
        """Whether suspects are still to be tried, or are being tried now."""
        return bool(self._trying or self._groups)

    def opened(self) -> None:
        """A new session begins; the group that was being tried is tried again."""
        if self._announced_at:
            self._trusted = self._long_announced | (self._trusted & self._announced_at.keys())
        self._announced_at.clear()
        self._queue_first(self._trying)
        self._trying = ()

    def announced(self, next_hops: Iterable[Address]) -> None:
        """These next hops are being announced."""
        for next_hop in next_hops:
            if next_hop not in self._announced_at:
                self._announced_at[next_hop] = self._clock()
                if len(self._announced_at) > _REMEMBERED_NEXT_HOPS:
                    self._announced_at.pop(next(iter(self._announced_at)))

    def session_refused(self, notification: Notification, prefixes: Collection[Network]) -> Finding:
        """A session in which `prefixes` were announced ended with an UPDATE Message Error
        (RFC 4271, 6.3)."""
        named = named_next_hop(notification)
        if named is not None and named in self._announced_at:
            self._queue_first(tuple(s for s in self._trying if s != named))
            self._trying = ()
            return self._bar(named)
        if _is_shared(notification):
            return Finding()
        suspects = self._trying or self._suspects(notification, prefixes)
        self._trying = ()
        if len(suspects) == 1:
            if self._trusted or self._announced_at.keys() - set(suspects):
                return self._bar(suspects[0])
            # a peer that has accepted nothing yet may refuse everything: try the others first
            self._groups.append(suspects)
            self.withheld.update(suspects)
            return Finding(suspects=len(self._groups))
        size = math.isqrt(len(suspects)) if len(suspects) > _ONE_BY_ONE else 1
        for start in reversed(range(0, len(suspects), size)):
            self._queue_first(suspects[start : start + size])
        return Finding(suspects=len(suspects))

    def pause(self) -> float:
        """How many seconds to wait for the peer to refuse the group that was announced last; to be
        called when that group is sent."""
        if not self._trying:
            return 0.0
        if self._tried_at is None:
            self._tried_at = self._clock()
        return max(0.0, self._tried_at + PAUSE_SECONDS - self._clock())

    def next_group(self) -> None:
        """The last group was not refused: releases the next one, if there is one."""
        self._trusted.update(s for s in self._trying if isinstance(s, Address))
        self._trying = self._groups.popleft() if self._groups else ()
        self._tried_at = None
        self.withheld.difference_update(self._trying)

    def expire(self) -> bool:
        """Queues what was barred for long enough to be tried again, each alone."""
        now = self._clock()
        over = [suspect for suspect, until in self._barred.items() if until <= now]
        for suspect in over:
            del self._barred[suspect]
            self._groups.append((suspect,))
        return bool(over)

    @property
    def _long_announced(self) -> set[Address]:
        before = self._clock() - _ANSWER_SECONDS
        return {next_hop for next_hop, at in self._announced_at.items() if at < before}

    def _suspects(
        self, notification: Notification, prefixes: Collection[Network]
    ) -> tuple[Suspect, ...]:
        if notification.subcode == _INVALID_NETWORK_FIELD:
            return tuple(prefixes)
        trusted = self._trusted | self._long_announced
        return tuple(hop for hop in self._announced_at if hop not in trusted) or tuple(
            self._announced_at
        )

    def _queue_first(self, group: tuple[Suspect, ...]) -> None:
        if group:
            self._groups.appendleft(group)
            self.withheld.update(group)

    def _bar(self, suspect: Suspect) -> Finding:
        before = self._refusal_counts.get(suspect, 0)
        seconds = doubled(FIRST_BAR_SECONDS, MAX_BAR_SECONDS, before)
        self._refusal_counts[suspect] = before + 1
        self._barred[suspect] = self._clock() + seconds
        self.withheld.add(suspect)
        return Finding((suspect,), seconds)


def named_next_hop(notification: Notification) -> Address | None:
    """The next hop in the data of an UPDATE Message Error: in a whole NEXT_HOP or MP_REACH_NLRI
    attribute, or as a bare address, which some routers send.  None if there is none."""
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
    """Whether it is about an attribute that all paths to a peer have in common."""
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
