"""One line of the journal of announced paths: text to a change and back.

    + PREFIX PATH-ID NEXT-HOP       announced; PATH-ID is "-" without ADD-PATH
    - PREFIX PATH-ID                struck out

A line counts only if it is just what would be written, so two that a full disk has merged, and
one that was cut or edited, are never taken for another path.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

from porter_ryu.bgp.protocol.update import Path
from porter_ryu.domain.model import Address

LONGEST = 128
_NO_PATH_ID = "-"
_ANNOUNCED, _STRUCK_OUT = 4, 3
_PATH_IDS = range(1 << 32)  # RFC 7911, 3
_THIS_NETWORK = IPv4Network("0.0.0.0/8")


@dataclass(frozen=True, slots=True)
class Change:
    """What a line says; `next_hop` None: the path is struck out."""

    path: Path
    next_hop: Address | None


def encode(change: Change) -> bytes:
    """The line, with its end."""
    path_id = _NO_PATH_ID if change.path.path_id is None else change.path.path_id
    if change.next_hop is None:
        return f"- {change.path.prefix} {path_id}\n".encode("ascii")
    return f"+ {change.path.prefix} {path_id} {change.next_hop}\n".encode("ascii")


def decode(line: bytes) -> Change:
    """What a line with its end says; raises ValueError, with the reason, for any other octets."""
    if len(line) > LONGEST:
        raise ValueError(f"{len(line)} octets")
    words = line.decode("ascii").split()
    if len(words) not in (_ANNOUNCED, _STRUCK_OUT):
        raise ValueError(f"{len(words)} words")
    number = None if words[2] == _NO_PATH_ID else int(words[2])
    if number is not None and number not in _PATH_IDS:
        raise ValueError(f"path identifier {number}")
    next_hop = ip_address(words[3]) if len(words) == _ANNOUNCED else None
    change = Change(Path(ip_network(words[1]), number), next_hop)
    if isinstance(change.path.prefix.network_address, IPv6Address) and isinstance(
        next_hop, IPv4Address
    ):
        raise ValueError("an IPv6 prefix with an IPv4 next hop")
    if encode(change) != line:
        raise ValueError("not as it was written")
    return change


def may_be_next_hop(address: Address) -> bool:
    """Whether a router may take an address for a next hop: routers end the whole session over
    one that is unspecified, 0.0.0.0/8, loopback, link-local, multicast, 240.0.0.0/4, broadcast
    or an IPv4-mapped one."""
    if address.is_unspecified or address.is_loopback:
        return False
    if address.is_link_local or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return not address.is_reserved and address not in _THIS_NETWORK
    return address.ipv4_mapped is None and address.scope_id is None
