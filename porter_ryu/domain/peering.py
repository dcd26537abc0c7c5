"""The configuration of the BGP speaker and its peers, as values.

The set of peers is one value, `wanted_peers`: sessions, TCP MD5 keys, BFD and metrics are made from
it alone.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.announcement import NO_ATTRIBUTES, PathAttributes
from porter_ryu.domain.labels import EVERYTHING, LabelSelector
from porter_ryu.domain.model import Address, Family, Node
from porter_ryu.domain.nodes.next_hops import NextHopPolicy

# "this network", and 240.0.0.0/4 with the limited broadcast (RFC 6890)
_NOT_HOSTS = (ip_network("0.0.0.0/8"), ip_network("240.0.0.0/4"))


# fields of PeerConfig that are not named as their options
_OPTIONS = {
    "password": "password_file",
    "fan_out": "local_addresses",
    "attributes": "the attributes of its paths",
}


class ConnectMode(enum.Enum):
    """Which side opens the TCP connection."""

    ACTIVE = "active"
    PASSIVE = "passive"
    BOTH = "both"


class BgpRole(enum.Enum):
    """What this speaker's AS is to the AS of an external peer (RFC 9234, 3.1)."""

    PROVIDER = "provider"
    CUSTOMER = "customer"
    PEER = "peer"


class SpeakerConfig(Struct, frozen=True):
    """The local side; times in seconds.

    `listen_addresses` empty: the local address towards each peer; None: never listen.
    `restart_time` 0: graceful restart is off.  `max_next_hops` 0: no limit.  `announces_self`: the
    local address of a session may be a next hop.
    """

    local_as: int
    router_id: IPv4Address
    listen_addresses: tuple[Address, ...] | None
    listen_port: int
    max_next_hops: int
    restart_time: int
    state_dir: str
    announces_self: bool = True


class PeerConfig(Struct, frozen=True):
    """One session that is wanted with a peer; times in seconds.

    A peer has one session, or one from each address in `fan_out`: then `local_address` is that of
    this session, and `name` is the name of the peer, `@` and this address.  `password` is the TCP
    MD5 key.  `role` is ours, None for an internal peer.  `attributes` are added to every path (an
    internal peer is sent LOCAL_PREF 100 where none is set, because it has to have one).
    """

    name: str
    address: Address
    remote_as: int
    port: int
    mode: ConnectMode
    local_address: Address | None
    password: Secret | None
    ttl_security: bool
    multihop_ttl: int
    hold_time: int
    connect_retry: int
    add_path: bool
    families: frozenset[Family]
    node_selector: LabelSelector = EVERYTHING
    attributes: PathAttributes = NO_ATTRIBUTES
    role: BgpRole | None = None
    bfd: bool = False
    bfd_interval_ms: int = 300
    bfd_multiplier: int = 3
    fan_out: tuple[Address, ...] = ()

    @property
    def peer(self) -> str:
        """The name of the peer, which all of its sessions have in common."""
        return self.name.removesuffix(f"@{self.local_address}") if self.fan_out else self.name

    @property
    def key(self) -> str:
        """What no other session has: the address of the peer; with fan-out, that of both ends."""
        return session_key(self.address, self.local_address if self.fan_out else None)

    @property
    def local_option(self) -> str:
        """The option that the local address is from."""
        return "local_addresses" if self.fan_out else "local_address"

    @property
    def session_settings(self) -> PeerConfig:
        """The same without what a session does not depend on: the attributes of paths, which nodes
        may be next hops, and the other sessions with the peer."""
        return replace(self, node_selector=EVERYTHING, attributes=NO_ATTRIBUTES, fan_out=())

    def changed_session_options(self, before: PeerConfig) -> list[str]:
        """The options of [peer:NAME] that a session depends on and that were others before."""
        return self._changed(self.session_settings, before.session_settings)

    def changed_options(self, before: PeerConfig) -> list[str]:
        """All options of [peer:NAME] that were others before."""
        return self._changed(self, before)

    @staticmethod
    def _changed(now: PeerConfig, before: PeerConfig) -> list[str]:
        names = [n for n in now.__struct_fields__ if getattr(now, n) != getattr(before, n)]
        return [_OPTIONS.get(name, name) for name in names]

    @property
    def ipv4_over_ipv6(self) -> bool:
        """Whether IPv4 routes are sent over an IPv6 session (RFC 8950)."""
        return isinstance(self.address, IPv6Address) and Family.IPV4 in self.families


class Secret(Struct, frozen=True):
    """Bytes that are not shown in a repr, and so in no log line or traceback."""

    value: bytes

    def __repr__(self) -> str:
        return "Secret(…)"


def session_key(remote: Address, local: Address | None) -> str:
    """The key of a session with fan-out, or of the session from any address (`local` is None)."""
    return str(remote) if local is None else f"{remote}@{local}"


def wanted_peers(
    configured: Iterable[PeerConfig], policy: NextHopPolicy, own: Node | None
) -> tuple[PeerConfig, ...]:
    """The peers that this instance speaks to now.

    They are all configured peers, or, if it announces only its own node, those whose node_selector
    matches that node.  `own` is that node, None where it is not known.
    """
    if policy.mode.central:
        return tuple(configured)
    return tuple(
        peer
        for peer in configured
        if not peer.node_selector.requirements
        or (own is not None and peer.node_selector.matches(own.labels))
    )


def session_address(text: str) -> Address:
    """Parses an address of one end of a BGP session; raises ValueError with what is wrong.

    Loopback is allowed, for a router on the same host, and IPv4 link-local, which routers of cloud
    providers have.
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not an IP address") from None
    if isinstance(address, IPv6Address):
        if address.is_link_local:
            raise ValueError(f"{text} is link-local: unnumbered peering is not supported")
        if address.scope_id is not None:
            raise ValueError(f"{text} has a zone, which only link-local addresses have")
        if address.ipv4_mapped is not None:
            raise ValueError(f"{text} is IPv4-mapped: write {address.ipv4_mapped}")
    if address.is_unspecified or address.is_multicast or any(address in n for n in _NOT_HOSTS):
        raise ValueError(f"{address} is the address of no host")
    return address
