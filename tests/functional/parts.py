"""Peers that are played by a test, in addition to BIRD and FRR, which must not be affected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fabric import Fabric
from fabric.leaves import Bird, Frr, Neighbour
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, first, peers

STRANGER = "192.168.7.77"
HEALTHY = ("bird", "frr")
_PLAYED_AS = LEAF_AS["gobgpd"]


def named_parts(count: int) -> dict[str, str]:
    """The addresses of `count` peers, by name."""
    return {f"part{number}": f"192.168.7.{100 + number}" for number in range(1, count + 1)}


@contextlib.contextmanager
def stage(fabric: Fabric, addresses: dict[str, str]) -> Iterator[dict[str, dict[str, object]]]:
    """BIRD and FRR while the `with` lasts, and the sections of a program that peers with them and
    with these parts; the parts and the stranger have their addresses on the host of gobgpd."""
    hosts, us = fabric.hosts, [Neighbour(OURS, 65000)]
    first(fabric, "porter", *HEALTHY)  # their hold time is three seconds
    bird = Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start()
    frr = Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start()
    sections = peers()
    for address in (STRANGER, *addresses.values()):
        hosts["gobgpd"].run(f"ip address add {address}/24 dev e4a")
    for name, address in addresses.items():
        sections[f"peer:{name}"] = {"address": address, "remote_as": _PLAYED_AS, "mode": "passive"}
    sections["bgp"]["peers"] = ",".join((*HEALTHY, *addresses))
    sections["bgp"]["hold_time"] = 3
    del sections["peer:gobgpd"]
    try:
        yield sections
    finally:
        frr.stop()
        bird.stop()
