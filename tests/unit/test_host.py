"""Which addresses this host has, by the words of `ip`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from porter_ryu.domain.model import Address
from porter_ryu.node.host import HostAddresses, HostView, local_addresses
from porter_ryu.node.iproute import IpError, IpRoute


def addresses(*texts: str) -> frozenset[Address]:
    """Addresses as values."""
    return frozenset(ip_address(text) for text in texts)


class Kernel:
    """What `ip` answers; `links`: addresses by device, `routes`: default routes by version."""

    def __init__(self) -> None:
        self.links = {"eth0": ["192.168.0.5/24"], "lo": ["127.0.0.1/8"]}
        self.routes: dict[str, list[dict[str, Any]]] = {
            "-4": [{"dst": "default", "gateway": "192.168.0.1", "dev": "eth0"}],
            "-6": [],
        }
        self.broken = False
        self.meanwhile: Callable[[], None] = lambda: None  # what others do while `ip` answers

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


def view(kernel: Kernel, ours: Sequence[str] = (), interface: str = "") -> HostView:
    """A view of that kernel; `ours` is what the journal has."""
    return HostView(
        IpRoute(kernel), interface, lambda every: addresses(*ours) & {e.address for e in every}
    )


def test_own_addresses_and_the_gateway() -> None:
    host = view(Kernel())
    assert host.look()
    assert host.addresses == HostAddresses(
        addresses("192.168.0.5", "127.0.0.1"), frozenset(), addresses("192.168.0.1")
    )
    assert not host.look(), "nothing changed"


def test_an_address_that_comes_later_is_seen() -> None:
    kernel = Kernel()
    host = view(kernel)
    host.look()
    kernel.links["eth1"] = ["10.0.0.7/8", "fd00::7/64"]
    assert host.look()
    assert addresses("10.0.0.7", "fd00::7") < host.addresses.own
    del kernel.links["eth1"]
    assert host.look()
    assert not addresses("10.0.0.7", "fd00::7") & host.addresses.own


def test_a_lone_address_beside_a_subnets_may_be_some_services() -> None:
    kernel = Kernel()
    kernel.links["eth0"].append("203.0.113.1/32")
    kernel.links["kube-ipvs0"] = ["203.0.113.2/32"]
    kernel.links["lo"].append("203.0.113.3/32")
    host = view(kernel)
    host.look()
    assert host.addresses.found == addresses("203.0.113.1", "203.0.113.2")
    assert ip_address("203.0.113.3") in host.addresses.own


def test_what_we_have_bound_is_nothing_of_the_hosts() -> None:
    kernel = Kernel()
    kernel.links["eth0"].append("203.0.113.1/32")
    host = view(kernel, ours=["203.0.113.1"])
    host.look()
    assert ip_address("203.0.113.1") not in host.addresses.own | host.addresses.found


def test_what_is_unbound_while_we_look_is_nothing_of_the_hosts_either() -> None:
    kernel = Kernel()
    kernel.links["eth0"].append("203.0.113.1/32")
    ours = ["203.0.113.1"]
    host = view(kernel, ours)
    host.look()
    kernel.meanwhile = ours.clear
    host.look()
    assert ip_address("203.0.113.1") not in host.addresses.own | host.addresses.found


def test_what_cannot_be_read_is_what_it_was() -> None:
    kernel = Kernel()
    host = view(kernel)
    host.look()
    before = host.addresses
    kernel.broken = True
    assert not host.look()
    assert host.addresses == before


def test_a_default_route_that_is_gone_gives_no_gateway_and_no_interface_away() -> None:
    kernel = Kernel()
    kernel.links["eth0"].append("203.0.113.1/32")
    host = view(kernel)
    host.look()
    before, kernel.routes["-4"] = host.addresses, []
    assert not host.look()
    assert host.addresses == before
    kernel.routes["-4"] = [{"dst": "default", "gateway": "192.168.0.2", "dev": "eth0"}]
    assert host.look()
    assert host.addresses.gateways == addresses("192.168.0.2")


def test_every_gateway_of_every_default_route() -> None:
    kernel = Kernel()
    kernel.routes["-4"] = [
        {"dst": "default", "nexthops": [{"gateway": "10.0.0.1", "dev": "a"}, {"dev": "b"}]},
        {"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "eth0"},
    ]
    kernel.routes["-6"] = [{"dst": "default", "gateway": "fd00::1", "dev": "eth0"}]
    host = view(kernel)
    host.look()
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


def test_an_ip_that_does_not_answer_at_the_start_gives_no_address_of_the_host_away(
    tmp_path: Path,
) -> None:
    (tmp_path / "fib_trie").write_text(TRIE)
    inet6 = "fd000000000000000000000000000007 02 40 00 80     eth0\n"
    (tmp_path / "if_inet6").write_text(inet6)
    known = addresses("192.168.0.5", "127.0.0.1", "fd00::7")
    assert local_addresses(str(tmp_path)) == known
    kernel = Kernel()
    kernel.broken = True
    host = HostView(IpRoute(kernel), "", lambda _: frozenset(), lambda: known)
    assert host.look()
    assert host.addresses.found == known, "who has one on record keeps it"
    kernel.broken = False
    assert host.look()
    assert host.addresses.own == addresses("192.168.0.5", "127.0.0.1")


def test_no_proc_is_nothing_and_no_failure(tmp_path: Path) -> None:
    assert local_addresses(str(tmp_path)) == frozenset()


def test_this_kernel_says_its_loopback() -> None:
    assert ip_address("127.0.0.1") in local_addresses()
