"""Whether the kernel changed an interface, an address or a route of this host since the last look.

It saves the programs that would be run to find that nothing changed.  A socket of rtnetlink (7)
receives what changes; what it says is not read, only that there is something.  It wakes nobody.
"""

from __future__ import annotations

import logging
import socket

from porter_ryu.log import reason_of

LOG = logging.getLogger(__name__)

# linux/rtnetlink.h: interfaces, addresses and routes, of both versions of IP, and next hops of
# their own (ip-nexthop(8)): a route whose next hop is replaced is not told of
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 1 << 31
_OCTETS = 4096  # more than that is dropped by the kernel, which then says so
_MOST_READ = 1000


class KernelChanges:
    """Opened with the first look, which finds a change, as does each while it cannot be opened."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def any(self) -> bool:
        """Whether something changed, or may have, since the last call."""
        if self._socket is None:
            self._open()
            return True
        found = False
        for _ in range(_MOST_READ):
            try:
                self._socket.recv(_OCTETS)
            except BlockingIOError:
                return found
            except OSError as error:
                LOG.debug("changes of this host were not received: %s", reason_of(error))
            found = True
        return found

    def _open(self) -> None:
        opened = None
        try:
            opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _OCTETS)
            opened.setblocking(False)
            opened.bind((0, _GROUPS))
        except OSError as error:
            LOG.debug("changes of this host are not received: %s", reason_of(error))
            if opened is not None:
                opened.close()
            return
        self._socket = opened
