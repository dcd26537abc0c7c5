"""What a speaker and its peers are told: settings as values, with no file behind them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from porter_ryu.domain.labels import EVERYTHING, LabelSelector
from porter_ryu.domain.model import Address, Family


class ConnectMode(enum.Enum):
    """Which side opens the TCP connection."""

    ACTIVE = "active"
    PASSIVE = "passive"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class SpeakerConfig:
    """The local side; times in seconds.

    `listen_addresses` empty: the address towards each peer; None: never listen.
    `restart_time` is 0 where graceful restart is off.  `max_next_hops` 0: no limit.
    """

    local_as: int
    router_id: IPv4Address
    listen_addresses: tuple[Address, ...] | None
    listen_port: int
    max_next_hops: int
    restart_time: int
    state_dir: str


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """One peer; times in seconds.

    `password` is the TCP MD5 key (kept out of every repr).  `med` and `local_pref` None: not
    sent (local_pref is sent as 100 to an internal peer, which must have one).
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
    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    local_pref: int | None = None
    med: int | None = None
    as_path_prepend: int = 0
    bfd: bool = False
    bfd_interval_ms: int = 300
    bfd_multiplier: int = 3

    @property
    def ipv4_over_ipv6(self) -> bool:
        """Whether IPv4 routes may go over an IPv6 session (RFC 8950)."""
        return isinstance(self.address, IPv6Address) and Family.IPV4 in self.families


@dataclass(frozen=True, slots=True)
class Secret:
    """Bytes that never show in a repr, a log line or a traceback."""

    value: bytes

    def __repr__(self) -> str:
        return "Secret(…)"
