"""The figures that a running process exports; the names are public API.

What is counted or timed stands here, below the rooms that count, so that neither knows who
scrapes.  What is so now (a session is up, so many addresses are bound) is not kept here:
`http.exposition` reads it from the part at the time of the scrape.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry()

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"porter_{name}", text, labels, registry=REGISTRY)


def _histogram(name: str, text: str) -> Histogram:
    return Histogram(f"porter_{name}", text, buckets=_FAST, registry=REGISTRY)


bgp_updates_sent = _counter("bgp_updates_sent", "UPDATE messages sent.", "peer")
bgp_bytes_sent = _counter("bgp_bytes_sent", "Bytes of BGP messages sent.", "peer")
bgp_messages_received = _counter("bgp_messages_received", "BGP messages received.", "peer", "type")
bgp_session_drops = _counter(
    "bgp_session_drops", "Established sessions that ended.", "peer", "reason"
)
reconcile_seconds = _histogram("reconcile_seconds", "Duration of one turn of the loop.")
event_to_wire = _histogram(
    "event_to_wire_seconds", "From a watch event read to its UPDATE handed to the kernel."
)
watch_restarts = _counter(
    "kubernetes_watch_restarts", "Watches that had to be begun again.", "kind", "reason"
)
kubernetes_writes = _counter("kubernetes_writes", "Writes to the API, by answer.", "kind", "code")
bound_ip_repairs = _counter("bound_ip_repairs", "Bindings put back after somebody removed them.")
bound_ip_notices = _counter(
    "bound_ip_notices",
    "ARP announcements and neighbour advertisements that told of bound addresses.",
)
task_restarts = _counter("task_restarts", "Greenthreads that died by an exception.", "task")
_OF_PEERS = (
    bgp_updates_sent,
    bgp_bytes_sent,
    bgp_messages_received,
    bgp_session_drops,
)


def keep_peers(names: Collection[str]) -> None:
    """Removes what was counted of all other peers: they are not configured any more."""
    for metric in _OF_PEERS:
        series = [sample.labels for family in metric.collect() for sample in family.samples]
        for labels in series:
            if labels["peer"] not in names:
                with contextlib.suppress(KeyError):  # a counter has two samples a series
                    metric.remove(*labels.values())
