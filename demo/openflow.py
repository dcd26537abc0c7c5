"""`make demo-openflow`: Open vSwitch in front of four nodes, driven directly.

Each step prints what it does, and fails if the result is wrong.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from demo.telling import say, step
from fabric import Fabric, FabricError, wait_for
from fabric.connections import Held, Target, answers, by_node, moved, traffic
from fabric.ending import run
from fabric.openflow import NODES, VIRTUAL_MAC, OpenFlowNetwork, install, sections, web
from fabric.openflow import cluster_node as node
from fabric.program import Program

EIP = "192.168.7.200"
FLOWS = range(20_000, 20_800)
CONNECTIONS = 200
_SECONDS = 15.0
# of 800 flows, give or take what chance does: three of six shares, and one of four
_AT_LEAST_HALF, _AT_MOST_A_QUARTER = 340, 250


@dataclass(frozen=True, slots=True)
class Stage:
    """The network, and the program on it."""

    network: OpenFlowNetwork
    program: Program

    def ask(self, protocol: str = "tcp") -> dict[int, str]:
        """Which node answers each of 800 flows of the client."""
        return answers(self.network.client, Target(EIP, protocol=protocol), FLOWS)

    def served(self, *names: str) -> float:
        """Waits until exactly these nodes serve the EIP; returns the seconds it took."""
        began = time.monotonic()
        self.network.served(EIP, *names)
        return time.monotonic() - began


def show(found: dict[int, str], what: str) -> None:
    """Prints how many flows each node has."""
    counts = by_node(found)
    say(f"    {what}: " + ", ".join(f"{name} {counts[name]}" for name in NODES))


def must(right: bool, text: str) -> None:
    """Raises FabricError with the text if something is not right."""
    if not right:
        raise FabricError(text)


def neighbours(stage: Stage) -> None:
    """The switch answers ARP."""
    stage.served(*NODES)
    (entry,) = stage.network.client.json(f"ip -j neigh show {EIP}")
    say(f"    client$ ip neigh show {EIP}")
    say(f"    {EIP} lladdr {entry['lladdr']}")
    must(entry["lladdr"] == VIRTUAL_MAC, "this is not the virtual MAC")


def spread(stage: Stage) -> None:
    """800 TCP and 800 UDP flows."""
    for protocol in ("tcp", "udp"):
        found = stage.ask(protocol)
        show(found, f"800 {protocol.upper()} flows")
        must(set(found.values()) == set(NODES), "not every node has some")


def weights(stage: Stage) -> None:
    """One node gets three shares."""
    web(stage.program, "web", EIP, "n1", "n2", "n3", "n4", "n4", "n4")
    found = wait_for(
        stage.ask,
        lambda seen: by_node(seen)["n4"] >= _AT_LEAST_HALF,
        _SECONDS,
        "half of the flows on n4",
    )
    show(found, "n4 has three endpoints, the others one")
    web(stage.program, "web", EIP, *NODES)
    wait_for(
        stage.ask,
        lambda seen: by_node(seen)["n4"] <= _AT_MOST_A_QUARTER,
        _SECONDS,
        "equal shares",
    )


def node_lost(stage: Stage) -> None:
    """The link of a node goes down."""
    network = stage.network
    before, n2 = stage.ask(), network.nodes["n2"]
    n2.run(f"ip link set {network.device(n2)} down")
    seconds = stage.served("n1", "n3", "n4")
    after = stage.ask()
    others = sum(name != "n2" for name in before.values())
    strays = len(moved(before, after, besides="n2"))
    show(after, f"n2 left within {seconds:.1f} s")
    say(f"    of {others} flows of the other nodes, {strays} moved")
    must(strays == 0, "flows of other nodes moved")
    n2.run(f"ip link set {network.device(n2)} up")
    stage.served(*NODES)
    strays = len(moved(before, stage.ask()))
    say(f"    n2 is back; of all 800 flows, {strays} are not where they were")
    must(strays == 0, "flows moved")


def drain(stage: Stage) -> None:
    """A node is drained that has 200 open connections."""
    client, target = stage.network.client, Target(EIP)
    sources = range(40_000, 42_000)
    on_n3 = [port for port, name in answers(client, target, sources).items() if name == "n3"]
    with Held(client, target, on_n3[:CONNECTIONS]) as held:
        must(list(held.ask().values()) == ["n3"] * CONNECTIONS, "the connections are not on n3")
        say(f"    n3 has {CONNECTIONS} open connections, and is drained")
        drained = {"porter.kubesphere.io/drain": "true"}
        nodes = (node(name, annotations=drained if name == "n3" else {}) for name in NODES)
        stage.program.put("nodes", *nodes)
        stage.served("n1", "n2", "n4")
        show(stage.ask(), "800 new flows")
        kept = list(held.ask().values()).count("n3")
        say(f"    {kept} of {CONNECTIONS} open connections still work, on n3")
        must(kept == CONNECTIONS, "connections were lost")
        stage.program.put("nodes", *map(node, NODES))
        stage.served(*NODES)


def killed(stage: Stage) -> None:
    """The controller is killed while datagrams are under way."""
    network, program = stage.network, stage.program
    client = network.client
    udp = Target(EIP, protocol="udp")
    with traffic(client, udp, range(31_000, 31_050)) as seen:
        program.kill()
        wait_for(lambda: network.switch.connected, lambda on: not on, _SECONDS, "it to be gone")
        client.run(f"ip neigh flush to {EIP} dev {network.device(client)}")
        show(stage.ask(), "the controller is dead; 800 new flows")
        program.start()
        wait_for(lambda: network.switch.connected, bool, _SECONDS, "the switch to be connected")
        web(program, "web", EIP, "n1", "n2")
        stage.served("n1", "n2")
        say("    it is back, and the switch follows it")
    say(f"    {seen.sent} datagrams were sent meanwhile, {seen.lost} were not answered")
    must(seen.lost == 0, "datagrams were lost")


STEPS: list[tuple[str, Callable[[Stage], None]]] = [
    ("The switch itself answers ARP for the EIP; the client needs no route", neighbours),
    ("The switch spreads the flows of the client over four nodes", spread),
    ("Shares are weighted", weights),
    ("A node is lost, and returns", node_lost),
    ("A node is drained that has open connections", drain),
    ("The controller is killed under traffic (kill -9), and returns", killed),
]


def main() -> int:
    """Runs the demo; returns the exit status."""
    if os.geteuid() != 0:
        say("The demo needs root: it makes network namespaces. Try: sudo make demo-openflow")
        return 1
    keep, steps = bool(os.environ.get("KEEP")), 2 + len(STEPS)
    stage: Stage | None = None
    with Fabric(keep=keep) as fabric:
        try:
            step(1, steps, "Building a network: a client, Open vSwitch, four nodes")
            network = OpenFlowNetwork(fabric)
            more: dict[str, dict[str, object]] = {
                "openflow": {"affinity": "conntrack", "probe_ms": 300},
                "bgp": {"weights": "endpoints"},
            }
            stage = Stage(network, Program(network.porter, sections(**more)))
            step(2, steps, "Starting ryu-manager porter_ryu.app, the controller of the switch")
            install(stage.program)
            web(stage.program, "web", EIP, *NODES)
            stage.program.start()
            for number, (text, action) in enumerate(STEPS, start=3):
                step(number, steps, text)
                action(stage)
        except FabricError as error:
            say(f"\nFAILED: {error}")
            if stage is not None:
                say(stage.program.tail())
            return 1
    say("\nAll steps succeeded.")
    if keep:
        print_hints(stage)
    return 0


def print_hints(stage: Stage) -> None:
    """Prints how to use and remove a network that is kept (KEEP=1)."""
    network = stage.network
    prefix, folder = network.fabric.prefix, network.switch.host.folder
    say("The network is kept. Commands to try:")
    say(f"  ip netns exec {prefix}-client nc {EIP} 80      (type a line)")
    for dump in ("dump-flows", "dump-groups"):
        say(f"  ovs-ofctl -O OpenFlow15 {dump} unix:{folder}/ovs0.mgmt")
    say(f"  ip netns exec {prefix}-porter curl http://127.0.0.1:8080/v1/switches")
    say(f"  ls {stage.program.manifests}      (edit these files)")
    say("To remove it:")
    say(f"  for n in $(ip netns list | grep -o '^{prefix}-[a-z0-9]*'); do")
    say("    ip netns pids $n | xargs -r kill; ip netns del $n; done")
    say(f"  rm -r {network.fabric.folder}")


if __name__ == "__main__":
    run(main)
