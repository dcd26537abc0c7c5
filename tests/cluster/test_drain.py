"""Every node is drained, shut down and brought back, one after the other, under load.

The leaf remembers no connections.  One that is open while the multipath route changes may come to
another node, which resets it: docs/traffic.md says so, and it is not counted here.  Every other one
counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from fabric import wait_for
from fabric.program import Program
from fabric.watchers import route_changes
from tests.cluster.harness import NODES, Cluster, web
from tests.cluster.test_end_to_end import EIP, POLICIES, answering

SECONDS = 3
DRAIN = "porter.kubesphere.io/drain"
_DARK = f"PREROUTING -t raw -d {EIP} -j DROP"


@pytest.fixture(scope="module")
def program(cluster: Cluster) -> Iterator[Program]:
    """The one central instance, with short drains."""
    with cluster.running(drain={"seconds": SECONDS}) as program:
        yield program


def why(program: Program, node: str) -> str:
    """What the program says about a node of the Service."""
    nodes = program.get("/v1/services/default/web")["routes"][0]["nodes"]
    return str(next(entry["reason"] for entry in nodes if entry["node"] == node))


def was_moved(failure: tuple[float, float, str], changes: list[float]) -> bool:
    """Whether a connection was reset, and was open when the route changed."""
    began, ended, error = failure
    slack = 0.5  # a change is noted a little later than it happens
    reset = "reset by peer" in error or "without response" in error
    return reset and any(began <= change <= ended + slack for change in changes)


@POLICIES
def test_every_node_is_drained_and_shut_down_and_no_new_connection_is_lost(
    program: Program, clean: Cluster, policy: str
) -> None:
    clean.api.apply(web(policy=policy), *(clean.pod(f"old-{name}", name) for name in NODES))
    clean.routed(EIP, *NODES)
    answering(clean, *(f"old-{name}" for name in NODES), policy=policy)
    with route_changes(clean.leaf.host, EIP) as changes, clean.load(EIP, rate=100) as seen:
        for name in NODES:
            host, others = clean.workers[name].host, NODES.keys() - {name}
            clean.api.kubectl("annotate", "node", name, f"{DRAIN}=true")
            clean.routed(EIP, *others)
            wait_for(partial(why, program, name), "Drained".__eq__, SECONDS + 5, "the drain's end")
            host.run(f"iptables -I {_DARK}")
            clean.api.delete("pod", f"old-{name}")
            clean.api.apply(clean.pod(f"new-{name}", name))
            clean.api.kubectl("wait", "--for=condition=Ready", f"pod/new-{name}", "--timeout=120s")
            clean.proxied(EIP, f"new-{name}", name)
            host.run(f"iptables -D {_DARK}")
            clean.api.kubectl("annotate", "node", name, f"{DRAIN}-")
            clean.routed(EIP, *NODES)
    assert len(changes) >= 2 * len(NODES)
    lost = [error for error in seen["errors"] if not was_moved(error, changes)]
    assert not lost, (seen, changes)
    assert seen["lost"] == len(seen["errors"]), "no more than the client can say"
    answering(clean, *(f"new-{name}" for name in NODES), policy=policy)
