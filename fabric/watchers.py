"""Monitors a kernel, and detects a route or an address that is missing even for a moment."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from fabric import Host, end, wait_for

_UNUSED = "192.0.2.254"  # RFC 5737
_SHOWN = 10


@contextlib.contextmanager
def _changes(host: Host) -> Iterator[list[str]]:
    """The changes of IPv4 routes in the kernel of a host, a line each with its time.  The list is
    filled at the end: with all from the beginning of the `with` block to its end, however late the
    machine runs the monitor."""
    log = f"monitor-{os.urandom(4).hex()}.log"
    monitor = host.spawn("ip -o -ts -4 monitor route", log)
    lines: list[str] = []
    try:
        _wait_until_heard(host, log)
        yield lines
        _wait_until_heard(host, log)
    finally:
        end(monitor)
    lines += [line for line in host.log(log).splitlines() if _UNUSED not in line]


def _wait_until_heard(host: Host, log: str) -> None:
    """Waits until a monitor has told all changes that are made before this is called."""
    before = host.log(log).count(_UNUSED)

    def heard() -> int:
        """Changes a route that nobody uses; how often that was told."""
        host.run(f"ip route replace blackhole {_UNUSED}")
        host.run(f"ip route del blackhole {_UNUSED}")
        return host.log(log).count(_UNUSED)

    wait_for(heard, lambda count: count > before, 20, "ip monitor to listen")


@contextlib.contextmanager
def no_route_lost(
    host: Host, before: Mapping[str, frozenset[str]], or_gained: bool = False
) -> Iterator[None]:
    """Fails if the kernel of a leaf loses one of these routes or one of its next hops (with
    `or_gained`: or gets another one), even for a moment, or has other next hops at the end;
    `before` has the next hops by address."""
    with _changes(host) as events:
        yield
    after = host.multipath()
    text = f"{host.name}: {{}}"
    for address, hops in before.items():
        assert after.get(address) == hops, text.format(f"{address} {hops} -> {after.get(address)}")
    for line in events:
        words = line.split()
        for address in before.keys() & words:
            seen = {hop for via, hop in itertools.pairwise(words) if via == "via"}
            assert "Deleted" not in words, text.format(line)
            routed = "bgp" in words or "bird" in words
            assert not routed or seen >= before[address], text.format(line)
            assert not (routed and or_gained) or seen == before[address], text.format(line)


@contextlib.contextmanager
def never_without(
    host: Host, *prefixes: str, within: Callable[[], float] | None = None
) -> Iterator[None]:
    """Fails if the kernel of a leaf has none of these routes, even for a moment; with `within` only
    if for longer than it says at the end, in seconds."""
    with _changes(host) as events:
        present = set(prefixes) & host.multipath().keys()
        yield
    seconds = 0.0 if within is None else within()
    lines = [line for line in events if set(prefixes) & set(line.split())]
    since: datetime | None = None  # when the last of them went
    for number, line in enumerate(lines):
        stamp, *words = line.split()
        at = datetime.fromisoformat(stamp.strip("[]"))
        for prefix in set(prefixes) & set(words):
            if "Deleted" in words:
                present.discard(prefix)
            else:
                present.add(prefix)
        gap = (at - since).total_seconds() if since is not None else 0.0
        around = lines[max(0, number - _SHOWN) : number + _SHOWN]
        text = "\n".join([f"{host.name} has none of {prefixes} at {line}:", *around])
        assert gap <= seconds, text
        assert present or seconds, text
        since = None if present else since or at
    assert since is None, f"{host.name} has none of {prefixes} since {since}"


@contextlib.contextmanager
def seconds_to_lose(
    host: Host, address: str, hop: str, cut: Callable[[], object]
) -> Iterator[list[float]]:
    """Calls `cut`, and measures how long after that the kernel of a leaf lost a next hop of a
    route, in seconds; the list has this one figure after the block, and is empty where it was not
    lost.  What `cut` itself takes does not count: it starts a process."""
    seconds: list[float] = []
    with _changes(host) as events:
        cut()
        began = time.time()
        yield seconds
    for line in events:
        stamp, *words = line.split()
        if address in words and hop not in words:
            seconds.append(datetime.fromisoformat(stamp.strip("[]")).timestamp() - began)
            return


@contextlib.contextmanager
def stay_bound(host: Host, addresses: frozenset[str]) -> Iterator[None]:
    """Fails if one of these addresses is not bound on a host, even for a moment."""
    log = f"monitor-{os.urandom(4).hex()}.log"
    monitor = host.spawn("ip -o monitor address", log)
    try:
        yield
    finally:
        end(monitor)
    events, bound = host.log(log), host.run("ip -o address show")
    for address in addresses:
        assert f" {address}/32 " in bound, f"{address} is not bound\n{events}"
    for line in events.splitlines():
        lost = "Deleted" in line and any(f" {address}/32 " in line for address in addresses)
        assert not lost, line


@contextlib.contextmanager
def route_changes(host: Host, address: str) -> Iterator[list[float]]:
    """When the IPv4 route of an address changed in the kernel of a leaf, in seconds since the
    epoch; the list is filled at the end."""
    times: list[float] = []
    with _changes(host) as events:
        yield times
    for line in events:
        stamp, *words = line.split()
        if address in words:
            times.append(datetime.fromisoformat(stamp.strip("[]")).timestamp())
