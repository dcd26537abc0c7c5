"""The cost of assigning addresses: `python -m benchmarks.allocation`.

It measures the adoption of 10,000 recorded Services of a /16, one decision among ten and among
10,000 Services, and the memory of pools of different sizes, all in one process so that the results
can be compared.
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
    """A planner that has all objects and has not decided yet."""
    planner = Planner(Policy(announce=False), leading=True)
    pool = Eip("pool", "10.0.0.0/16")
    planner.replace(Kind.EIP, [pool])
    for kind in (Kind.NODE, Kind.NAMESPACE, Kind.ENDPOINT_SLICE):
        planner.replace(kind, [])
    first = int(ip_address("10.0.0.0"))
    objects = []
    for number in range(services):
        key = ObjectKey("default", f"s{number}")
        ingress = (ip_address(first + number),) if recorded else ()
        objects.append(Service(key, ours=True, ingress=ingress))
    planner.replace(Kind.SERVICE, objects)
    return planner


def first_turn(services: int, recorded: bool) -> float:
    """Seconds for the turn that decides all Services."""
    planner = planner_with(services, recorded)
    began = time.perf_counter()
    planner.turn(lambda: None, now=0.0)
    return time.perf_counter() - began


def one_decision(services: int) -> float:
    """Seconds for adding and removing one Service among so many."""
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
    """Bytes for a pool and one assigned address."""
    tracemalloc.start()
    planner = planner_with(1, recorded=False)
    planner.replace(Kind.EIP, [Eip("pool", address)])
    planner.turn(lambda: None, now=0.0)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used


def main() -> None:
    """Prints the results."""
    print(f"adopting {MANY} Services of a /16:    {first_turn(MANY, True):.2f} s")
    print(f"assigning to {MANY} Services:         {first_turn(MANY, False):.2f} s")
    few, many = one_decision(10), one_decision(MANY)
    print(f"adding and removing one, among 10:    {few * 1e3:.2f} ms")
    print(f"                  among {MANY}:       {many * 1e3:.2f} ms = {many / few:.1f} x")
    memory("10.0.0.1")
    for address in ("10.0.0.1/32", "10.0.0.0/8", "2001:db8::/64"):
        print(f"a pool {address:<16} {memory(address) / 1024:.0f} kB")


if __name__ == "__main__":
    main()
