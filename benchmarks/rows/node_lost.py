"""A node with endpoints of every Service goes: one withdrawal for each.

The Node is deleted, which is believed at once; one that only falls silent is weighed for some
seconds by design.  The floor is the same withdrawals from a bare socket.  The time to the leaf's
kernel and the time to the wire are those of two losses: a route counts when it is read, so whoever
reads the UPDATEs first would see the kernel later than it is.
"""

from __future__ import annotations

import time

from benchmarks import raw_bgp
from benchmarks.kernel_routes import KernelRoutes
from benchmarks.network import PATIENCE
from benchmarks.plan import FIRST, NODES
from benchmarks.process import cpu_when_quiet
from benchmarks.scene import Scene
from benchmarks.table import Figure, one

_LOST = list(NODES)[-1]
_LEFT = len(NODES) - 1
_TIMES_FLOOR = 2.0


def measure(scene: Scene, count: int) -> list[Figure]:
    """Seconds to the wire and to the leaf's kernel, and back again."""
    scene.load(count, recorded=True)
    scene.plan.say("a node lost: the floor")
    withdrawals = raw_bgp.withdraw(range(FIRST, FIRST + count), NODES[_LOST])
    with scene.empty_leaf() as routes:
        peer, _ = scene.network.blast(routes, scene.table)
        began = time.monotonic()
        peer.send(withdrawals)
        floor = routes.reached(count, _LEFT, PATIENCE) - began
        peer.close()
    settled = scene.settled()
    scene.plan.say("a node lost")
    with KernelRoutes(scene.network.leaf.host) as routes:
        scene.services.lose_node(_LOST)
        began = time.monotonic()
        kernel = routes.reached(count, _LEFT, PATIENCE) - began
        settled.observer.paths(count * _LEFT, PATIENCE)
        scene.services.return_node(_LOST)
        settled.observer.paths(count * len(NODES), PATIENCE)
        routes.reached(count, len(NODES), PATIENCE)
    scene.plan.say("a node lost once more")
    cpu_when_quiet(settled.pid)
    scene.services.lose_node(_LOST)
    began = time.monotonic()
    wire = settled.observer.paths(count * _LEFT, PATIENCE) - began
    scene.services.return_node(_LOST)
    began = time.monotonic()
    back = settled.observer.paths(count * len(NODES), PATIENCE) - began
    return [
        one(
            "to the leaf's kernel",
            kernel,
            "s",
            floor=floor,
            floor_is="raw withdrawals",
            wanted=_TIMES_FLOOR * floor,
        ),
        one("to the wire", wire, "s"),
        one("the node is back: to the wire", back, "s"),
    ]
