"""The socket that sends ICMP echo requests of one IP version and receives the replies.

A ping socket needs no right but a group within net.ipv4.ping_group_range, a raw socket CAP_NET_RAW.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

from porter_ryu import packet_filter
from porter_ryu.domain.model import Family
from porter_ryu.liveness import echo
from porter_ryu.packet_filter import ACCEPT, DROP, JUMP_EQUAL, LOAD_WORD, NETWORK_HEADER, RETURN

NEEDS = "needs CAP_NET_RAW, or net.ipv4.ping_group_range with a group of this process"
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_IP_HEADER_OCTETS = {4: 20, 6: 40}
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # beyond the limits of the system, with CAP_NET_ADMIN
# requests to nodes that do not answer ARP stay in the send buffer for 3 s, about 1 kB each
_BUFFER_OCTETS = 16 << 20
_READ_OCTETS = 256
_READS_MAX = 10_000


class EchoSocket:
    """`mark` is at the begin of the data of each request.  Raises OSError if this process may open
    neither kind of socket."""

    def __init__(self, version: Family, mark: bytes) -> None:
        self._version = version
        self._identifier = random.getrandbits(16)
        family, protocol = _FAMILY[version], _PROTOCOL[version]
        try:
            self._sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
            raw = False
        except OSError:
            self._sock = socket.socket(family, socket.SOCK_RAW, protocol)
            raw = True
        self._with_ip_header = raw and version is Family.IPV4
        self._sock.setblocking(False)
        for forced, option in (
            (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
            (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        ):
            self._sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_OCTETS)
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_OCTETS)
        packet_filter.attach(self._sock, _filter(version, mark))

    def send(self, address: str, sequence: int, data: bytes) -> None:
        """Sends an echo request; raises OSError."""
        packet = echo.request(self._version, self._identifier, sequence, data)
        self._sock.sendto(packet, (address, 0))

    def replies(self) -> Iterator[tuple[str, int, bytes]]:
        """The replies that have arrived, of a bounded number: source address, sequence number and
        data."""
        for _ in range(_READS_MAX):
            try:
                packet, source = self._sock.recvfrom(_READ_OCTETS)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error about a request
            found = echo.reply(self._version, packet, self._with_ip_header)
            if found is not None:
                yield source[0], *found

    def close(self) -> None:
        """Closes it."""
        self._sock.close()


def _filter(version: int, mark: bytes) -> bytes:
    """Accepts only packets that have the mark where a reply has it."""
    offset = NETWORK_HEADER + _IP_HEADER_OCTETS[version] + echo.HEADER_OCTETS
    return packet_filter.pack(
        [
            (LOAD_WORD, 0, 0, offset),
            (JUMP_EQUAL, 1, 0, int.from_bytes(mark, "big")),
            (RETURN, 0, 0, DROP),
            (RETURN, 0, 0, ACCEPT),
        ]
    )
