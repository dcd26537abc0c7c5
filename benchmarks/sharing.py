"""The cost of shared addresses: `python -m benchmarks.sharing`.

Many Services of one namespace have one sharing key, and the endpoints of one of them change.  It
prints the cost for a few and for many Services, with and without sharing.
"""

from __future__ import annotations

import time
from ipaddress import ip_address

from porter_ryu.domain.model import (
    Eip,
    Endpoint,
    EndpointSlice,
    Family,
    Kind,
    Node,
    NodeAddress,
    ObjectKey,
    Port,
    Service,
)
from porter_ryu.domain.planner import Planner, Policy

ROUNDS = 5


def planner_with(services: int, shared: bool) -> Planner:
    """A planner that has decided Services with one endpoint each and their addresses on record."""
    planner = Planner(Policy(), leading=True)
    planner.replace(Kind.EIP, [Eip("pool", "10.0.0.0/16")])
    planner.replace(Kind.NAMESPACE, [])
    nodes = [f"n{number}" for number in range(10)]
    addresses = {n: NodeAddress("InternalIP", ip_address(f"192.168.0.{n[1:]}")) for n in nodes}
    planner.replace(Kind.NODE, [Node(n, addresses=(addresses[n],)) for n in nodes])
    first = int(ip_address("10.0.0.0"))
    objects, slices = [], []
    for number in range(services):
        key = ObjectKey("default", f"s{number}")
        ingress = (ip_address(first + (0 if shared else number)),)
        ports = frozenset([Port("TCP", 1000 + number)])
        objects.append(
            Service(
                key,
                ours=True,
                ports=ports,
                families=(Family.IPV4,),
                share_key="k" if shared else None,
                ingress=ingress,
            )
        )
        slices.append(EndpointSlice(key, key, Family.IPV4, (Endpoint(nodes[number % 10]),)))
    planner.replace(Kind.SERVICE, objects)
    planner.replace(Kind.ENDPOINT_SLICE, slices)
    planner.turn(lambda: None, now=0.0)
    return planner


def one_change(services: int, shared: bool) -> float:
    """Seconds for the turn after one changed endpoint."""
    planner = planner_with(services, shared)
    key = ObjectKey("default", "s1")
    began = time.perf_counter()
    for number in range(ROUNDS):
        piece = EndpointSlice(key, key, Family.IPV4, (Endpoint(f"n{number}"),))
        planner.put(piece)
        planner.turn(lambda: None, now=0.0)
    return (time.perf_counter() - began) / ROUNDS


def main() -> None:
    """Prints the results."""
    for services in (100, 800):
        alone, together = one_change(services, False), one_change(services, True)
        print(f"{services} Services: {alone * 1e3:.2f} ms alone, {together * 1e3:.2f} ms shared")


if __name__ == "__main__":
    main()
