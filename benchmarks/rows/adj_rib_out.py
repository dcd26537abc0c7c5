"""One peer's Adj-RIB-Out: the difference from nothing to the whole table, and its encoding.

In this process, without sockets.  The floor is the encoding alone, by bare octets.
"""

from __future__ import annotations

import gc
import time
from ipaddress import ip_address, ip_network

from benchmarks import raw_bgp
from benchmarks.plan import FIRST, NODES, OUR_AS, Plan
from benchmarks.table import Figure
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut
from porter_ryu.domain.announcement import NO_ATTRIBUTES, Announcement, NextHop
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.model import Family

_ROUNDS = 5
_LONGEST = 4096
_WANTED_MS = 120.0


def measure(plan: Plan) -> list[Figure]:
    """Milliseconds of both."""
    plan.say("Adj-RIB-Out")
    announcements = frozenset(
        Announcement(NextHop(name, ip_address(address))) for name, address in NODES.items()
    )
    wanted = {ip_network(FIRST + i): announcements for i in range(plan.services)}
    differences, encodings, floors = [], [], []
    for _ in range(_ROUNDS):
        table = _empty_table()
        gc.collect()
        started = time.perf_counter()
        difference = table.sync(wanted, wanted)
        found = time.perf_counter()
        octets = list(difference.messages(_LONGEST))
        encoded = time.perf_counter()
        raw_bgp.announce(range(FIRST, FIRST + plan.services), list(NODES.values()), OUR_AS)
        floors.append((time.perf_counter() - encoded) * 1e3)
        differences.append((found - started) * 1e3)
        encodings.append((encoded - found) * 1e3)
        del difference, octets
    both = tuple(a + b for a, b in zip(differences, encodings, strict=True))
    return [
        Figure(
            "difference and encoding",
            both,
            "ms",
            floor=min(floors),
            floor_is="raw encoding",
            wanted=_WANTED_MS,
        ),
        Figure("the difference", tuple(differences), "ms"),
        Figure("the encoding", tuple(encodings), "ms"),
    ]


def _empty_table() -> AdjRibOut:
    """Of a router with ADD-PATH, in another AS."""
    policy = ExportPolicy(
        families=frozenset(Family),
        add_path=frozenset(Family),
        local_as=OUR_AS,
        internal=False,
        four_octet_as=True,
        attributes=NO_ATTRIBUTES,
        selector=LabelSelector(),
        max_next_hops=0,
        local_address=ip_address("192.168.7.5"),
        ipv4_over_ipv6=False,
    )
    return AdjRibOut(policy, PathIds())
