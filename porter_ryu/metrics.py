"""The counters and histograms that a running process exports; the names are public API.

They are here, below the packages that count, so that none of these knows who scrapes.  What is so
now (a session is up, so many addresses are bound) is not kept here: `http.gauge_values` reads it
from the part at the time of the scrape.

A series that appears with its first event looks to `increase()` as if nothing happened.  So
`http.first_series` makes every series before that, with 0; the lists of label values are in the
packages that count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

REGISTRY = CollectorRegistry()
# when a series was made tells nothing, and would be half of a scrape
disable_created_metrics()  # type: ignore[no-untyped-call]

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"porter_{name}", text, labels, registry=REGISTRY)


def _histogram(name: str, text: str) -> Histogram:
    return Histogram(f"porter_{name}", text, buckets=_FAST, registry=REGISTRY)


bgp_updates_sent = _counter("bgp_updates_sent", "Number of UPDATE messages sent.", "peer")
bgp_bytes_sent = _counter("bgp_bytes_sent", "Number of bytes of BGP messages sent.", "peer")
bgp_messages_received = _counter(
    "bgp_messages_received", "Number of BGP messages received.", "peer", "type"
)
bgp_session_drops = _counter(
    "bgp_session_drops", "Number of Established sessions that ended.", "peer", "reason"
)
reconcile_seconds = _histogram(
    "reconcile_seconds", "Duration of one turn: what changed is decided and applied."
)
event_to_wire = _histogram(
    "event_to_wire_seconds",
    "Time from reading a change of the cluster to passing the last UPDATE for it to the kernel.",
)
watch_restarts = _counter(
    "kubernetes_watch_restarts",
    "Number of lists and watches of the API server that failed and were started again.",
    "kind",
    "reason",
)
kubernetes_writes = _counter(
    "kubernetes_writes",
    "Number of writes of a status or an Event, by the status code of the answer.",
    "kind",
    "code",
)
bound_ip_repairs = _counter(
    "bound_ip_repairs", "Number of bound addresses that something else removed, and that are back."
)
bound_ip_notices = _counter(
    "bound_ip_notices",
    "Number of ARP announcements and neighbor advertisements sent for bound addresses.",
)
task_restarts = _counter(
    "task_restarts", "Number of tasks of the program that failed by an unexpected error.", "task"
)
openflow_packets = _counter(
    "openflow_packets",
    "Number of packets that OpenFlow switches sent to a node, for the addresses of an Eip.",
    "eip",
    "node",
)
_OF_PEERS = (
    bgp_updates_sent,
    bgp_bytes_sent,
    bgp_messages_received,
    bgp_session_drops,
)


def begin_peer(name: str, types: Iterable[str], reasons: Iterable[str]) -> None:
    """Makes every series of a peer; `types` are those of messages, `reasons` those of ends."""
    bgp_updates_sent.labels(name)
    bgp_bytes_sent.labels(name)
    for kind in types:
        bgp_messages_received.labels(name, kind)
    for reason in reasons:
        bgp_session_drops.labels(name, reason)


def forget_peers(names: Iterable[str]) -> None:
    """Removes what was counted of these peers: they are not configured any more."""
    gone = frozenset(names)
    for metric in _OF_PEERS if gone else ():
        for labels in list(_series(metric)):
            if labels["peer"] in gone:
                metric.remove(*labels.values())


def _series(metric: Counter) -> Iterator[dict[str, str]]:
    """The labels of each series."""
    for family in metric.collect():
        for sample in family.samples:
            yield sample.labels
