"""Which addresses this host and its default gateways have: they are never given to a Service.

The kernel is asked again every few seconds, for a host gets addresses and gateways while it runs.
What cannot be read is what it was; and while there is no default route, the last one counts on,
because a route that flaps must not give the address of a router away.  Where `ip` has not answered
yet, /proc says at least which addresses there are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from ryu.lib import hub

from porter_ryu.domain.model import Address
from porter_ryu.node.iproute import InterfaceAddress, IpError, IpRoute
from porter_ryu.supervisor import Beat

LOG = logging.getLogger(__name__)

_IPVS_DEVICE = "kube-ipvs0"
_LOOK_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """`own`: of this host, by whoever runs it.  `found`: on this host, and maybe some Service's:
    what kube-proxy in its IPVS mode keeps on its own device, and lone addresses beside a subnet's
    on the interface that we bind to, which an earlier run whose journal is lost, or Porter before
    us, left.  `gateways`: of its default routes.  What our journal has is in none of them."""

    own: frozenset[Address] = frozenset()
    found: frozenset[Address] = frozenset()
    gateways: frozenset[Address] = frozenset()


Bound = Callable[[Iterable[InterfaceAddress]], frozenset[Address]]


class HostView:
    """Knows the addresses of this host as they were when they could last be read.

    `bound` says which addresses of interfaces are ours by our journal; `interface` empty: that of
    the default route; `local` says which addresses the kernel takes for its own.
    """

    def __init__(
        self,
        ip: IpRoute,
        interface: str,
        bound: Bound,
        local: Callable[[], frozenset[Address]] | None = None,
    ) -> None:
        self.addresses = HostAddresses()
        self._ip = ip
        self._interface = interface
        self._bound = bound
        self._local = local or local_addresses
        self._device: str | None = None
        self._seen: Sequence[InterfaceAddress] = ()

    def look(self) -> bool:
        """Asks the kernel; returns whether anything is other than it was."""
        before = self.addresses
        ours = self._bound(self._seen)  # what is unbound just now is in the journal only before
        try:
            self._device = self._interface or self._ip.main_interface() or self._device
            self._seen = every = self._ip.interface_addresses()
            gateways = self._ip.default_gateways() or before.gateways
        except IpError as error:
            LOG.warning("the addresses of this host cannot be read: %s", error)
            if before == HostAddresses():
                self.addresses = HostAddresses(found=self._local())
            return self.addresses != before
        ours |= self._bound(every)
        found = {
            entry.address
            for entry in every
            if entry.device == _IPVS_DEVICE
            or (entry.extra and self._device in (None, entry.device))
        }
        own = {entry.address for entry in every}
        self.addresses = HostAddresses(
            frozenset(own - found - ours), frozenset(found - ours), gateways
        )
        return self.addresses != before

    def watch(self, changed: Callable[[], None], beat: Beat) -> None:
        """Looks every five seconds for as long as the program lasts."""
        while True:
            beat()
            hub.sleep(_LOOK_EVERY)
            if self.look():
                changed()


def local_addresses(root: str = "/proc/net") -> frozenset[Address]:
    """The addresses that the kernel takes for its own, without a word of their interfaces: what
    has to do while no process can be started.  Nothing where they cannot be read."""
    found: set[Address] = set()
    try:
        with open(f"{root}/fib_trie", encoding="ascii") as file:
            found.update(_of_trie(file))
        with open(f"{root}/if_inet6", encoding="ascii") as file:
            found.update(IPv6Address(bytes.fromhex(line.split()[0])) for line in file)
    except (OSError, ValueError, IndexError) as error:
        LOG.warning("%s does not tell all addresses of this host: %s", root, error)
    return frozenset(found)


def _of_trie(lines: Iterable[str]) -> Iterable[Address]:
    """An address stands in a line of its own, before the lines about its prefixes."""
    address = ""
    for line in lines:
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            yield IPv4Address(address)
