"""What Prometheus is told: counters as they were counted, and the parts as they are now.

A gauge is read off the part that it describes (a peer, an Eip, the Services, the loop) when it is
asked for.  So what is gone leaves no series behind, and no part keeps a figure up to date.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from ryu.lib import hub

from porter_ryu import metrics, report
from porter_ryu.domain import overview
from porter_ryu.domain.planner import Planner
from porter_ryu.time_slice import TimeSlice

_SERIES_AT_ONCE = 200
_UP = "Established"


@dataclass(frozen=True, slots=True)
class Process:
    """What is read of the process itself: how many addresses are bound, whether the journals of
    announced paths can be written, by how many seconds the loop was late within a minute, and
    whether the configuration that was read last is in force."""

    bound_ips: Callable[[], int]
    state_dir_writable: Callable[[], bool]
    loop_lag: Callable[[], float]
    reloaded: Callable[[], bool]


class Figures:
    """The exposition text; `peers` are the sessions as they are reported."""

    def __init__(self, planner: Planner, peers: report.Peers, process: Process) -> None:
        self._planner = planner
        self._peers = peers
        self._process = process
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
        peers = self._peers()
        metrics.keep_peers({peer["name"] for peer in peers})
        families = itertools.chain(
            metrics.REGISTRY.collect(),
            _of_process(self._process),
            self._of_cluster(give_way),
            _of_peers(peers),
        )
        for family in families:
            yield from _exposition(family, give_way)

    def _of_cluster(self, give_way: TimeSlice) -> Iterator[Metric]:
        planner = self._planner
        yield _gauge("leader", "1 while this instance assigns addresses and writes status.").add(
            planner.leading
        )
        text = "1 while so many nodes were lost at once that it is not believed."
        yield _gauge("nodes_doubted", text).add(planner.doubted)
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
        for eip, status in overview.eips(planner):
            size.add(status.pool_size, eip.name)
            used.add(status.usage, eip.name)
            give_way()
        yield from (size, used)


def _of_process(process: Process) -> Iterator[Metric]:
    text = "Addresses bound on this host by this program."
    yield _gauge("bound_ips", text).add(process.bound_ips())
    text = "0 while the journal of announced paths cannot be written."
    yield _gauge("state_dir_writable", text).add(process.state_dir_writable())
    text = "The longest time within a minute by which a wake-up of the loop was late."
    yield _gauge("loop_lag_seconds", text).add(process.loop_lag())
    text = "1 while the configuration that was read last is in force."
    yield _gauge("config_last_reload_successful", text).add(process.reloaded())


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
