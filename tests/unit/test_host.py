"""The addresses of this host, from the output of `ip`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from porter_ryu.domain.model import Address
from porter_ryu.node.host import HostAddresses, HostMonitor, local_addresses
from porter_ryu.node.iproute import IpError, IpRoute


def addresses(*texts: str) -> frozenset[Address]:
    """Addresses as values."""
    return frozenset(ip_address(text) for text in texts)


class Kernel:
    """A fake `ip`.  `links`: addresses by device; `routes`: default routes by IP version."""

    def __init__(self) -> None:
        self.links = {"eth0": ["192.168.0.5/24"], "lo": ["127.0.0.1/8"]}
        self.routes: dict[str, list[dict[str, Any]]] = {
            "-4": [{"dst": "default", "gateway": "192.168.0.1", "dev": "eth0"}],
            "-6": [],
        }
        self.broken = False
        self.meanwhile: Callable[[], None] = lambda: None  # runs while `ip` answers

    def __call__(self, argv: Sequence[str], text: str = "") -> str:
        """Runs `ip -j`."""
        if self.broken:
            raise IpError("cannot fork")
        if "route" in argv:
            return json.dumps(self.routes[argv[2]])
        self.meanwhile()
        return json.dumps(
            [
                {
                    "ifname": device,
                    "ifindex": number,
                    "addr_info": [
                        {"local": t.partition("/")[0], "prefixlen": int(t.partition("/")[2])}
                        for t in texts
                    ],
                }
                for number, (device, texts) in enumerate(self.links.items(), 1)
            ]
        )


def monitor(kernel: Kernel, ours: Sequence[str] = (), interface: str = "") -> HostMonitor:
    """A monitor of that kernel; `ours` are the addresses in the journal."""
    return HostMonitor(
        IpRoute(kernel), interface, lambda every: addresses(*ours) & {e.address for e in every}
    )


def test_own_addresses_and_the_gateway() -> None:
    host = monitor(Kernel())
    assert host.scan()
    assert host.addresses == HostAddresses(
        addresses("192.168.0.5", "127.0.0.1"), frozenset(), addresses("192.168.0.1")
    )
    assert not host.scan(), "nothing changed"


def test_an_address_that_is_added_later_is_found() -> None:
    kernel = Kernel()
    host = monitor(kernel)
    host.scan()
    kernel.links["eth1"] = ["10.0.0.7/8", "fd00::7/64"]
    assert host.scan()
    assert addresses("10.0.0.7", "fd00::7") < host.addresses.own
    del kernel.links["eth1"]
    assert host.scan()
    assert not addresses("10.0.0.7", "fd00::7") & host.addresses.own


def test_a_host_prefix_beside_a_subnet_is_unattributed() -> None:
    kernel = Kernel()
    kernel.links["eth0"].append("203.0.113.1/32")
    kernel.links["kube-ipvs0"] = ["203.0.113.2/32"]
    kernel.links["lo"].append("203.0.113.3/32")
    host = monitor(kernel)
    host.scan()
    assert host.addresses.unattributed == addresses("203.0.113.1", "203.0.113.2")
    assert ip_address("203.0.113.3") in host.addresses.own


def test_an_address_that_we_have_bound_is_not_the_hosts() -> None:
    kernel = Kernel()
    kernel.links["eth0"].append("203.0.113.1/32")
    host = monitor(kernel, ours=["203.0.113.1"])
    host.scan()
    assert ip_address("203.0.113.1") not in host.addresses.own | host.addresses.unattributed


def test_an_address_that_is_unbound_during_the_scan_is_not_the_hosts() -> None:
    kernel = Kernel()
    kernel.links["eth0"].append("203.0.113.1/32")
    ours = ["203.0.113.1"]
    host = monitor(kernel, ours)
    host.scan()
    kernel.meanwhile = ours.clear
    host.scan()
    assert ip_address("203.0.113.1") not in host.addresses.own | host.addresses.unattributed


def test_while_the_addresses_cannot_be_read_the_last_ones_count() -> None:
    kernel = Kernel()
    host = monitor(kernel)
    host.scan()
    before = host.addresses
    kernel.broken = True
    assert not host.scan()
    assert host.addresses == before


def test_without_a_default_route_the_last_gateway_and_interface_count() -> None:
    kernel = Kernel()
    kernel.links["eth0"].append("203.0.113.1/32")
    host = monitor(kernel)
    host.scan()
    before, kernel.routes["-4"] = host.addresses, []
    assert not host.scan()
    assert host.addresses == before
    kernel.routes["-4"] = [{"dst": "default", "gateway": "192.168.0.2", "dev": "eth0"}]
    assert host.scan()
    assert host.addresses.gateways == addresses("192.168.0.2")


def test_addresses_are_read_again_once_the_kernel_changed_something() -> None:
    kernel, now, differs = Kernel(), [1000.0], [True]
    host = HostMonitor(
        IpRoute(kernel),
        "",
        lambda _: frozenset(),
        may_differ=lambda: differs[0],
        clock=lambda: now[0],
    )
    assert host.look()
    kernel.links["eth1"], differs[0] = ["10.0.0.7/8"], False
    assert not host.look()
    differs[0] = True
    assert host.look()
    del kernel.links["eth1"]
    differs[0] = False
    now[0] += 60
    assert host.look(), "the kernel may have said nothing"


def test_addresses_that_could_not_be_read_are_read_at_the_next_look() -> None:
    kernel = Kernel()
    host = HostMonitor(
        IpRoute(kernel), "", lambda _: frozenset(), frozenset, may_differ=lambda: False
    )
    host.scan()
    kernel.links["eth1"], kernel.broken = ["10.0.0.7/8"], True
    host.scan()
    kernel.broken = False
    assert host.look()


def test_every_gateway_of_every_default_route() -> None:
    kernel = Kernel()
    kernel.routes["-4"] = [
        {"dst": "default", "nexthops": [{"gateway": "10.0.0.1", "dev": "a"}, {"dev": "b"}]},
        {"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "eth0"},
    ]
    kernel.routes["-6"] = [{"dst": "default", "gateway": "fd00::1", "dev": "eth0"}]
    host = monitor(kernel)
    host.scan()
    assert host.addresses.gateways == addresses("10.0.0.1", "fe80::1", "fd00::1")


TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.168.0.0/24 2 0 2
        |-- 192.168.0.5
           /32 host LOCAL
        |-- 192.168.0.255
           /32 link BROADCAST
Local:
     |-- 127.0.0.1
        /32 host LOCAL
"""


def test_if_ip_fails_at_the_start_the_addresses_come_from_proc(
    tmp_path: Path,
) -> None:
    (tmp_path / "fib_trie").write_text(TRIE)
    inet6 = "fd000000000000000000000000000007 02 40 00 80     eth0\n"
    (tmp_path / "if_inet6").write_text(inet6)
    known = addresses("192.168.0.5", "127.0.0.1", "fd00::7")
    assert local_addresses(str(tmp_path)) == known
    kernel = Kernel()
    kernel.broken = True
    host = HostMonitor(IpRoute(kernel), "", lambda _: frozenset(), lambda: known)
    assert host.scan()
    assert host.addresses.unattributed == known, "a Service that has one on record keeps it"
    kernel.broken = False
    assert host.scan()
    assert host.addresses.own == addresses("192.168.0.5", "127.0.0.1")


def test_without_proc_there_are_no_addresses(tmp_path: Path) -> None:
    assert local_addresses(str(tmp_path)) == frozenset()


def test_proc_of_this_kernel_has_its_loopback_address() -> None:
    assert ip_address("127.0.0.1") in local_addresses()
