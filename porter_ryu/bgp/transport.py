"""TCP sockets for BGP: source address, TTL, GTSM (RFC 5082) and TCP MD5 (RFC 2385)."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address

from eventlet.green import socket as green

from porter_ryu.domain.model import Address
from porter_ryu.domain.peering import PeerConfig, Secret
from porter_ryu.socket_address import canonical

_TCP_MD5SIG = 14
_TCP_SAVE_SYN = 27
_TCP_SAVED_SYN = 28
_SYN_MAX_OCTETS = 256
_IP_MINTTL = 21
_IPV6_MINHOPCOUNT = 73
_MAX_TTL = 255
_DEFAULT_TTL = -1  # the default of the kernel
_TTL_OFFSET, _HOP_LIMIT_OFFSET = 8, 7  # in the headers of IPv4 and IPv6
_BACKLOG = 128
_PROBE_PORT = 179


def family_of(address: Address) -> socket.AddressFamily:
    """The socket family of an address."""
    return socket.AF_INET if address.version == IPv4Address(0).version else socket.AF_INET6


def listen(address: Address, port: int) -> socket.socket:
    """Opens a listening socket; raises OSError.

    Its SYN-ACKs have TTL 255: the kernel sends them before the peer is known, and a peer with GTSM
    (RFC 5082) accepts no other.  `prepare` sets the TTL for the peer afterwards.  The kernel saves
    the SYN of each connection for `syn_ttl`.
    """
    sock: socket.socket = green.socket(family_of(address), socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _set_ttl(sock, _MAX_TTL)
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_SAVE_SYN, 1)
        sock.bind((str(address), port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def connect(peer: PeerConfig, internal: bool, timeout: float) -> socket.socket:
    """Opens a connection to a peer within `timeout` seconds; raises OSError."""
    sock: socket.socket = green.socket(family_of(peer.address), socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        if peer.local_address is not None:
            sock.bind((str(peer.local_address), 0))
        if peer.password is not None:
            set_md5(sock, peer.address, peer.password)
        prepare(sock, peer, internal)
        sock.connect((str(peer.address), peer.port))
        sock.settimeout(None)
    except OSError:
        sock.close()
        raise
    return sock


def prepare(sock: socket.socket, peer: PeerConfig, internal: bool) -> None:
    """Sets TTL and TCP options of the connection with a peer; raises OSError.

    With GTSM we send TTL 255 and accept only packets that came over at most multihop_ttl hops.
    Without it, an external peer is sent TTL multihop_ttl and an internal one the default TTL.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if peer.ttl_security:
        _set_ttl(sock, _MAX_TTL)
        _set_min_ttl(sock, _min_ttl(peer))
    else:
        _set_ttl(sock, _DEFAULT_TTL if internal else peer.multihop_ttl)


def passes_gtsm(sock: socket.socket, peer: PeerConfig) -> bool:
    """Whether GTSM allows an accepted connection to be this peer's (RFC 5082, 3).

    The minimum TTL can be set only after the connection is accepted, so the TTL of its SYN is
    checked here.  A connection whose SYN was not saved (the kernel used SYN cookies) does not pass.
    """
    if not peer.ttl_security:
        return True
    ttl = syn_ttl(sock)
    return ttl is not None and ttl >= _min_ttl(peer)


def syn_ttl(sock: socket.socket) -> int | None:
    """The TTL or hop limit of the SYN of an accepted connection; None if unknown."""
    try:
        syn = sock.getsockopt(socket.IPPROTO_TCP, _TCP_SAVED_SYN, _SYN_MAX_OCTETS)
    except OSError:
        return None
    offset = _TTL_OFFSET if sock.family == socket.AF_INET else _HOP_LIMIT_OFFSET
    return syn[offset] if len(syn) > offset else None


def _min_ttl(peer: PeerConfig) -> int:
    return _MAX_TTL + 1 - peer.multihop_ttl


def _set_ttl(sock: socket.socket, ttl: int) -> None:
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)


def _set_min_ttl(sock: socket.socket, ttl: int) -> None:
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, ttl)


def set_md5(sock: socket.socket, address: Address, password: Secret | None) -> None:
    """Sets the TCP MD5 key for a peer (RFC 2385), or removes it if None; raises OSError.

    The option is a struct tcp_md5sig (linux/tcp.h).
    """
    key = password.value if password is not None else b""
    if address.version == IPv4Address(0).version:
        sockaddr = struct.pack("=HH4s120x", socket.AF_INET, 0, address.packed)
    else:
        sockaddr = struct.pack("=HHI16sI100x", socket.AF_INET6, 0, 0, address.packed, 0)
    option = sockaddr + struct.pack("=BBHI80s", 0, 0, len(key), 0, key)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG, option)
    except OSError as error:
        if password is None and error.errno == errno.ENOENT:
            return
        raise


def source_address(peer: Address) -> Address | None:
    """The source address that this host uses towards a peer; None without a route or a free
    descriptor.  Sends nothing."""
    try:
        with socket.socket(family_of(peer), socket.SOCK_DGRAM) as probe:
            probe.connect((str(peer), _PROBE_PORT))
            return canonical(probe.getsockname()[0])
    except OSError:
        return None
