"""The addresses of this host and of its default gateways, which no Service may get.

They change while the program runs.  So they are read again a few seconds after the kernel said that
something changed, or that they could not be read, and once a minute.  When they cannot be read, the
last ones count.  The last gateways also count while there is no default route: the address of a
router must not be given away because a route flaps.  If `ip` has never worked yet, /proc gives at
least the addresses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct
from ryu.lib import hub

from porter_ryu.domain.model import Address
from porter_ryu.node.iproute import InterfaceAddress, IpError, IpRoute
from porter_ryu.node.kernel_changes import KernelChanges
from porter_ryu.supervisor import Beat

LOG = logging.getLogger(__name__)

_IPVS_DEVICE = "kube-ipvs0"
_LOOK_INTERVAL_SECONDS, _SCAN_INTERVAL_SECONDS = 5.0, 60.0


class HostAddresses(Struct, frozen=True):
    """Addresses of this host, without those that our journal has.

    `own`: certainly of the host.  `unattributed`: on the host, but maybe of a Service: kube-proxy
    in IPVS mode keeps the addresses of Services on its own device, and an earlier run with a lost
    journal, or Porter, leaves host prefixes beside a subnet on the interface that we bind to.
    `gateways`: of the default routes.
    """

    own: frozenset[Address] = frozenset()
    unattributed: frozenset[Address] = frozenset()
    gateways: frozenset[Address] = frozenset()


BoundAmong = Callable[[Iterable[InterfaceAddress]], frozenset[Address]]


class HostMonitor:
    """Keeps the latest addresses of this host.

    `bound_among` returns which of some addresses are ours by the journal.  `interface` is where we
    bind; empty: that of the default route.  `local` reads the addresses from /proc.  `may_differ`
    returns whether the kernel may have changed something since it was called last.
    """

    def __init__(
        self,
        ip: IpRoute,
        interface: str,
        bound_among: BoundAmong,
        local: Callable[[], frozenset[Address]] | None = None,
        may_differ: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.addresses = HostAddresses()
        self._ip = ip
        self._interface = interface
        self._bound_among = bound_among
        self._local = local or local_addresses
        self._may_differ = may_differ or KernelChanges().any
        self._clock = clock
        self._scan_due_at = 0.0
        self._device: str | None = None
        self._last_scan: Sequence[InterfaceAddress] = ()

    def scan(self) -> bool:
        """Reads the addresses; returns whether they changed."""
        before = self.addresses
        self._scan_due_at = self._clock() + _SCAN_INTERVAL_SECONDS
        # an address that is unbound during this scan is in the journal only before it
        ours = self._bound_among(self._last_scan)
        try:
            routes = self._ip.default_routes()
            self._device = self._interface or routes.interface or self._device
            self._last_scan = every = self._ip.interface_addresses()
            gateways = routes.gateways or before.gateways
        except IpError as error:
            LOG.warning("the addresses of this host cannot be read: %s", error)
            self._scan_due_at = 0.0
            if before == HostAddresses():
                self.addresses = HostAddresses(unattributed=self._local())
            return self.addresses != before
        ours |= self._bound_among(every)
        unattributed = {
            entry.address
            for entry in every
            if entry.device == _IPVS_DEVICE
            or (entry.beside_subnet and self._device in (None, entry.device))
        }
        own = {entry.address for entry in every}
        self.addresses = HostAddresses(
            frozenset(own - unattributed - ours), frozenset(unattributed - ours), gateways
        )
        return self.addresses != before

    def look(self) -> bool:
        """Reads the addresses if they may have changed; returns whether they did."""
        due = self._clock() >= self._scan_due_at
        return (self._may_differ() or due) and self.scan()

    def run(self, changed: Callable[[], None], beat: Beat) -> None:
        """Looks every five seconds and calls `changed` after a change; never returns."""
        while True:
            beat()
            hub.sleep(_LOOK_INTERVAL_SECONDS)
            if self.look():
                changed()


def local_addresses(root: str = "/proc/net") -> frozenset[Address]:
    """The addresses of this host from /proc, for when no process can be started: without their
    interfaces, and empty if they cannot be read."""
    found: set[Address] = set()
    try:
        with open(f"{root}/fib_trie", encoding="ascii") as file:
            found.update(_local_ipv4(file))
        with open(f"{root}/if_inet6", encoding="ascii") as file:
            found.update(IPv6Address(bytes.fromhex(line.split()[0])) for line in file)
    except (OSError, ValueError, IndexError) as error:
        LOG.warning("some addresses of this host cannot be read from %s: %s", root, error)
    return frozenset(found)


def _local_ipv4(lines: Iterable[str]) -> Iterable[Address]:
    """In fib_trie, the line of an address precedes the lines of its prefixes."""
    address = ""
    for line in lines:
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            yield IPv4Address(address)
