"""Tells the other hosts on a link that an address was bound here.

A neighbour that had the address at another host would otherwise send there until its entry expires:
half a minute or more.  Each address is told three times within two seconds, because a frame may be
lost and a switch may just be learning.  Only addresses of the link are told: of others, which
routers reach by a route, no host on the link asks.  It is a service to neighbours: nothing depends
on it, and no error of it affects what is bound.
"""

from __future__ import annotations

import collections
import logging
import socket
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from porter_ryu import metrics
from porter_ryu.domain.model import Network
from porter_ryu.log import reason_of
from porter_ryu.node.command import IpError
from porter_ryu.node.interfaces import Link
from porter_ryu.node.link_frames import Frame, takeover
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_TIMES = 3
_INTERVAL_SECONDS = 1.0
_SLICE_SECONDS, _FRAMES_PER_SLICE = 0.05, 10  # at most 200 frames a second

Send = Callable[[str, Frame], None]
OnLink = Callable[[str], frozenset[Network]]


class _Notice(Struct, frozen=True, eq=False):
    """An address and where it is bound."""

    network: Network
    link: Link
    is_router: bool


class LinkNotices:
    """Sends the notices of all addresses, at most 200 a second: each address is told once before
    any is told again.

    `on_link` returns the prefixes that are on the link of an interface; it raises IpError.  `send`
    sends a frame on an interface; it raises OSError, and PermissionError ends all sending.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        on_link: OnLink,
        send: Send,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = supervisor
        self._on_link = on_link
        self._send = send
        self._clock = clock
        # one queue for each time that an address is told; each in the order of its due times
        self._queues: tuple[collections.deque[tuple[float, _Notice]], ...] = tuple(
            collections.deque() for _ in range(_TIMES)
        )
        self._current: dict[Network, _Notice] = {}
        self._is_scheduled = False
        self._is_forbidden = False
        self._give_way = TimeSlice()

    def give(self, link: Link, addresses: Iterable[Network]) -> None:
        """Tells that these addresses are bound on an interface from now on; does not wait.

        Does nothing for an interface without hardware addresses and ARP.
        """
        if self._is_forbidden or not link.hardware_address:
            return
        is_router = _forwards_ipv6(link.name)
        notices = [_Notice(network, link, is_router) for network in addresses]
        self._current.update((notice.network, notice) for notice in notices)
        self._supervisor.spawn("link notices", self._accept, link.name, notices)

    def stop(self, addresses: Iterable[Network]) -> None:
        """Tells nothing more of these addresses: another host may have them next."""
        for network in addresses:
            self._current.pop(network, None)

    def _accept(self, interface: str, notices: list[_Notice]) -> None:
        """Puts the notices of addresses that are on the link into the first queue."""
        try:
            prefixes = self._on_link(interface)
        except IpError as error:
            LOG.warning("neighbours on %s are not told of addresses: %s", interface, error)
            prefixes = frozenset()
        lengths, now = _lengths(prefixes), self._clock()
        for notice in notices:
            self._give_way()
            network = notice.network
            if self._current.get(network) is not notice:
                continue
            of_version = lengths.get(network.version, ())
            if any(network.supernet(new_prefix=length) in prefixes for length in of_version):
                self._queues[0].append((now, notice))
            else:
                del self._current[network]
        self._schedule(0.0)

    def _schedule(self, seconds: float) -> None:
        if not self._is_scheduled and any(self._queues):
            self._is_scheduled = True
            self._supervisor.after(seconds, "link notices", self._send_slice)

    def _send_slice(self) -> None:
        self._is_scheduled = False
        try:
            self._send_due()
        except PermissionError as error:
            self._is_forbidden = True
            self.stop(list(self._current))
            for queue in self._queues:
                queue.clear()
            LOG.warning("neighbours are not told of addresses that are bound here: %s", error)
        finally:
            due = min((queue[0][0] for queue in self._queues if queue), default=0.0)
            self._schedule(max(_SLICE_SECONDS, due - self._clock()))

    def _send_due(self) -> None:
        now, left = self._clock(), _FRAMES_PER_SLICE
        for told, queue in enumerate(self._queues, start=1):
            while left and queue and queue[0][0] <= now:
                _, notice = queue.popleft()
                if self._current.get(notice.network) is not notice:
                    continue
                left -= 1
                self._send_one(notice)
                if told < _TIMES:
                    self._queues[told].append((now + _INTERVAL_SECONDS, notice))
                else:
                    del self._current[notice.network]

    def _send_one(self, notice: _Notice) -> None:
        """Sends a notice; raises PermissionError.  After another error the next time may succeed:
        the interface is down, or a queue is full."""
        link = notice.link
        frame = takeover(notice.network.network_address, link.hardware_address, notice.is_router)
        try:
            self._send(link.name, frame)
        except PermissionError:
            raise
        except OSError as error:
            reason = reason_of(error)
            LOG.warning("neighbours on %s cannot be told of an address: %s", link.name, reason)
        else:
            metrics.bound_ip_notices.inc()


class PacketSocket:
    """Sends frames by a packet socket, which is opened when it is first needed.

    It stays open, because the kernel waits for all processors when one is closed.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def send(self, interface: str, frame: Frame) -> None:
        """Sends a frame on an interface; does not wait.  Raises OSError; PermissionError, with a
        text for people, if this process may not."""
        if self._socket is None:
            self._socket = open_socket()
        destination = (interface, frame.ethertype, 0, 0, frame.destination)
        self._socket.sendto(frame.payload, destination)


def open_socket() -> socket.socket:
    """A packet socket that receives nothing; raises OSError; PermissionError, with a text for
    people, without the right to it."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    except PermissionError as error:
        text = "ARP announcements and neighbour advertisements need NET_RAW"
        raise PermissionError(text) from error
    sock.setblocking(False)
    return sock


def _lengths(prefixes: Iterable[Network]) -> dict[int, set[int]]:
    """The lengths of these prefixes by IP version."""
    found: dict[int, set[int]] = {}
    for prefix in prefixes:
        found.setdefault(prefix.version, set()).add(prefix.prefixlen)
    return found


def _forwards_ipv6(interface: str) -> bool:
    try:
        with open(f"/proc/sys/net/ipv6/conf/{interface}/forwarding", encoding="ascii") as file:
            return file.read().strip() not in ("", "0")
    except (OSError, ValueError):
        return False
