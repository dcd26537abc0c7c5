"""The metrics in the Prometheus text format.

Counters and histograms come from the registry.  Each gauge is read from the part that it describes
(a peer, an Eip, the Services, the event loop) at the time of the scrape, so a deleted object leaves
no series behind.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from ryu.lib import hub

from porter_ryu import metrics, report
from porter_ryu.domain import overview
from porter_ryu.domain.model import Family
from porter_ryu.domain.planner import Planner
from porter_ryu.time_slice import TimeSlice

_SERIES_AT_ONCE = 200
_UP = "Established"


@dataclass(frozen=True, slots=True)
class ProcessState:
    """Gauges of the process: the number of bound addresses, whether the journals of announced paths
    can be written, the greatest delay of the event loop within a minute in seconds, whether the
    last reload of the configuration succeeded, how many nodes have answered a probe, by family, and
    whether so many of them stopped at once that it is not believed."""

    bound_ips: Callable[[], int]
    state_dir_writable: Callable[[], bool]
    loop_lag: Callable[[], float]
    reloaded: Callable[[], bool]
    nodes_probed: Callable[[], Mapping[Family, int]]
    probes_doubted: Callable[[], bool]


class Exposition:
    """Makes the exposition text; `peers` returns the session reports."""

    def __init__(self, planner: Planner, peers: report.Peers, process: ProcessState) -> None:
        self._planner = planner
        self._peers = peers
        self._process = process
        self._lock = hub.Semaphore(1)
        self._started = self._finished = 0  # numbers of scrapes
        self._text = b""

    def text(self) -> bytes:
        """The current values of all metrics.

        One text is made at a time; all scrapes that arrive meanwhile share the next one.
        """
        wanted = self._started + 1
        with self._lock:
            if self._finished < wanted:
                self._started += 1
                number = self._started
                self._text = b"".join(self._chunks())
                self._finished = number
            return self._text

    def _chunks(self) -> Iterator[bytes]:
        give_way = TimeSlice()
        peers = self._peers()
        metrics.keep_peers({peer["name"] for peer in peers})
        families = itertools.chain(
            metrics.REGISTRY.collect(),
            _process_metrics(self._process),
            self._cluster_metrics(give_way),
            _peer_metrics(peers),
        )
        for family in families:
            yield from _metric_text(family, give_way)

    def _cluster_metrics(self, give_way: TimeSlice) -> Iterator[Metric]:
        planner = self._planner
        yield _gauge("leader", "1 while this instance assigns addresses and writes status.").add(
            planner.leading
        )
        text = "1 while so many nodes were lost at once that the loss is not believed."
        yield _gauge("nodes_doubted", text).add(planner.doubted)
        text = "Number of nodes that are drained, or being drained."
        yield _gauge("nodes_drained", text).add(planner.drains.count)
        text = "Nodes that are no next hops because they do not answer their probes."
        yield _gauge("nodes_probed_dead", text).add(len(planner.probed_nodes.dead))
        text = "Number of nodes without a weight; routes that lead to one have none."
        yield _gauge("nodes_without_weight", text).add(overview.nodes_without_weight(planner))
        text = "Number of aggregates that are announced for addresses (spec.advertisements)."
        yield _gauge("aggregates", text).add(planner.aggregation.count)
        text = "Number of Eips that serve and have a problem; the log and the plan name it."
        yield _gauge("eips_with_problem", text).add(len(planner.eip_problems.found()))
        services = _gauge(
            "services", "Services that opted in, by the reason of their state.", "state"
        )
        states: collections.Counter[str] = collections.Counter()
        for decision in list(planner.decisions.values()):
            states[decision.state] += 1
            give_way()
        for state, count in sorted(states.items()):
            services.add(count, state)
        yield services
        size = _gauge("eip_pool_size", "Number of addresses in the Eip.", "eip")
        used = _gauge("eip_pool_used", "Number of addresses of the Eip that are assigned.", "eip")
        for eip, status in overview.eips(planner):
            size.add(status.pool_size, eip.name)
            used.add(status.usage, eip.name)
            give_way()
        yield from (size, used)


def _process_metrics(process: ProcessState) -> Iterator[Metric]:
    text = "Number of addresses that this program has bound on this host."
    yield _gauge("bound_ips", text).add(process.bound_ips())
    text = "0 while the journal of announced paths cannot be written."
    yield _gauge("state_dir_writable", text).add(process.state_dir_writable())
    text = "Greatest delay of the event loop within the last minute."
    yield _gauge("loop_lag_seconds", text).add(process.loop_lag())
    text = "Nodes that have answered a probe since the start."
    probed = _gauge("nodes_probed", text, "family")
    for family, count in process.nodes_probed().items():
        probed.add(count, f"ipv{family.value}")
    yield probed
    text = "1 while so many nodes stopped answering probes at once that it is not believed."
    yield _gauge("probes_doubted", text).add(process.probes_doubted())
    text = "1 if the last reload of the configuration succeeded."
    yield _gauge("config_last_reload_successful", text).add(process.reloaded())


def _peer_metrics(peers: list[report.Json]) -> Iterator[Metric]:
    up = _gauge("bgp_session_up", "1 while the session is Established.", "peer")
    text = "Seconds since the session became Established; 0 while it is down."
    age = _gauge("bgp_session_established_seconds", text, "peer")
    text = "Number of paths in the Adj-RIB-Out of the peer."
    paths = _gauge("bgp_paths_announced", text, "peer", "family")
    for peer in peers:
        up.add(peer["state"] == _UP, peer["name"])
        age.add(peer["establishedSeconds"], peer["name"])
        for family, count in peer["paths"].items():
            paths.add(count, peer["name"], family)
    yield from (up, age, paths)


class _Family(GaugeMetricFamily):
    """A gauge whose series are read at the time of the scrape."""

    def add(self, value: float, *labels: str) -> _Family:
        """Adds a series and returns the gauge."""
        self.add_metric(labels, float(value))
        return self


def _gauge(name: str, text: str, *labels: str) -> _Family:
    return _Family(f"porter_{name}", text, labels=labels or None)


class _SingleMetricRegistry:
    """A registry of one metric, for generate_latest."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def _metric_text(family: Metric, give_way: TimeSlice) -> Iterator[bytes]:
    """The text of one metric; a gauge with many series is written in parts."""
    samples = list(family.samples)
    if family.type != "gauge" or len(samples) <= _SERIES_AT_ONCE:
        yield generate_latest(_SingleMetricRegistry(family))
        give_way()
        return
    for start in range(0, len(samples), _SERIES_AT_ONCE):
        part = Metric(family.name, family.documentation, family.type)
        part.samples = samples[start : start + _SERIES_AT_ONCE]
        text = generate_latest(_SingleMetricRegistry(part))
        yield text if start == 0 else text.split(b"\n", 2)[2]  # HELP and TYPE are written once
        give_way()
