"""[openflow]: the controller is killed, the switch restarts, nodes vanish and move; datagrams of 50
flows are under way all the time, and each is answered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fabric import Fabric, Host, forger, wait_for
from fabric.connections import (
    NO_ANSWER,
    Held,
    Target,
    answers,
    moved,
    traffic,
)
from fabric.openflow import (
    CLIENT,
    CLIENT6,
    GATEWAY,
    GATEWAY6,
    NODES,
    VIRTUAL_MAC,
    OpenFlowNetwork,
    cluster_node,
    install,
    sections,
    web,
)
from fabric.openvswitch import Flow, OpenVSwitch
from fabric.program import Program
from tests.rounds import rounds

EIP, EIP6 = "203.0.113.8", "2001:db8::8"
LINK, LINK6 = "192.168.7.200", "fd00:7::c8"
UNUSED, UNUSED6 = "192.168.7.205", "fd00:7::cd"  # in a pool, and no Service has them
FLOWS = range(20_000, 20_400)
FEW = range(30_000, 30_080)
TRAFFIC = range(31_000, 31_050)
WITHIN_SECONDS = 30.0
ALL = tuple(NODES)
FOREIGN_FLOWS = (
    "cookie=0x1,table=0,priority=65000,udp,tp_dst=9,actions=drop",
    "cookie=0,table=0,priority=7,tcp,tp_dst=9,actions=NORMAL",
    "cookie=0xffffffffffffffff,table=0,priority=1,ip,nw_dst=198.51.100.1,actions=group:1",
    "cookie=0x7,table=9,priority=3,arp,actions=drop",
    "cookie=0x7,table=250,priority=3,arp,actions=drop",
)
FOREIGN_GROUPS = (
    "group_id=1,type=all,bucket=actions=output:1",
    "group_id=4294967040,type=indirect,bucket=actions=output:1",
)


@pytest.fixture(scope="module")
def network() -> Iterator[OpenFlowNetwork]:
    """The switch, a client and four nodes."""
    with Fabric() as fabric:
        yield OpenFlowNetwork(fabric)


@pytest.fixture(scope="module")
def program(network: OpenFlowNetwork) -> Iterator[Program]:
    """The controller."""
    program = Program(network.porter, sections())
    install(program)
    yield program.start()
    print(program.tail())
    program.stop()


@pytest.fixture(autouse=True)
def whole(network: OpenFlowNetwork, program: Program) -> None:
    """Every node serves the EIPs."""
    for name, address in {"web": EIP, "web6": EIP6, "link": LINK, "link6": LINK6}.items():
        web(program, name, address, *ALL)
        network.served(address, *ALL)


def rules(flows: list[Flow]) -> set[tuple[int, int, str]]:
    """What is in the tables, without what is counted."""
    return {flow.rule for flow in flows}


def back(program: Program, switch: OpenVSwitch) -> None:
    """The controller is started again and has compared what it found."""
    program.start()
    wait_for(lambda: switch.connected, bool, WITHIN_SECONDS, "the switch to be connected")
    # a change made now comes after the comparison
    web(program, "mark", "203.0.113.99", "n1")
    wait_for(
        lambda: any("203.0.113.99" in flow.text for flow in switch.flows()),
        bool,
        WITHIN_SECONDS,
        "the switch to follow",
    )
    program.remove("mark")
    wait_for(
        lambda: any("203.0.113.99" in flow.text for flow in switch.flows()),
        lambda seen: not seen,
        WITHIN_SECONDS,
        "the switch to follow",
    )


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_no_packet_is_lost_while_the_controller_is_away_and_returns(
    network: OpenFlowNetwork, program: Program, how: str
) -> None:
    """Nothing in the tables is changed, either."""
    switch = network.switch
    before, groups = rules(switch.flows()), switch.groups()
    with traffic(network.client, Target(EIP, protocol="udp"), TRAFFIC) as seen:
        for _ in rounds():
            with switch.flow_changes() as changes:
                getattr(program, how)()
                wait_for(lambda: switch.connected, lambda on: not on, WITHIN_SECONDS, "it to go")
                first = answers(network.client, Target(EIP), FLOWS)
                back(program, switch)
            assert [line for line in changes if "203.0.113.99" not in line] == []
            assert moved(first, answers(network.client, Target(EIP), FLOWS)) == {}
    assert seen.sent > len(TRAFFIC)
    assert seen.lost == 0, seen
    assert rules(switch.flows()) == before
    assert switch.groups() == groups


def test_what_changed_meanwhile_is_the_only_difference(
    network: OpenFlowNetwork, program: Program
) -> None:
    web(program, "gone", "203.0.113.70", *ALL)
    web(program, "fewer", "203.0.113.71", *ALL)
    network.served("203.0.113.70", *ALL)
    network.served("203.0.113.71", *ALL)
    target = Target(EIP, protocol="udp")
    with (
        traffic(network.client, target, TRAFFIC) as seen,
        network.switch.flow_changes() as changes,
    ):
        program.kill()
        program.remove("gone")
        web(program, "fewer", "203.0.113.71", "n1", "n3")
        web(program, "more", "203.0.113.72", "n2")
        program.start()
        network.served("203.0.113.70", NO_ANSWER)
        network.served("203.0.113.71", "n1", "n3")
        network.served("203.0.113.72", "n2")
    others = [line for line in changes if "203.0.113.7" not in line]
    assert others == [], "flows of other EIPs"
    assert seen.lost == 0, (seen, network.state())
    program.remove("fewer")
    program.remove("more")


def test_the_switch_answers_neighbours_while_the_controller_is_dead(
    network: OpenFlowNetwork, program: Program
) -> None:
    program.kill()
    for neighbour in (GATEWAY, GATEWAY6, LINK, LINK6):
        network.client.run(f"ip neigh flush to {neighbour} dev {network.device(network.client)}")
    for address in (EIP, EIP6, LINK, LINK6):
        assert set(answers(network.client, Target(address), FEW).values()) == set(ALL)
    for neighbour in (GATEWAY, GATEWAY6, LINK, LINK6):
        (entry,) = network.client.json(f"ip -j neigh show {neighbour}")
        assert entry["lladdr"] == VIRTUAL_MAC, entry
    program.start()


def neighbours(network: OpenFlowNetwork) -> dict[str, str]:
    """Where the client sends what is for an address, by MAC."""
    found = network.client.json("ip -j neigh show")
    return {entry["dst"]: entry["lladdr"] for entry in found if "lladdr" in entry}


def test_no_host_takes_an_address_away_from_the_others(
    network: OpenFlowNetwork, program: Program
) -> None:
    """A node claims an address of the switch, by ARP and by neighbour discovery, in every way; what
    it says of other addresses is heard as ever."""
    client, device = network.client, network.device(network.client)
    ours = (LINK, LINK6, GATEWAY, GATEWAY6)
    for unused in (UNUSED, UNUSED6):
        client.run(f"ip neigh replace {unused} lladdr 02:00:00:00:00:01 dev {device} nud reachable")
    mac = client.json(f"ip -j link show {device}")[0]["address"]
    n4 = network.nodes["n4"]
    victim = (mac, CLIENT, CLIENT6)
    forger.claim(n4, network.device(n4), [*ours, UNUSED, UNUSED6], victim)
    forged = forger.MAC.hex(":")
    wait_for(
        lambda: neighbours(network),
        lambda seen: (seen[UNUSED], seen[UNUSED6]) == (forged, forged),
        WITHIN_SECONDS,
        "the client to believe what is said of other addresses",
    )
    seen = neighbours(network)
    assert {address: seen[address] for address in ours} == dict.fromkeys(ours, VIRTUAL_MAC)
    for unused in (UNUSED, UNUSED6):
        client.run(f"ip neigh del {unused} dev {device}")
    for address in (LINK, LINK6):
        network.served(address, *ALL)


def test_a_node_that_has_the_address_itself_still_finds_its_clients(
    network: OpenFlowNetwork, program: Program
) -> None:
    """It asks for the MAC of a client with the EIP as the sender, as kube-proxy does in IPVS mode
    without strictARP, and the client goes on sending to the switch."""
    n2 = network.nodes["n2"]
    n2.run(f"ip address add {LINK}/32 dev {network.device(n2)}")
    n2.run("sysctl -qw net.ipv4.conf.all.arp_announce=0")
    n2.run(f"ip neigh flush dev {network.device(n2)}")
    network.served(LINK, *ALL)
    assert CLIENT in n2.run("ip neigh show nud reachable nud stale nud delay nud probe")
    assert neighbours(network)[LINK] == VIRTUAL_MAC
    n2.run("sysctl -qw net.ipv4.conf.all.arp_announce=2")
    n2.run(f"ip address del {LINK}/32 dev {network.device(n2)}")


def test_a_switch_that_restarts_is_filled_again(network: OpenFlowNetwork, program: Program) -> None:
    for _ in rounds():
        before = answers(network.client, Target(EIP), FLOWS)
        wanted = len(network.switch.flows())
        network.switch.restart()
        for address in (EIP, EIP6, LINK, LINK6):
            network.served(address, *ALL)
        wait_for(
            lambda: len(network.switch.flows()), wanted.__eq__, WITHIN_SECONDS, "all its flows"
        )
        assert moved(before, answers(network.client, Target(EIP), FLOWS)) == {}


def test_a_node_that_moves_to_another_port_is_followed(
    network: OpenFlowNetwork, program: Program
) -> None:
    ask = Target(EIP)
    before = answers(network.client, ask, FLOWS)
    network.switch.replug("n3", 33)
    network.served(EIP, *ALL)
    network.served(EIP6, *ALL)
    assert network.switch.port_number("n3") == 33
    assert moved(before, answers(network.client, ask, FLOWS)) == {}


def test_a_node_with_a_new_mac_address_is_followed(
    network: OpenFlowNetwork, program: Program
) -> None:
    before = answers(network.client, Target(EIP), FLOWS)
    n3 = network.nodes["n3"]
    n3.run(f"ip link set {network.device(n3)} address 02:00:00:00:00:33")
    network.client.run(f"ip neigh flush dev {network.device(network.client)}")
    network.served(EIP, *ALL)
    network.served(EIP6, *ALL)
    assert moved(before, answers(network.client, Target(EIP), FLOWS)) == {}


def deaf(host: Host, yes: bool) -> None:
    """Has a host answer no ARP request and no neighbour solicitation, or answer them again."""
    if not yes:
        host.run("nft delete table arp deaf")
        host.run("nft delete table ip6 deaf")
        return
    host.run(
        "nft -f -",
        text="""
table arp deaf {
    chain in { type filter hook input priority 0; arp operation request drop; }
}
table ip6 deaf {
    chain in { type filter hook input priority 0; icmpv6 type nd-neighbor-solicit drop; }
}
""",
    )


@pytest.mark.parametrize("how", ["link", "silent"])
def test_a_node_that_vanishes_leaves_and_returns(
    network: OpenFlowNetwork, program: Program, how: str
) -> None:
    """Its link goes down, or it answers no neighbour discovery; Kubernetes says it is Ready."""
    n4 = network.nodes["n4"]
    device = network.device(n4)
    before = answers(network.client, Target(EIP), FLOWS)
    left = [name for name in ALL if name != "n4"]
    with Held(network.client, Target(EIP), range(21_000, 21_200)) as held:
        opened = held.ask()
        if how == "link":
            n4.run(f"ip link set {device} down")
        else:
            deaf(n4, True)
        network.served(EIP, *left)
        network.served(EIP6, *left)
        assert moved(before, answers(network.client, Target(EIP), FLOWS), besides="n4") == {}
        stays = {port: node for port, node in opened.items() if node != "n4"}
        assert held.ask(sources=stays) == stays
        if how == "silent":
            program.logs(f"next hops do not answer: {NODES['n4']}", WITHIN_SECONDS)
        if how == "link":
            n4.run(f"ip link set {device} up")
            # the kernel removed it with the link
            n4.run(f"ip -6 address replace fd00:7::14/64 dev {device} nodad")
        else:
            deaf(n4, False)
        network.served(EIP, *ALL)
        network.served(EIP6, *ALL)
    again = answers(network.client, Target(EIP), FLOWS)
    assert moved(before, again) == {}, network.state()


def test_when_all_nodes_are_silent_at_once_the_flows_stay(
    network: OpenFlowNetwork, program: Program
) -> None:
    """It is more likely that what asks them is at fault."""
    mac = network.client.json(f"ip -j link show {network.device(network.client)}")[0]["address"]
    groups = network.switch.groups()
    for host in network.nodes.values():
        for address in (CLIENT, CLIENT6):
            where = f"{address} lladdr {mac} dev {network.device(host)}"
            host.run(f"ip neigh replace {where} nud permanent")
    with traffic(network.client, Target(EIP, protocol="udp"), TRAFFIC) as seen:
        for host in network.nodes.values():
            deaf(host, True)
        # four probes of every node
        program.host.run("sleep 4")
        assert network.switch.groups() == groups
        for host in network.nodes.values():
            deaf(host, False)
    assert seen.lost == 0, seen
    network.served(EIP, *ALL)


def test_answers_that_the_switch_drops_by_mistake_are_heard_again(
    network: OpenFlowNetwork, program: Program
) -> None:
    """It drops them for as long as they come: the node is left alone until it has forgotten that,
    half a minute after it fell silent."""
    assert network.switch.drop_answers("n2") >= 2, "of both families"
    network.served(EIP, "n1", "n3", "n4")
    network.served(EIP, *ALL, seconds=2 * WITHIN_SECONDS)
    network.served(EIP6, *ALL)


def test_what_others_have_in_the_switch_stays(network: OpenFlowNetwork, program: Program) -> None:
    """Over a change, a restart of the controller, and the removal of everything of ours."""
    switch = network.switch
    for group in FOREIGN_GROUPS:
        switch.add_group(group)
    ours = rules(switch.flows())
    for flow in FOREIGN_FLOWS:
        switch.add_flow(flow)
    foreign = rules(switch.flows()) - ours
    assert len(foreign) == len(FOREIGN_FLOWS)
    groups = {number: switch.groups()[number] for number in (1, 4294967040)}

    def kept() -> None:
        assert foreign <= rules(switch.flows())
        assert groups.items() <= switch.groups().items()

    with switch.flow_changes() as changes:
        web(program, "other", "203.0.113.60", *ALL)
        network.served("203.0.113.60", *ALL)
        kept()
        program.kill()
        program.start()
        network.served(EIP, *ALL)
        program.remove("other")
        network.served("203.0.113.60", NO_ANSWER)
        kept()
    for _, cookie, _ in foreign - {(0, 0, "")}:
        if cookie:
            assert not any(f"cookie={cookie:#x}," in line for line in changes), cookie
    switch.ofctl("del-flows", "udp,tp_dst=9")
    switch.ofctl("del-flows", "tcp,tp_dst=9")
    for cookie in (1, 7, 0xFFFFFFFFFFFFFFFF):
        switch.ofctl("del-flows", f"cookie={cookie:#x}/-1")
    for number in groups:
        switch.ofctl("del-groups", f"group_id={number}")


def test_what_somebody_removed_of_ours_is_put_back(
    network: OpenFlowNetwork, program: Program
) -> None:
    """When the controller starts again at the latest."""
    network.switch.clear()
    program.kill()
    program.start()
    for address in (EIP, EIP6, LINK, LINK6):
        network.served(address, *ALL)


def test_a_full_table_is_reported_and_the_rest_goes_on(
    network: OpenFlowNetwork, program: Program
) -> None:
    """The switch has room for no more flows; what is there stays, and what is changed is changed.
    When it has room again, what was refused is put in."""
    switch = network.switch
    tables = {flow.table for flow in switch.flows() if EIP in flow.text}
    counts = {table: sum(flow.table == table for flow in switch.flows()) for table in tables}
    for table, count in counts.items():
        switch.limit(table, count)
    with traffic(network.client, Target(EIP6, protocol="udp"), TRAFFIC) as seen:
        web(program, "refused", "203.0.113.50", *ALL)
        program.logs("table is full", WITHIN_SECONDS)
        wait_for(
            lambda: str(program.get("/v1/switches")),
            lambda told: "table is full" in told,
            WITHIN_SECONDS,
            "it to be told",
        )
        web(program, "web", EIP, "n1", "n2")
        network.served(EIP, "n1", "n2")
    assert seen.lost == 0, seen
    switch.unlimit()
    network.served("203.0.113.50", *ALL)
    program.remove("refused")


def test_an_end_for_good_leaves_ordinary_switching_alone(
    network: OpenFlowNetwork, program: Program
) -> None:
    """Also where the process that ends has just started, and an earlier one has filled the
    switch.  A switch that is away keeps what it has, which is told."""
    switch = network.switch
    base = [flow.rule for flow in switch.flows() if flow.text.endswith("priority=0 actions=NORMAL")]
    program.end_for_good()
    assert program.process.wait(WITHIN_SECONDS) == 0
    assert [flow.rule for flow in switch.flows()] == base
    assert switch.groups() == {}
    assert "meter=" not in switch.ofctl("dump-meters")
    network.served(NODES["n3"], "n3")
    program.start()
    network.served(EIP, *ALL)
    switch.disconnect()
    wait_for(
        lambda: program.get("/v1/switches"), lambda there: not there, WITHIN_SECONDS, "it gone"
    )
    program.end_for_good()
    assert program.process.wait(WITHIN_SECONDS) == 1
    program.logs("flows of ours may be in switches that are away or did not confirm: 0x1")
    switch.connect(network.controller)
    program.start()


def test_a_node_that_leaves_the_cluster_is_forgotten(
    network: OpenFlowNetwork, program: Program
) -> None:
    program.put("nodes", *(cluster_node(name) for name in ALL if name != "n2"))
    network.served(EIP, "n1", "n3", "n4")
    program.put("nodes", *map(cluster_node, ALL))
    network.served(EIP, *ALL)
