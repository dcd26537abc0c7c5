"""[liveness]: a node that does not answer is no next hop, whatever the directory says of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from fabric import Fabric, Host, end, wait_for
from fabric.http_get import get
from fabric.leaves import Frr, Neighbour
from fabric.metronome import Metronome
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, Sections, command
from fabric.watchers import no_route_lost, seconds_to_lose
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, first
from tests.rounds import SOAK, rounds

NODES = {f"n{number}": f"192.168.7.1{number}" for number in range(1, 5)}
NODES6 = {f"n{number}": f"fd00:7::1{number}" for number in range(1, 5)}
EIP = "203.0.113.8"
EVERY = tuple(NODES)
OURS6 = "fd00:7::5"
PROBER = "porter_ryu.liveness.process"


@pytest.fixture(scope="module")
def nodes(fabric: Fabric) -> dict[str, Host]:
    """Four hosts beside the leaves."""
    for name, address in NODES.items():
        host = fabric.host(name)
        addresses = [f"{address}/24", f"{NODES6[name]}/64"]
        fabric.link(host, fabric.hosts["switch"], addresses, [])
    return {name: fabric.hosts[name] for name in NODES}


@pytest.fixture(scope="module")
def leaf(fabric: Fabric) -> Iterator[Frr]:
    """FRR."""
    first(fabric, "porter", "frr")
    us = [Neighbour(OURS, 65000)]
    leaf = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us)
    yield leaf.start()
    leaf.stop()


def announcing(
    fabric: Fabric, leaf: Frr, name: str, under: Sequence[str] = (), **liveness: object
) -> Program:
    """The program with a Service on each node."""
    sections: Sections = {
        "bgp": {"local_as": 65000, "router_id": OURS, "peers": "frr"},
        "peer:frr": {"address": LEAVES["frr"], "remote_as": LEAF_AS["frr"], "connect_retry": 1},
        "bound_ip": {"mode": "none"},
        "liveness": liveness,
    }
    program = Program(fabric.hosts["porter"], sections, name=name)
    program.put("pool", eip("pool", "203.0.113.8-203.0.130.255"))
    program.put("nodes", *(node(name, NODES[name], NODES6[name]) for name in NODES))
    program.put("web", service("web"), slice_of("web", *NODES))
    program.start(under=under)
    routed(leaf, *EVERY, within=15)
    return program


@pytest.fixture
def program(
    fabric: Fabric, leaf: Frr, nodes: dict[str, Host], request: pytest.FixtureRequest
) -> Iterator[Program]:
    """It asks by ICMP, four times a second."""
    program = announcing(fabric, leaf, request.node.name, probes="icmp")
    probed(program, "ipv4", "ipv6")
    yield program
    for name in NODES:
        link(nodes[name], "up")
        nodes[name].run("sysctl -qw net.ipv4.icmp_echo_ignore_all=0")
    program.stop()


def cut(host: Host) -> None:
    """Sets the one link of a host down."""
    link(host, "down")


def link(host: Host, state: str) -> None:
    """Sets the one link of a host up or down."""
    host.run(f"ip link set {interface(host)} {state}")
    if state == "up":  # the kernel removed it with the link
        address = f"{NODES6[host.name]}/64"
        host.run(f"ip -6 address replace {address} dev {interface(host)} nodad")


def interface(host: Host) -> str:
    """The name of the one link of a host."""
    return host.run("ip -o link show type veth").split(": ")[1].partition("@")[0]


def routed(leaf: Frr, *names: str, within: float = 5) -> None:
    """The leaf's kernel comes to have exactly these nodes as next hops."""
    wait_for(
        lambda: leaf.routes().get(EIP, frozenset()),
        lambda seen: seen == {NODES[name] for name in names},
        within,
        f"{EIP} by {names}",
    )


def within_a_second(program: Program, metronome: Metronome) -> float:
    """Seconds in which the next hop of a node has left the kernel of the leaf after the link of the
    node went down, at 250 ms x 3.  On a machine that has other work, two processes and the router
    have to wait for the processor, as this test has."""
    return 1.0 + 3 * max(program.loop_lag(), metronome.late)


def why(program: Program, name: str) -> str:
    """What is said of a node as next hop of the Service."""
    (route,) = program.get("/v1/services/default/web")["routes"]
    return next(f"{n['reason']}: {n['why']}" for n in route["nodes"] if n["node"] == name)


def probed(program: Program, *families: str) -> None:
    """Each node comes to have answered a probe in these families."""
    for family in families:
        series = f'porter_nodes_probed{{family="{family}"}}'
        wait_for(partial(program.metric, series), float(len(NODES)).__eq__, 15, series)


def dead(program: Program) -> float | None:
    """How many nodes are dead by their probes."""
    return program.metric("porter_nodes_probed_dead")


def doubted(program: Program, yes: bool) -> None:
    """The alarm comes to be raised, or to end."""
    series = "porter_probes_doubted"
    wait_for(lambda: program.metric(series), lambda seen: seen == yes, 10, f"the alarm: {yes}")


def side_process(program: Program) -> int:
    """The process that probes."""
    pattern = f"pgrep -P {program.process.pid} -f {PROBER}"
    return int(program.host.run(pattern).split()[0])


def test_a_node_whose_link_goes_down_leaves_within_a_second_and_returns(
    leaf: Frr, nodes: dict[str, Host], program: Program, metronome: Metronome
) -> None:
    """Though the directory says all the time that it is Ready."""
    down = partial(cut, nodes["n4"])
    for _ in rounds():
        with seconds_to_lose(leaf.host, EIP, NODES["n4"], down) as seconds:
            routed(leaf, "n1", "n2", "n3")
        assert seconds[0] < within_a_second(program, metronome)
        assert dead(program) == 1
        assert "Dead: it is dead: icmp of " in why(program, "n4")
        link(nodes["n4"], "up")
        routed(leaf, *EVERY)
        wait_for(lambda: dead(program), lambda count: count == 0, 5, "its IPv6 address, too")
        assert why(program, "n4") == "NextHop: "


def test_the_last_nodes_of_a_service_may_all_be_dead(
    leaf: Frr, nodes: dict[str, Host], program: Program
) -> None:
    program.put("web", service("web"), slice_of("web", "n4"))
    routed(leaf, "n4")
    link(nodes["n4"], "down")
    routed(leaf)

    def reasons() -> list[tuple[str, bool]]:
        """Of the conditions that are not True, and whether the probes are in their message."""
        conditions = program.status("services", "default/web").get("conditions", [])
        probes = "it is dead: icmp of "
        return [(c["reason"], probes in c["message"]) for c in conditions if c["status"] != "True"]

    wait_for(reasons, [("NoUsableNode", True)].__eq__, 5, "the condition")


def test_a_node_that_is_new_readdressed_or_removed_is_followed(
    fabric: Fabric, leaf: Frr, nodes: dict[str, Host], program: Program
) -> None:
    nodes["n4"].run(f"ip address add 192.168.7.24/24 dev {interface(nodes['n4'])}")
    program.put(
        "nodes", *(node(n, NODES[n]) for n in ("n1", "n2", "n3")), node("n4", "192.168.7.24")
    )
    moved = {**NODES, "n4": "192.168.7.24"}
    wait_for(
        lambda: leaf.routes().get(EIP, frozenset()),
        lambda seen: seen == set(moved.values()),
        5,
        "the new address",
    )
    probed(program, "ipv4")
    link(nodes["n4"], "down")
    routed(leaf, "n1", "n2", "n3")
    program.put("nodes", *(node(n, NODES[n]) for n in ("n1", "n2", "n3")))
    wait_for(lambda: dead(program), lambda count: count == 0, 5, "the dead node to be forgotten")
    wait_for(lambda: why(program, "n4"), lambda told: "no such Node" in told, 5, "why it is none")


def test_our_own_link_is_cut_and_nothing_is_withdrawn(
    fabric: Fabric, leaf: Frr, nodes: dict[str, Host], program: Program
) -> None:
    """By a firewall, so that the leaf still hears us; at our end; at the other end."""
    ours = interface(program.host)
    rule = "-p icmp -j DROP"
    cuts = [
        (program.host, f"iptables -I {chain} {rule}", f"iptables -D {chain} {rule}")
        for chain in ("INPUT", "OUTPUT")
    ]
    ends = ((program.host, ours), (fabric.hosts["switch"], ours.removesuffix("a") + "b"))
    cuts += [(host, f"ip link set {end} down", f"ip link set {end} up") for host, end in ends]
    for host, cut, mend in cuts:
        with no_route_lost(leaf.host, {EIP: frozenset(NODES.values())}):
            host.run(cut)
            doubted(program, True)
            wait_for(lambda: why(program, "n1"), lambda told: told == "NextHop: ", 1, "no verdict")
            program.host.run("sleep 6")
            host.run(mend)
            # the kernel removed it with the link
            program.host.run(f"ip -6 address replace {OURS6}/64 dev {ours} nodad")
            doubted(program, False)
            probed(program, "ipv4", "ipv6")
        wait_for(lambda: dead(program), lambda count: count == 0, 5, "no node to be dead")
    assert "ALARM: almost all nodes stopped answering at once" in program.host.log(program.log)
    link(nodes["n3"], "down")
    routed(leaf, "n1", "n2", "n4", within=10)


def test_the_process_that_probes_is_killed_and_nothing_is_withdrawn(
    leaf: Frr, nodes: dict[str, Host], program: Program
) -> None:
    link(nodes["n4"], "down")
    routed(leaf, "n1", "n2", "n3")
    before = side_process(program)
    with no_route_lost(leaf.host, {EIP: frozenset(NODES[n] for n in ("n1", "n2", "n3"))}):

        def killed() -> str:
            """What is told of health when it was killed, if there was another one by now."""
            program.host.run(f"pkill -9 -P {program.process.pid} -f {PROBER}", check=False)
            return get(program.host, "/healthz", 60).text

        wait_for(killed, lambda told: "the liveness process" in told, 5, "it to be missed")
        wait_for(lambda: program.answers("/healthz"), bool, 10, "the process again")
        assert side_process(program) != before
        assert dead(program) == 1, "what was found before counts on"
    link(nodes["n4"], "up")
    routed(leaf, *EVERY)


def test_a_family_that_is_lost_alone_takes_no_route_of_the_other(
    leaf: Frr, nodes: dict[str, Host], program: Program
) -> None:
    with no_route_lost(leaf.host, {EIP: frozenset(NODES.values())}):
        nodes["n2"].run(f"ip -6 address del {NODES6['n2']}/64 dev {interface(nodes['n2'])}")
        wait_for(lambda: dead(program), lambda count: count == 1, 5, "its IPv6 address to be dead")
        assert why(program, "n2") == "NextHop: "


WITHOUT_RAW = ("setpriv", "--bounding-set=-net_raw")


@pytest.fixture
def unprivileged(
    fabric: Fabric, leaf: Frr, nodes: dict[str, Host], request: pytest.FixtureRequest
) -> Iterator[Program]:
    """It asks by ICMP, and has no right to."""
    program = announcing(fabric, leaf, request.node.name, under=WITHOUT_RAW, probes="icmp")
    yield program
    link(nodes["n4"], "up")
    program.host.run(["sysctl", "-qw", "net.ipv4.ping_group_range=1 0"])
    program.stop()


def test_without_the_right_to_send_icmp_nothing_is_lost_and_check_says_so(
    unprivileged: Program, leaf: Frr, nodes: dict[str, Host], metronome: Metronome
) -> None:
    program, without = unprivileged, WITHOUT_RAW
    check = [*without, command("porter-ryu"), "check", "--config-file", str(program.config)]
    fault = "icmp needs CAP_NET_RAW, or net.ipv4.ping_group_range with a group of this process"
    assert f"[liveness] probes: {fault}" in program.host.run(check, check=False)
    program.logs(f"probing of nodes, {fault.replace(' ', ': ', 1)}")
    assert program.metric('porter_nodes_probed{family="ipv4"}') == 0
    program.host.run(["sysctl", "-qw", "net.ipv4.ping_group_range=0 0"])
    probed(program, "ipv4", "ipv6")
    assert "[liveness]" not in program.host.run(check, check=False)
    with seconds_to_lose(leaf.host, EIP, NODES["n4"], partial(cut, nodes["n4"])) as seconds:
        routed(leaf, "n1", "n2", "n3")
    within = within_a_second(program, metronome)
    assert seconds[0] < within, "a ping socket does as well as a raw one"


HOSTILE = """
import socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
other = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
other.bind(("192.168.7.99", 0))
def send(by, kind, code, identifier, sequence, data, to):
    packet = struct.pack(">BBHHH", kind, code, 0, identifier, sequence) + data
    packet += bytes(len(packet) % 2)
    total = sum(struct.unpack(f">{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 65535)
    checksum = ~(total + (total >> 16)) & 65535
    by.sendto(packet[:2] + struct.pack(">H", checksum) + packet[4:], to)
replay = None
while True:
    packet, source = sock.recvfrom(2000)
    icmp = packet[(packet[0] & 15) * 4:]
    if icmp[0] != 8:
        continue
    identifier, sequence = struct.unpack_from(">HH", icmp, 4)
    data = icmp[8:]
    replay = replay or (identifier, sequence, data)
    for by, kind, code, i, s, d in (
        (other, 0, 0, identifier, sequence, data),
        (sock, 3, 1, identifier, sequence, data),
        (sock, 0, 1, identifier, sequence, data),
        (sock, 0, 0, identifier, sequence + 1 & 65535, data),
        (sock, 0, 0, identifier, sequence - 7 & 65535, data),
        (sock, 0, 0, identifier, sequence, data[:-1] + b"?"),
        (sock, 0, 0, identifier, sequence, data[:4]),
        (sock, 0, 0, identifier, sequence, data * 50),
        (sock, 0, 0, *replay),
    ):
        send(by, kind, code, i, s, d, source)
"""


def test_what_is_no_reply_to_our_request_is_no_answer(
    leaf: Frr, nodes: dict[str, Host], program: Program
) -> None:
    """Another source, type, code, number or data; a reply that came before."""
    n4 = nodes["n4"]
    n4.run(f"ip address add 192.168.7.99/24 dev {interface(n4)}")
    hostile = n4.spawn([sys.executable, "-c", HOSTILE], "hostile.log")
    n4.run("sysctl -qw net.ipv4.icmp_echo_ignore_all=1")
    routed(leaf, "n1", "n2", "n3")
    with no_route_lost(leaf.host, {EIP: frozenset(NODES[n] for n in ("n1", "n2", "n3"))}):
        program.host.run("sleep 3")
    assert hostile.poll() is None, n4.log("hostile.log")
    end(hostile)
    n4.run("sysctl -qw net.ipv4.icmp_echo_ignore_all=0")
    routed(leaf, *EVERY)


BUSY = "while True: sum(range(1000))"
LOAD_SECONDS = 300 if SOAK else 20


def test_no_false_alarm_under_full_load(
    leaf: Frr, nodes: dict[str, Host], program: Program
) -> None:
    """Both processors are busy, and 10,000 routes are sent again and again."""
    with no_route_lost(leaf.host, {EIP: frozenset(NODES.values())}):
        # with the priority of the program, as what this host starts
        busy = [program.host.spawn([sys.executable, "-c", BUSY], "busy.log") for _ in range(4)]
        until, round_ = time.monotonic() + LOAD_SECONDS, 0
        while time.monotonic() < until:
            round_ += 1
            names = [f"s{number}" for number in range(2500)]
            where = EVERY if round_ % 2 else EVERY[:2]
            program.put_list("many", [o for n in names for o in (service(n), slice_of(n, *where))])
            count = 2500 * len(where) + 4
            wait_for(
                lambda: program.get("/v1/peers")[0]["paths"]["ipv4"],
                lambda seen, count=count: seen == count,  # type: ignore[misc]
                120,
                "all paths",
            )
        for process in busy:
            end(process)
    log = program.host.log(program.log)
    assert "is no next hop of" not in log
    assert "ALARM" not in log
    assert dead(program) == 0
    with seconds_to_lose(leaf.host, EIP, NODES["n4"], partial(cut, nodes["n4"])) as seconds:
        routed(leaf, "n1", "n2", "n3", within=20)
    assert seconds
