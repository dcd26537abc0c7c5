"""What addresses cost: `python -m benchmarks.allocation`.

Adopting ten thousand recorded Services over a /16, one decision among ten and among ten thousand,
and the memory of pools of any size.  Everything in one process, so that ratios mean something.
"""

from __future__ import annotations

import time
import tracemalloc
from ipaddress import ip_address

from porter_ryu.domain.model import Eip, Kind, ObjectKey, Service
from porter_ryu.domain.planner import Planner, Policy

MANY = 10_000
ROUNDS = 200


def planner_with(services: int, recorded: bool) -> Planner:
    """A planner that was told of everything and has not decided yet."""
    planner = Planner(Policy(announce=False), leading=True)
    pool = Eip("pool", "10.0.0.0/16")
    planner.replace(Kind.EIP, [pool])
    for kind in (Kind.NODE, Kind.NAMESPACE, Kind.ENDPOINT_SLICE):
        planner.replace(kind, [])
    first = int(ip_address("10.0.0.0"))
    found = []
    for number in range(services):
        key = ObjectKey("default", f"s{number}")
        ingress = (ip_address(first + number),) if recorded else ()
        found.append(Service(key, ours=True, ingress=ingress))
    planner.replace(Kind.SERVICE, found)
    return planner


def first_turn(services: int, recorded: bool) -> float:
    """Seconds of the turn that decides all of them."""
    planner = planner_with(services, recorded)
    began = time.perf_counter()
    planner.turn(lambda: None, now=0.0)
    return time.perf_counter() - began


def one_decision(services: int) -> float:
    """Seconds that one Service more, and its end, cost among so many."""
    planner = planner_with(services, recorded=True)
    planner.turn(lambda: None, now=0.0)
    key = ObjectKey("default", "new")
    began = time.perf_counter()
    for _ in range(ROUNDS):
        planner.put(Service(key, ours=True))
        planner.turn(lambda: None, now=0.0)
        planner.remove(Kind.SERVICE, key)
        planner.turn(lambda: None, now=0.0)
    return (time.perf_counter() - began) / ROUNDS


def memory(address: str) -> int:
    """Bytes that a pool and one address of it take."""
    tracemalloc.start()
    planner = planner_with(1, recorded=False)
    planner.replace(Kind.EIP, [Eip("pool", address)])
    planner.turn(lambda: None, now=0.0)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used


def main() -> None:
    """Prints it all."""
    print(f"adopting {MANY} Services over a /16:  {first_turn(MANY, True):.2f} s")
    print(f"giving to {MANY} Services:            {first_turn(MANY, False):.2f} s")
    few, many = one_decision(10), one_decision(MANY)
    print(f"one Service more and gone, among 10:  {few * 1e3:.2f} ms")
    print(f"                  among {MANY}:       {many * 1e3:.2f} ms = {many / few:.1f} x")
    memory("10.0.0.1")
    for address in ("10.0.0.1/32", "10.0.0.0/8", "2001:db8::/64"):
        print(f"a pool {address:<16} {memory(address) / 1024:.0f} kB")


if __name__ == "__main__":
    main()
