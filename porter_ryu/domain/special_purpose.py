"""Special-purpose addresses (RFC 6890): never assigned from a pool, and never a next hop.

A router that receives such a next hop may end the session: FRR sends a NOTIFICATION 3/8, and all
routes of the session are lost.
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from porter_ryu.domain.model import Address, Network

FORBIDDEN_IN_POOLS: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), what)
    for text, what in (
        ("0.0.0.0/8", "this-network"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)
_NO_NEXT_HOPS = (
    (IPv4Network("0.0.0.0/32"), "unspecified"),
    *FORBIDDEN_IN_POOLS,
    (IPv4Network("240.0.0.0/4"), "reserved"),
)


def never_in_a_pool(address: Address) -> str:
    """What kind of special-purpose address it is; empty if an Eip may have it."""
    for network, what in FORBIDDEN_IN_POOLS:
        if network.version == address.version and address in network:
            return what
    return ""


def never_a_next_hop(address: Address) -> str:
    """What kind of special-purpose address it is; empty if it can be a next hop."""
    for network, what in _NO_NEXT_HOPS:
        if network.version == address.version and address in network:
            return what
    return ""


def never_next_hops(network: Network) -> str:
    """What kind of special-purpose addresses a network has, if none of them can be a next hop;
    empty if some can."""
    for special, what in _NO_NEXT_HOPS:
        if special.version == network.version and network.subnet_of(special):  # type: ignore[arg-type]
            return what
    return ""
