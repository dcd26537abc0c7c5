"""Looks at a kernel all the while: a route or an address that goes for a moment is seen."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping

from fabric import Host, end


@contextlib.contextmanager
def no_route_lost(host: Host, before: Mapping[str, frozenset[str]]) -> Iterator[None]:
    """Fails where the kernel of a leaf lost one of these routes, or one of its next hops, for a
    moment meanwhile, or has others in the end; `before` has the next hops by address."""
    log = f"monitor-{os.urandom(4).hex()}.log"
    monitor = host.spawn("ip -o -ts -4 monitor route", log)
    try:
        yield
    finally:
        end(monitor)
    after, told = host.multipath(), host.log(log)
    what = f"{host.name}: {{}}"
    for address, hops in before.items():
        assert after.get(address) == hops, what.format(f"{address} {hops} -> {after.get(address)}")
    for line in told.splitlines():
        words = line.split()
        for address in before.keys() & words:
            seen = {hop for via, hop in itertools.pairwise(words) if via == "via"}
            assert "Deleted" not in words, what.format(line)
            routed = "bgp" in words or "bird" in words
            assert not routed or seen >= before[address], what.format(line)


@contextlib.contextmanager
def stay_bound(host: Host, addresses: frozenset[str]) -> Iterator[None]:
    """Fails where one of these addresses is not bound on a host, or was not for a moment."""
    log = f"monitor-{os.urandom(4).hex()}.log"
    monitor = host.spawn("ip -o monitor address", log)
    try:
        yield
    finally:
        end(monitor)
    told, now = host.log(log), host.run("ip -o address show")
    for address in addresses:
        assert f" {address}/32 " in now, f"{address} is not bound\n{told}"
    for line in told.splitlines():
        lost = "Deleted" in line and any(f" {address}/32 " in line for address in addresses)
        assert not lost, line
