"""What Prometheus is told: counters as they were counted, and the parts as they are now.

A gauge that describes a part (a peer, an Eip, the Services) is read off that part when it is asked
for.  So what is gone leaves no series behind, and reading a report changes no figure.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from ryu.lib import hub

from porter_ryu import metrics, report
from porter_ryu.domain.planner import Planner
from porter_ryu.time_slice import TimeSlice

_SERIES_AT_ONCE = 200
_UP = "Established"


class Figures:
    """The exposition text; `peers` are the sessions as they are reported."""

    def __init__(self, planner: Planner, peers: report.Peers) -> None:
        self._planner = planner
        self._peers = peers
        self._lock = hub.Semaphore(1)
        self._begun = self._made = 0
        self._text = b""

    def text(self) -> bytes:
        """Everything in Prometheus' text format, as it is now.

        One text is made at a time; all who ask while one is made share the next.
        """
        wanted = self._begun + 1
        with self._lock:
            if self._made < wanted:
                self._begun += 1
                number = self._begun
                self._text = b"".join(self._pieces())
                self._made = number
            return self._text

    def _pieces(self) -> Iterator[bytes]:
        give_way = TimeSlice()
        # a session may count its last octets when its peer is configured no more
        peers = self._peers()
        metrics.keep_peers({peer["name"] for peer in peers})
        for families in (metrics.REGISTRY.collect(), self._families(give_way), _of_peers(peers)):
            for family in families:
                yield from _exposition(family, give_way)

    def _families(self, give_way: TimeSlice) -> Iterator[Metric]:
        planner = self._planner
        yield _gauge("leader", "1 while this instance assigns addresses and writes status.").add(
            planner.leading
        )
        services = _gauge(
            "services", "Services of ours, by the reason in their conditions.", "state"
        )
        states: collections.Counter[str] = collections.Counter()
        for decision in list(planner.decisions.values()):
            states[decision.state] += 1
            give_way()
        for state, count in sorted(states.items()):
            services.add(count, state)
        yield services
        size = _gauge("eip_pool_size", "Addresses that the Eip has.", "eip")
        used = _gauge("eip_pool_used", "Addresses of the Eip that are held.", "eip")
        for name, status in report.eip_statuses(planner):
            size.add(status.pool_size, name)
            used.add(status.usage, name)
            give_way()
        yield from (size, used)


def _of_peers(peers: list[report.Json]) -> Iterator[Metric]:
    up = _gauge("bgp_session_up", "1 while the session is Established.", "peer")
    text = "Age of the Established session, 0 while down."
    age = _gauge("bgp_session_established_seconds", text, "peer")
    text = "Paths in the Adj-RIB-Out of the peer."
    paths = _gauge("bgp_paths_announced", text, "peer", "family")
    for peer in peers:
        up.add(peer["state"] == _UP, peer["name"])
        age.add(peer["established_seconds"], peer["name"])
        for family, count in peer["paths"].items():
            paths.add(count, peer["name"], family)
    yield from (up, age, paths)


class _Family(GaugeMetricFamily):
    """A gauge that is read now."""

    def add(self, value: float, *labels: str) -> _Family:
        """One series more."""
        self.add_metric(labels, float(value))
        return self


def _gauge(name: str, text: str, *labels: str) -> _Family:
    return _Family(f"porter_{name}", text, labels=labels or None)


class _One:
    """A registry of one metric, as generate_latest reads it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def _exposition(family: Metric, give_way: TimeSlice) -> Iterator[bytes]:
    """The text of one metric; a gauge with many series is written bit by bit."""
    samples = list(family.samples)
    if family.type != "gauge" or len(samples) <= _SERIES_AT_ONCE:
        yield generate_latest(_One(family))
        give_way()
        return
    for start in range(0, len(samples), _SERIES_AT_ONCE):
        part = Metric(family.name, family.documentation, family.type)
        part.samples = samples[start : start + _SERIES_AT_ONCE]
        text = generate_latest(_One(part))
        yield text if start == 0 else text.split(b"\n", 2)[2]  # HELP and TYPE stand there once
        give_way()
