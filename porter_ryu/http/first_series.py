"""Makes every series of the counters before its first event, with 0.

`increase()` in Prometheus needs a value before the one that it compares: a counter that appears
with its first event hides that event.
"""

from __future__ import annotations

from porter_ryu import metrics
from porter_ryu.bgp.protocol.ending import Cause
from porter_ryu.bgp.protocol.wire import MessageType
from porter_ryu.domain.model import Kind
from porter_ryu.kube.informer import RESTART_REASONS
from porter_ryu.kube.write_codes import WRITE_CODES

MESSAGE_TYPES = tuple(kind.name.lower() for kind in MessageType)
DROP_REASONS = tuple(cause.value for cause in Cause)


def of_cluster() -> None:
    """The series that do not depend on the configuration."""
    for kind in Kind:
        for reason in RESTART_REASONS:
            metrics.watch_restarts.labels(kind.value, reason)
    for name, codes in WRITE_CODES.items():
        for code in codes:
            metrics.kubernetes_writes.labels(name, code)


class OfPeers:
    """The series of the peers that are configured, and of no others."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()

    def set(self, names: frozenset[str]) -> None:
        """Makes the series of new peers, and removes those of peers that are gone."""
        for name in names - self._names:
            metrics.begin_peer(name, MESSAGE_TYPES, DROP_REASONS)
        metrics.forget_peers(self._names - names)
        self._names = names
