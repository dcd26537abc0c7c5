"""The steps of the demo.  Each step prints what it does, and fails if the result is wrong."""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Callable
from functools import partial

from demo.network import NODES, Network, build, start
from demo.telling import say, step
from fabric import Fabric, FabricError, wait_for
from fabric.ending import run
from fabric.objects import node, service, slice_of
from fabric.program import command

EIP = "203.0.113.8"


def routed(network: Network, *names: str, address: str = EIP) -> float:
    """Waits until the leaf's route has exactly these nodes; returns the seconds it took."""
    wanted = frozenset(NODES[name] for name in names)
    began = time.monotonic()
    wait_for(
        lambda: network.leaf.routes().get(address, frozenset()),
        lambda seen: seen == wanted,
        10,
        f"the leaf's route to {address} via {', '.join(names) or 'no node'}",
    )
    return time.monotonic() - began


def show_route(network: Network, address: str = EIP) -> None:
    """Prints the route in the kernel of the leaf."""
    say(f"    leaf# ip route show {address}")
    for line in network.leaf.host.run(f"ip route show {address}").splitlines():
        say(f"    {line}")


def allocated(network: Network) -> None:
    """The Service gets an EIP."""
    status = wait_for(
        lambda: network.central.status("services", "default/web"), bool, 15, "an address"
    )
    got = status["loadBalancer"]["ingress"][0]["ip"]
    if got != EIP:
        raise FabricError(f"Service default/web has {got} instead of {EIP}")
    say(f"    Service default/web (annotated lb.kubesphere.io/v1alpha1: porter) has {got}")


def multipath(network: Network) -> None:
    """The leaf has a multipath route."""
    routed(network, *NODES)
    show_route(network)


def spread(network: Network) -> None:
    """The requests are spread over the nodes."""
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


def endpoint_removed(network: Network) -> None:
    """An endpoint is removed."""
    network.central.put("web-endpoints", slice_of("web", "n1", "n2"))
    seconds = routed(network, "n1", "n2")
    say(f"    the endpoint on n3 was removed; the leaf followed within {seconds * 1000:.0f} ms")
    answers = set(network.fetch(EIP, 20))
    if answers != {"n1", "n2"}:
        raise FabricError(f"requests were answered by {answers}")
    show_route(network)


def node_not_ready(network: Network) -> None:
    """A node becomes not Ready."""
    network.central.put("n2", node("n2", NODES["n2"], ready=False))
    seconds = routed(network, "n1")
    say(f"    n2 is not Ready; the leaf followed within {seconds * 1000:.0f} ms")
    network.central.put("n2", node("n2", NODES["n2"]))
    routed(network, "n1", "n2")
    say("    n2 is Ready and a next hop again")


def requested(network: Network) -> None:
    """A Service requests an address."""
    request = {"eip.porter.kubesphere.io/v1alpha1": "203.0.113.14"}
    network.central.put("mail", service("mail", annotations=request), slice_of("mail", "n3"))
    routed(network, "n3", address="203.0.113.14")
    say("    Service default/mail requested 203.0.113.14 and has it")
    show_route(network, "203.0.113.14")


def refused(network: Network) -> None:
    """A request is refused."""
    request = {"eip.porter.kubesphere.io/v1alpha1": EIP}
    network.central.put("late", service("late", annotations=request), slice_of("late", "n1"))
    argv = [command("porter-ryu"), "explain", "default/late", "--url", "http://127.0.0.1:8080"]
    text = wait_for(
        lambda: network.central.host.run(argv, check=False),
        lambda seen: "AddressInUse" in seen,
        5,
        "the reason of the refusal",
    )
    say("    $ porter-ryu explain default/late --url http://127.0.0.1:8080")
    for line in text.splitlines():
        say(f"    {line}")
    if network.fetch(EIP, 1) == [""]:
        raise FabricError("the refused Service affected the one that has the address")


STEPS: list[tuple[str, Callable[[Network], None]]] = [
    ("The Service gets an address from the pool", allocated),
    ("The leaf has an ECMP route to it via every node with an endpoint", multipath),
    ("60 requests from the client are spread over the nodes", spread),
    ("An endpoint is removed", endpoint_removed),
    ("A node becomes not Ready, and Ready again", node_not_ready),
    ("A Service requests a certain address", requested),
    (
        "Another Service requests an address in use, and explain says why it has none",
        refused,
    ),
]


def main() -> int:
    """Runs the demo; returns the exit status."""
    if os.geteuid() != 0:
        say("The demo needs root: it makes network namespaces. Try: sudo make demo")
        return 1
    keep, steps = bool(os.environ.get("KEEP")), 2 + len(STEPS)
    network: Network | None = None
    with Fabric(keep=keep) as fabric:
        try:
            step(1, steps, "Building a network: a client, a leaf running BIRD, three nodes")
            network = build(fabric)
            step(2, steps, "Starting ryu-manager porter_ryu.app, and one instance on every node")
            start(network)
            wait_for(network.central.is_ready, bool, 20, "the program to be ready")
            for number, (text, action) in enumerate(STEPS, start=3):
                step(number, steps, text)
                action(network)
        except FabricError as error:
            say(f"\nFAILED: {error}")
            if network is not None:
                say(network.central.tail())
            return 1
    say("\nAll steps succeeded.")
    if keep and network is not None:
        print_hints(network)
    return 0


def print_hints(network: Network) -> None:
    """Prints how to use and remove a network that is kept (KEEP=1)."""
    prefix = network.fabric.prefix
    say("The network is kept. Commands to try:")
    say(f"  ip netns exec {prefix}-client curl http://{EIP}/")
    say(f"  ip -n {prefix}-leaf route")
    say(f"  ip netns exec {prefix}-porter curl http://127.0.0.1:8080/v1/services")
    say(f"  ls {network.central.manifests}      (edit these files)")
    say("To remove it:")
    say(f"  for n in $(ip netns list | grep -o '^{prefix}-[a-z0-9]*'); do")
    say("    ip netns pids $n | xargs -r kill; ip netns del $n; done")
    say(f"  rm -r {network.fabric.folder}")


if __name__ == "__main__":
    run(main)
