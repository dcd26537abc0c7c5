"""The steps of the demo.  Each says what it does, does it, and fails when the outcome is wrong."""

from __future__ import annotations

import collections
import os
import sys
import time
from collections.abc import Callable
from functools import partial

from demo.network import NODES, Network, build, start
from fabric import Fabric, FabricError, wait_for
from fabric.objects import node, service, slice_of
from fabric.program import command

EIP = "203.0.113.8"


def say(text: str) -> None:
    """A line for people."""
    print(text, flush=True)


def step(number: int, text: str) -> None:
    """The heading of a step."""
    say(f"\n[{number}/9] {text}")


def routed(network: Network, *names: str, address: str = EIP) -> float:
    """Waits until the leaf's route has exactly these nodes; returns the seconds it took."""
    wanted = frozenset(NODES[name] for name in names)
    began = time.monotonic()
    wait_for(
        lambda: network.leaf.routes().get(address, frozenset()),
        lambda seen: seen == wanted,
        10,
        f"the leaf's route to {address} by {', '.join(names) or 'nobody'}",
    )
    return time.monotonic() - began


def show_route(network: Network, address: str = EIP) -> None:
    """The route as the leaf's kernel has it."""
    say(f"    leaf# ip route show {address}")
    for line in network.leaf.host.run(f"ip route show {address}").splitlines():
        say(f"    {line}")


def allocated(network: Network) -> None:
    """The EIP."""
    status = wait_for(
        lambda: network.central.status("services", "default/web"), bool, 15, "an address"
    )
    got = status["loadBalancer"]["ingress"][0]["ip"]
    if got != EIP:
        raise FabricError(f"Service default/web has {got} and not {EIP}")
    say(f"    Service default/web (annotated lb.kubesphere.io/v1alpha1: porter) has {got}")


def multipath(network: Network) -> None:
    """The route."""
    routed(network, *NODES)
    show_route(network)


def spread(network: Network) -> None:
    """The traffic."""
    for host in network.nodes.values():
        wait_for(
            partial(host.run, "ip rule show"),
            lambda rules: EIP in rules,
            10,
            "the node instance's rule",
        )
    answers = collections.Counter(network.fetch(EIP, 60))
    say("    " + ", ".join(f"{name} answered {answers[name]}" for name in NODES))
    if set(answers) != set(NODES):
        raise FabricError(f"60 requests were answered by {dict(answers)}")


def endpoint_goes(network: Network) -> None:
    """An endpoint goes."""
    network.central.put("web-endpoints", slice_of("web", "n1", "n2"))
    seconds = routed(network, "n1", "n2")
    say(f"    the endpoint on n3 went; the switch followed within {seconds * 1000:.0f} ms")
    answers = set(network.fetch(EIP, 20))
    if answers != {"n1", "n2"}:
        raise FabricError(f"requests were answered by {answers}")
    show_route(network)


def node_not_ready(network: Network) -> None:
    """A node fails."""
    network.central.put("n2", node("n2", NODES["n2"], ready=False))
    seconds = routed(network, "n1")
    say(f"    n2 is not Ready; the switch followed within {seconds * 1000:.0f} ms")
    network.central.put("n2", node("n2", NODES["n2"]))
    routed(network, "n1", "n2")
    say("    n2 is Ready again, and a next hop again")


def requested(network: Network) -> None:
    """A wish."""
    wish = {"eip.porter.kubesphere.io/v1alpha1": "203.0.113.14"}
    network.central.put("wish", service("wish", annotations=wish), slice_of("wish", "n3"))
    routed(network, "n3", address="203.0.113.14")
    say("    Service default/wish asked for 203.0.113.14 and has it")
    show_route(network, "203.0.113.14")


def refused(network: Network) -> None:
    """A refusal."""
    wish = {"eip.porter.kubesphere.io/v1alpha1": EIP}
    network.central.put("greedy", service("greedy", annotations=wish), slice_of("greedy", "n1"))
    argv = [command("porter-ryu"), "explain", "default/greedy", "--url", "http://127.0.0.1:8080"]
    text = wait_for(
        lambda: network.central.host.run(argv, check=False),
        lambda seen: "AddressInUse" in seen,
        5,
        "the reason of the refusal",
    )
    say("    $ porter-ryu explain default/greedy --url http://127.0.0.1:8080")
    for line in text.splitlines():
        say(f"    {line}")
    if network.fetch(EIP, 1) == [""]:
        raise FabricError("the refused Service disturbed the one that has the address")


STEPS: list[tuple[str, Callable[[Network], None]]] = [
    ("The Service gets an address from the pool", allocated),
    ("The leaf has one route to it with every right node as an ECMP next hop", multipath),
    ("60 requests from the client spread over the nodes", spread),
    ("An endpoint goes away", endpoint_goes),
    ("A node becomes NotReady, and Ready again", node_not_ready),
    ("A Service asks for an address of its own choice", requested),
    ("Another asks for one that is taken, and is told why it cannot have it", refused),
]


def main() -> int:
    """Runs the demo; returns the exit status."""
    if os.geteuid() != 0:
        say("The demo needs root: it makes network namespaces. Try: sudo make demo")
        return 1
    keep = bool(os.environ.get("KEEP"))
    network: Network | None = None
    with Fabric(keep=keep) as fabric:
        try:
            step(1, "Building a network: a client, a leaf running BIRD, three nodes")
            network = build(fabric)
            step(2, "Starting ryu-manager porter_ryu.app, and one instance on every node")
            start(network)
            wait_for(network.central.is_ready, bool, 20, "the program to be ready")
            for number, (text, act) in enumerate(STEPS, start=3):
                step(number, text)
                act(network)
        except FabricError as error:
            say(f"\nFAILED: {error}")
            if network is not None:
                say(network.central.tail())
            return 1
    say("\nAll of it is as it should be.")
    if keep and network is not None:
        tell_what_to_try(network)
    return 0


def tell_what_to_try(network: Network) -> None:
    """For KEEP=1."""
    prefix = network.fabric.prefix
    say("It is left up. Things to try:")
    say(f"  ip netns exec {prefix}-client curl http://{EIP}/")
    say(f"  ip -n {prefix}-leaf route")
    say(f"  ip netns exec {prefix}-porter curl http://127.0.0.1:8080/v1/services")
    say(f"  ls {network.central.manifests}      (edit what is there)")
    say("And to take it down:")
    say(f"  for n in $(ip netns list | grep -o '^{prefix}-[a-z0-9]*'); do")
    say("    ip netns pids $n | xargs -r kill; ip netns del $n; done")


if __name__ == "__main__":
    sys.exit(main())
