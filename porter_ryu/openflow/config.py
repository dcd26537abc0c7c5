"""The settings of the switches, as the rest of the package reads them."""

from __future__ import annotations

import enum

from msgspec import Struct

from porter_ryu.domain.model import Address

DEFAULT_BUCKETS = 256
# a group of so many buckets fits into one message of 65,535 octets, and its weights into 2 %
MIN_BUCKETS, MAX_BUCKETS = 16, 512
DEFAULT_VIRTUAL_MAC = "02:50:52:59:55:01"


class Base(enum.Enum):
    """What becomes of packets that are not ours: the switch forwards them as ever by a flow of
    ours, or the flows are somebody else's."""

    NORMAL = "normal"
    NONE = "none"


class Affinity(enum.Enum):
    """Whether the switch remembers to which node a connection goes."""

    NONE = "none"
    CONNTRACK = "conntrack"


class OpenFlowSettings(Struct, frozen=True):
    """[openflow]: `datapaths` are the switches that are ours (none: all that connect), `gateways`
    the addresses besides the EIPs for which a switch answers.

    `probe_seconds`: how often the nodes are asked for their addresses.  `panic_percent`: above
    which share of the nodes a loss is not believed.  `max_next_hops` 0: no limit.
    """

    enabled: bool = False
    datapaths: frozenset[int] = frozenset()
    virtual_mac: bytes = bytes.fromhex("025052595501")
    gateways: tuple[Address, ...] = ()
    base: Base = Base.NORMAL
    buckets: int = DEFAULT_BUCKETS
    affinity: Affinity = Affinity.NONE
    probe_seconds: float = 0.3
    panic_percent: int = 90
    max_next_hops: int = 0
