"""Flows as values, and the tables in which they stand.

A packet passes:

    0         an address of ours?      ARP and neighbour solicitation -> 200, 201
                                       to the virtual MAC -> (203 ->) a group
    200       the answer to an ARP request
    201, 202  the answer to a neighbour solicitation
    203       a known connection (conntrack) -> 205
    204       any other connection -> a group
    group     the number of the next hop into a register -> 205
    205       the MAC and the port of the next hop
    206       somebody says that an address of ours is his (ARP): he is not believed

So a group does not depend on MACs and ports, and a node that moves is one flow, not many groups.
The register with the pool is there for the counters of the flows in 205.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

CLASSIFY = 0
ARP_ANSWER, ND_ANSWER, ND_ADVERTISE = 200, 201, 202
CONNECTIONS, SPREAD, NODES = 203, 204, 205
ARP_CLAIM = 206

# the first 16 bits of the cookie of each flow of ours; the others are a hash of the flow
MARK = 0x5059 << 48
MARK_MASK = 0xFFFF << 48
EXACT = (1 << 64) - 1

PRIORITY_BASE = 0
PRIORITY_REPLY = 31_000
PRIORITY_ADDRESS, PRIORITY_PORT = 32_000, 32_001
PRIORITY_RESPONDER, PRIORITY_CLAIM, PRIORITY_LEARN = 32_100, 32_150, 32_200


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow of ours.  `match` and `instructions` are octets; `flags` only count when it is added.
    `about` says what it is for, in messages.

    Its cookie is a hash of all of it.  So what a switch has is known by the cookies alone.
    """

    table: int
    priority: int
    match: bytes
    instructions: bytes
    flags: int = 0
    about: str = field(default="", compare=False)
    cookie: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        text = b"%d %d %d " % (self.table, self.priority, len(self.match))
        digest = blake2b(text + self.match + self.instructions, digest_size=6).digest()
        object.__setattr__(self, "cookie", MARK | int.from_bytes(digest, "big"))

    @property
    def place(self) -> tuple[int, int, bytes]:
        """What makes it replace another flow."""
        return (self.table, self.priority, self.match)
