"""The state of a switch as a value."""

from __future__ import annotations

from msgspec import Struct

from porter_ryu.domain.model import Address
from porter_ryu.openflow.neighbours import Location


class SwitchHealth(Struct, frozen=True):
    """How a switch is.  `up`: it is connected and has what it should have, except what it refuses.
    `refused`: how many flows and groups those are.  `silent`: how many next hops do not answer;
    `doubted`: so many fell silent at once that it is not believed."""

    up: bool = False
    refused: int = 0
    silent: int = 0
    doubted: bool = False


class SwitchReport(Struct, frozen=True):
    """The state of a switch: `state` is "reading", "waiting", "filling" or "filled"; `refused` what
    it refuses, with its words; `nodes` where each next hop is (None: it does not answer).
    `packets`: sent to each next hop, by pool.  `since`: when it connected, in seconds of the
    monotonic clock; `changes`: how many messages have changed it since."""

    datapath: int
    address: str
    version: int
    state: str
    flows: int
    groups: int
    changes: int
    since: float
    doubted: bool
    refused: tuple[str, ...]
    nodes: tuple[tuple[Address, Location | None], ...]
    packets: tuple[tuple[tuple[str, Address], int], ...]
