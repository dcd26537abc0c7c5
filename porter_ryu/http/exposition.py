"""The metrics in the Prometheus text format.

Counters and histograms come from the registry, the gauges from `gauge_values`.  A scrape of 10,000
Services and 64 peers takes a tenth of a second, so it is made in slices.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from porter_ryu import metrics
from porter_ryu.domain.planner import Planner
from porter_ryu.http import first_series, gauge_values
from porter_ryu.http.gauge_values import ProcessState
from porter_ryu.http.shared_result import SharedResult
from porter_ryu.time_slice import TimeSlice

_SERIES_AT_ONCE = 200


class Exposition:
    """Makes the exposition text."""

    def __init__(self, planner: Planner, process: ProcessState) -> None:
        self._planner = planner
        self._process = process
        self._own_process = ProcessCollector(registry=None)
        self._peer_series = first_series.OfPeers()
        self._result = SharedResult(lambda: b"".join(self._chunks()))
        first_series.of_cluster()

    def text(self) -> bytes:
        """The current values of all metrics.

        One text is made at a time; all scrapes that arrive meanwhile share the next one.
        """
        return self._result.get()

    def _chunks(self) -> Iterator[bytes]:
        give_way = TimeSlice()
        process = self._process
        peers = process.peers()
        names = frozenset(peer.name for peer in peers)
        self._peer_series.set(names)
        families = itertools.chain(
            metrics.REGISTRY.collect(),
            self._own_process.collect(),
            gauge_values.of_process(process),
            gauge_values.of_switches(process.switches()),
            gauge_values.of_cluster(self._planner, process.is_sent, give_way),
            gauge_values.of_peers(peers),
        )
        for family in families:
            yield from _text(family, self._wanted(family, names), give_way)

    @staticmethod
    def _wanted(family: Metric, peers: frozenset[str]) -> list[Sample]:
        """The samples of a metric without those of peers that are not configured (any more)."""
        samples, strays = [], set()
        for sample in family.samples:
            peer = sample.labels.get("peer")
            if peer is not None and peer not in peers:
                strays.add(peer)
            else:
                samples.append(sample)
        if strays:
            metrics.forget_peers(strays)  # something was counted after they went
        return samples


class _SingleMetricRegistry:
    """A registry of one metric, for generate_latest."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


def _text(family: Metric, samples: list[Sample], give_way: Callable[[], None]) -> Iterator[bytes]:
    """The text of one metric; one with many series is written in parts."""
    for start in range(0, max(1, len(samples)), _SERIES_AT_ONCE):
        part = Metric(family.name, family.documentation, family.type)
        part.samples = samples[start : start + _SERIES_AT_ONCE]
        text = generate_latest(_SingleMetricRegistry(part))
        yield text if start == 0 else text.split(b"\n", 2)[2]  # HELP and TYPE are written once
        give_way()
