"""Whether the loss of nodes is believed.

A report that almost all nodes failed at once is more likely wrong than true, and acting on it would
withdraw every route.  Only readiness is doubted: a Node that is deleted, excluded or has no network
is unusable at once.  What is first reported after a start is believed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct

_LOSS_WINDOW_SECONDS = 60.0
_MAX_DELAY_SECONDS = 15.0
_MAJORITY_PERCENT = 50
_NEVER_PERCENT = 100  # a share cannot be larger
_NO_NODES: frozenset[str] = frozenset()
_RECOVERY_SECONDS = 30.0  # a kubelet that is back takes up to 10 s to report its Pods ready again


class LossDelays(Struct, frozen=True):
    """How long after the last loss of a node losses are believed, in seconds.

    `extended` counts where one of the nodes is silent, where most of the nodes are lost, and after
    a doubt; `normal` otherwise.
    """

    normal: float
    extended: float


# Kubernetes looks for silent nodes every 5 s; after a doubt they come back one after the other
API_SERVER_DELAYS = LossDelays(normal=1.0, extended=6.0)
DIRECTORY_DELAYS = LossDelays(normal=0.4, extended=0.4)


class NodeHealth:
    """Follows which nodes are Ready; times are of any monotonic clock, in seconds.

    `percent`: when more than this share of the present nodes that were Ready is lost within 60 s,
    the loss is doubted until the share is not above it any more.
    """

    def __init__(self, percent: int, delays: LossDelays) -> None:
        self._percent = percent
        self._delays = delays
        self._ready: set[str] | None = None
        self._lost_at: dict[str, float] = {}
        self._pending: set[str] = set()
        self._extended = False
        self._pending_since = self._last_change_at = 0.0
        self._recovering_until: dict[str, float] = {}
        self.doubted = False

    @property
    def due(self) -> float | None:
        """When `observe` has to be called although nothing changed; None: never."""
        if not (self._recovering_until or self._pending):
            return None
        times = list(self._recovering_until.values())
        if self._pending and not self.doubted:
            times.append(self._pending_until)
        return min(times, default=None)

    @property
    def _pending_until(self) -> float:
        delay = self._delays.extended if self._extended else self._delays.normal
        return min(self._last_change_at + delay, self._pending_since + _MAX_DELAY_SECONDS)

    def _percentage(self, lost: Collection[str]) -> float:
        """These nodes in per cent of the present nodes that were Ready within 60 s."""
        present = len(self._ready or ()) + len(self._lost_at)
        return 100 * len(lost) / present if present else 0.0

    def lagging(self, names: frozenset[str]) -> frozenset[str]:
        """Those of the nodes whose endpoints are reported late: they were lost within 60 s or in a
        doubt that still lasts, or returned from a loss that was not believed."""
        if not (self._lost_at or self._pending or self._recovering_until):
            return _NO_NODES
        return frozenset(
            name for name in names if name in self._lost_at or self.assumes_endpoints_ready(name)
        )

    def assumes_ready(self, name: str) -> bool:
        """Whether a node that is not Ready counts as Ready."""
        return name in (self._lost_at if self.doubted else self._pending)

    def assumes_endpoints_ready(self, name: str) -> bool:
        """Whether the endpoints on a node count as before its loss."""
        return name in self._recovering_until or self.assumes_ready(name)

    def observe(self, ready: Mapping[str, bool], silent: Collection[str], now: float) -> set[str]:
        """Updates the state from all present nodes.

        `ready` says by name whether a node is Ready; `silent` are the nodes that stopped
        reporting.  Returns the nodes that `assumes_ready` or `assumes_endpoints_ready` answers
        otherwise for than before.
        """
        if self._percent >= _NEVER_PERCENT:
            return set()
        before = self._assumptions()
        self._update_losses(ready, silent, now)
        self._update_doubt(now)
        self._recovering_until = {
            name: until
            for name, until in self._recovering_until.items()
            if until > now and name in ready
        }
        after = self._assumptions()
        return {
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        }

    def _assumptions(self) -> dict[str, bool]:
        """Nodes whose endpoints count as before, and whether they count as Ready themselves."""
        assumed_ready = self._lost_at if self.doubted else self._pending
        return {
            **dict.fromkeys(self._recovering_until, False),
            **dict.fromkeys(assumed_ready, True),
        }

    def _update_losses(
        self, ready: Mapping[str, bool], silent: Collection[str], now: float
    ) -> None:
        """Records the nodes that were lost and those that are back."""
        up = {name for name, is_ready in ready.items() if is_ready}
        was_up = up if self._ready is None else self._ready
        losses = {name for name in was_up - up if name in ready}
        for name in [name for name in self._lost_at if name in up or name not in ready]:
            if name in up and self.assumes_ready(name):
                self._recovering_until[name] = now + _RECOVERY_SECONDS
                self._last_change_at = now
            del self._lost_at[name]
            self._pending.discard(name)
        self._lost_at.update(dict.fromkeys(losses, now))
        self._ready = up
        if losses:
            self._add_pending(losses, now, extended=not losses.isdisjoint(silent))

    def _add_pending(self, names: set[str], now: float, extended: bool) -> None:
        """Delays the belief in these losses, so that nodes lost together are judged together."""
        if not self._pending:
            self._pending_since, self._extended = now, False
        self._last_change_at = now
        self._pending |= names
        self._extended |= extended or self._percentage(self._pending) > _MAJORITY_PERCENT

    def _update_doubt(self, now: float) -> None:
        """Begins or ends the doubt, and ends the delay."""
        if not self.doubted:
            self._lost_at = {
                name: at for name, at in self._lost_at.items() if now < at + _LOSS_WINDOW_SECONDS
            }
        was_doubted, self.doubted = self.doubted, self._percentage(self._lost_at) > self._percent
        if was_doubted and not self.doubted:
            self._pending.clear()
            self._add_pending(set(self._lost_at), now, extended=True)
        if not self.doubted and now >= self._pending_until:
            self._pending.clear()
            self._extended = False
