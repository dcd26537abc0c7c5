"""The frames that tell all hosts on a link which hardware address an IP address has now.

An ARP Announcement (RFC 5227, 3): a broadcast Request in which sender and target are the address.

+---------------+---------------+-------+-------+---------------+
|  1: Ethernet  |  0x0800: IPv4 |   6   |   4   |  1: Request   |
+---------------+---------------+-------+-------+---------------+
|  hardware and IP address of the sender                        |
+---------------------------------------------------------------+
|  zero, and the same IP address as the target      RFC 826     |

An unsolicited Neighbor Advertisement to all nodes (RFC 4861, 4.4 and 7.2.6), in its IPv6 packet:

+---------------+---------------+-------------------------------+
|   Type 136    |    Code 0     |           Checksum            |
+-+-+-+---------+---------------+-------------------------------+
|R|S|O|                     Reserved                            |
+-+-+-+---------------------------------------------------------+
|  Target Address; option 2: Target Link-Layer Address          |
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from porter_ryu.domain.model import Address

ETHERTYPE_ARP, ETHERTYPE_IPV6 = 0x0806, 0x86DD
_ARP = struct.Struct(">HHBBH")
_ETHERNET, _IPV4_PROTOCOL, _REQUEST = 1, 0x0800, 1
_BROADCAST = b"\xff" * 6
_NO_HARDWARE_ADDRESS = bytes(6)
_ALL_NODES = IPv6Address("ff02::1")
_ALL_NODES_HARDWARE = b"\x33\x33" + _ALL_NODES.packed[-4:]  # RFC 2464, 7
_ICMPV6, _ADVERTISEMENT = 58, 136
_ROUTER, _OVERRIDE = 0x80000000, 0x20000000
_TARGET_LINK_LAYER_ADDRESS = b"\x02\x01"  # its length is in units of eight octets
_VERSION_6 = 6 << 28
_HOP_LIMIT = 255  # RFC 4861, 7.1.2: a receiver discards anything else


class Frame(Struct, frozen=True):
    """What a frame carries, and the hardware address that it is sent to."""

    ethertype: int
    destination: bytes
    payload: bytes


def takeover(address: Address, hardware_address: bytes, is_router: bool) -> Frame:
    """The frame which says that `address` has this hardware address of six octets from now on.

    `is_router`: whether this host forwards IPv6 packets, which the R flag tells.
    """
    if isinstance(address, IPv4Address):
        payload = _arp_announcement(address, hardware_address)
        return Frame(ETHERTYPE_ARP, _BROADCAST, payload)
    payload = _neighbor_advertisement(address, hardware_address, is_router)
    return Frame(ETHERTYPE_IPV6, _ALL_NODES_HARDWARE, payload)


def _arp_announcement(address: IPv4Address, hardware_address: bytes) -> bytes:
    head = _ARP.pack(_ETHERNET, _IPV4_PROTOCOL, 6, 4, _REQUEST)
    sender, target = hardware_address + address.packed, _NO_HARDWARE_ADDRESS + address.packed
    return head + sender + target


def _neighbor_advertisement(
    address: IPv6Address, hardware_address: bytes, is_router: bool
) -> bytes:
    flags = _OVERRIDE | (_ROUTER if is_router else 0)
    rest = struct.pack(">I", flags) + address.packed + _TARGET_LINK_LAYER_ADDRESS + hardware_address
    length = 4 + len(rest)
    pseudo_header = address.packed + _ALL_NODES.packed + struct.pack(">II", length, _ICMPV6)
    head = struct.pack(">BBH", _ADVERTISEMENT, 0, 0)
    checksum = _internet_checksum(pseudo_header + head + rest)
    message = struct.pack(">BBH", _ADVERTISEMENT, 0, checksum) + rest
    packet = struct.pack(">IHBB", _VERSION_6, length, _ICMPV6, _HOP_LIMIT)
    return packet + address.packed + _ALL_NODES.packed + message


def _internet_checksum(octets: bytes) -> int:
    """RFC 1071, over an even number of octets."""
    total: int = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
