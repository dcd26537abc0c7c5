"""10,000 Services by four next hops into an FRR leaf's kernel, and one change into BIRD's.

The floors: for the whole table the time that the same UPDATEs take from a bare socket to the same
FRR's kernel; for one change the time from a bare socket to BIRD's kernel.  Both are printed beside
the program's figure.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path as File

from fabric import Fabric, Host, wait_for
from fabric.leaves import Bird, Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from porter_ryu.bgp.protocol import wire
from porter_ryu.bgp.protocol.open_message import Open, encode_open
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.update import Attributes, Path, announce, withdraw
from porter_ryu.domain.model import Address, Family

SERVICES = int(os.environ.get("SERVICES", "10000"))
CHANGES = 20
NODES = {f"n{i}": f"192.168.7.1{i}" for i in range(1, 5)}
OURS, LEAF = "192.168.7.5", "192.168.7.2"
FIRST = int(ip_address("10.64.0.0"))


def main() -> int:
    """Prints the figures."""
    if len(sys.argv) > 1:
        return bare_speaker(sys.argv[1])
    with Fabric() as fabric:
        switch = fabric.switch("switch")
        for name, address in {"porter": OURS, "leaf": LEAF}.items():
            fabric.link(fabric.host(name), switch, [f"{address}/24"], [])
        whole_table(fabric)
        one_change(fabric)
    return 0


def routes(host: Host) -> int:
    """How many BGP routes the kernel has."""
    return ("\n" + host.run("ip -4 route show proto bgp")).count("\n10.")


def whole_table(fabric: Fabric) -> None:
    """Process start to all routes in FRR's kernel, beside the floor."""
    us = [Neighbour(OURS, 65000)]
    floor = []
    for _ in range(2):
        leaf = Frr(fabric, fabric.hosts["leaf"], 65001, LEAF, us).start()
        began = time.monotonic()
        process = fabric.hosts["porter"].spawn(
            [sys.executable, "-m", "benchmarks", "all"], "bare.log"
        )
        wait_for(partial(routes, leaf.host), lambda n: n == SERVICES, 120, "the floor")
        floor.append(time.monotonic() - began)
        process.kill()
        leaf.stop()
        wait_for(partial(routes, leaf.host), lambda n: n == 0, 60, "an empty kernel")
    leaf = Frr(fabric, fabric.hosts["leaf"], 65001, LEAF, us).start()
    program = program_with_services(fabric)
    began = time.monotonic()
    program.start(ready=False)
    wait_for(lambda: routes(leaf.host), lambda n: n == SERVICES, 300, "all routes (first start)")
    first = time.monotonic() - began
    program.kill()
    leaf.stop()  # it would keep the routes for a restart
    wait_for(lambda: routes(leaf.host), lambda n: n == 0, 60, "an empty kernel")
    leaf = Frr(fabric, fabric.hosts["leaf"], 65001, LEAF, us).start()
    began = time.monotonic()
    program.start(ready=False)
    wait_for(lambda: routes(leaf.host), lambda n: n == SERVICES, 300, "all routes (restart)")
    again = time.monotonic() - began
    print(f"{SERVICES} Services x 4 next hops, process start -> FRR's kernel:")
    print(f"  floor (a bare socket, the same UPDATEs)    {min(floor):7.2f} s")
    print(
        f"  first start (addresses given, files read)  {first:7.2f} s = {first / min(floor):.1f} x"
    )
    print(
        f"  restart (addresses adopted, files read)    {again:7.2f} s = {again / min(floor):.1f} x"
    )
    program.stop()
    leaf.stop()


def program_with_services(fabric: Fabric) -> Program:
    """The program over a directory with all Services in one file each kind."""
    program = Program(
        fabric.hosts["porter"],
        {
            "bgp": {"local_as": 65000, "router_id": OURS, "peers": "leaf"},
            "peer:leaf": {"address": LEAF, "remote_as": 65001, "connect_retry": 1},
            "bound_ip": {"mode": "none"},
        },
    )
    for name, address in NODES.items():
        program.put(name, node(name, address))
    program.put("pool", eip("pool", "10.64.0.0/14"))
    for file, objects in (
        ("services", [service(f"s{i:05}") for i in range(SERVICES)]),
        ("slices", [slice_of(f"s{i:05}", *NODES) for i in range(SERVICES)]),
    ):
        text = json.dumps({"kind": "List", "items": objects})
        (program.manifests / f"{file}.json").write_text(text)
    return program


def one_change(fabric: Fabric) -> None:
    """One endpoint change to BIRD's kernel, by the program's own histogram and from outside."""
    bird = Bird(fabric.hosts["leaf"], 65001, LEAF, [Neighbour(OURS, 65000)]).start()
    program = Program(
        fabric.hosts["porter"],
        {
            "bgp": {"local_as": 65000, "router_id": OURS, "peers": "leaf"},
            "peer:leaf": {"address": LEAF, "remote_as": 65001, "connect_retry": 1},
            "bound_ip": {"mode": "none"},
        },
        name="one",
    )
    for name, address in NODES.items():
        program.put(name, node(name, address))
    program.put("pool", eip("pool", "203.0.113.0/28"))
    program.put("web", service("web"), slice_of("web", *NODES))
    program.start()
    taken = timed(bird, lambda names: program.put("web", service("web"), slice_of("web", *names)))
    metrics = fabric.hosts["porter"].run("curl -s http://127.0.0.1:8080/metrics")
    read = {
        line.split()[0]: float(line.split()[1])
        for line in metrics.splitlines()
        if line.startswith("porter_event_to_wire_seconds_")
    }
    program.stop()
    wish = fabric.hosts["porter"].folder / "wish"
    wish.write_text("1")
    fabric.hosts["porter"].spawn([sys.executable, "-m", "benchmarks", str(wish)], "bare.log")
    floor = timed(bird, lambda names: wish.write_text(str(len(names))))
    total, count = (read[f"porter_event_to_wire_seconds_{part}"] for part in ("sum", "count"))
    print("one endpoint change (directory of manifests, polled every 50 ms):")
    print(f"  floor (a bare socket, told by a file)  {floor * 1000:7.1f} ms")
    print(
        f"  file written -> BIRD's kernel, median  {taken * 1000:7.1f} ms = {taken / floor:.1f} x"
    )
    print(f"  object read -> UPDATE sent, mean       {total / count * 1000:7.2f} ms")
    bird.stop()


def timed(bird: Bird, change: Callable[[list[str]], object]) -> float:
    """Median seconds from a change of the next hops to BIRD's kernel."""
    taken = []
    for number in range(CHANGES):
        names = list(NODES)[: 1 + number % 2]
        want = frozenset(NODES[name] for name in names)
        began = time.monotonic()
        change(names)
        wait_for(lambda: bird.routes().get("203.0.113.0"), want.__eq__, 10, "a change")
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def bare_speaker(what: str) -> int:
    """The floor: a socket that sends the whole table (`all`), or follows the number of next hops
    that a file says."""
    ids = PathIds()
    paths = {}
    for text in NODES.values():
        hop = ip_address(text)
        paths[said(hop)] = [Path(ip_network(FIRST + i), ids.of(hop)) for i in range(SERVICES)]
    sock = socket.create_connection((LEAF, 179))
    ours = Open(65000, 90, IPv4Address(OURS), frozenset(Family), True, True, ((Family.IPV4, 2),))
    sock.sendall(encode_open(ours) + wire.KEEPALIVE)
    buffer = bytearray()
    established = False
    while True:
        buffer += sock.recv(65536)
        for kind, _ in wire.split(buffer):
            if kind is wire.MessageType.KEEPALIVE and not established:
                established = True
                if what != "all":
                    return follow(sock, what)
                sock.sendall(b"".join(announce(paths)))


def said(hop: Address) -> Attributes:
    """What paths by this next hop say."""
    return Attributes(hop, (65000,), four_octet_as=True)


def follow(sock: socket.socket, path: str) -> int:
    """Keeps one prefix at as many next hops as the file says."""
    ids, prefix, sent = PathIds(), ip_network("203.0.113.0/32"), 0
    hops = [ip_address(text) for text in NODES.values()]
    while True:
        wanted = int(File(path).read_text() or sent)
        for hop in hops[sent:wanted]:
            sock.sendall(b"".join(announce({said(hop): [Path(prefix, ids.of(hop))]})))
        for hop in hops[wanted:sent]:
            sock.sendall(b"".join(withdraw([Path(prefix, ids.of(hop))])))
        sent = wanted
        time.sleep(0.001)


if __name__ == "__main__":
    sys.exit(main())
