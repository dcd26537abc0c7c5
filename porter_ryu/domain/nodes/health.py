"""Whether the loss of nodes is believed: a view in which almost all of them die at once is more
likely wrong than true, and acting on it would take every route away.

Only readiness is doubted.  A Node that is deleted, excluded or unreachable by its network is so at
once, and the first view after a start is taken as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

_WINDOW = 60.0
_QUIET_MOST = 15.0
_MANY = 50
_RECOVERY = 30.0  # a kubelet that is back takes up to 10 s to report its Pods ready again
_NEVER = 100


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a loss waits for more of them before it is believed, in seconds: `any` loss, and
    that of a silent node, or of most of the nodes, or after a doubt (`silence`)."""

    any: float
    silence: float


# Kubernetes looks for silent nodes every 5 s; after a doubt they come back one after the other
OF_A_CLUSTER = Patience(any=1.0, silence=6.0)
OF_A_DIRECTORY = Patience(any=0.4, silence=0.4)


class NodeHealth:
    """Follows which nodes are Ready; times are of any monotonic clock, in seconds.

    `percent`: when more than this share of the present nodes that were Ready is lost within 60 s,
    the view is doubted, until the share is back below.
    """

    def __init__(self, percent: int, patience: Patience) -> None:
        self._percent = percent
        self._patience = patience
        self._ready: set[str] | None = None
        self._lost: dict[str, float] = {}
        self._weighed: set[str] = set()
        self._patient = False
        self._weighed_since = self._stirred_at = 0.0
        self._recovering: dict[str, float] = {}
        self.doubted = False

    @property
    def due(self) -> float | None:
        """When `observe` has to be asked again though nothing happened; None: not at all."""
        moments = list(self._recovering.values())
        if self._weighed and not self.doubted:
            moments.append(self._weighed_until)
        return min(moments, default=None)

    @property
    def _weighed_until(self) -> float:
        quiet = self._patience.silence if self._patient else self._patience.any
        return min(self._stirred_at + quiet, self._weighed_since + _QUIET_MOST)

    def _share(self, lost: Collection[str]) -> float:
        """These nodes in per cent of the present ones that were Ready within a minute."""
        present = len(self._ready or ()) + len(self._lost)
        return 100 * len(lost) / present if present else 0.0

    def lost(self, name: str) -> bool:
        """Whether a node lost its readiness a while ago at most, believed or not."""
        return name in self._lost

    def trusts(self, name: str) -> bool:
        """Whether a node that is not Ready counts as if it were."""
        return name in (self._lost if self.doubted else self._weighed)

    def trusts_endpoints(self, name: str) -> bool:
        """Whether the endpoints of a node count as they were before it was lost."""
        return name in self._recovering or self.trusts(name)

    def observe(self, ready: Mapping[str, bool], silent: Collection[str], now: float) -> set[str]:
        """Takes in all present nodes, by name whether they are Ready, and those of which nobody
        hears; returns those that are trusted otherwise than before."""
        if self._percent >= _NEVER:
            return set()
        before = self._trusted()
        self._count(ready, silent, now)
        self._judge(now)
        self._recovering = {
            name: until for name, until in self._recovering.items() if until > now and name in ready
        }
        after = self._trusted()
        return {
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        }

    def _trusted(self) -> dict[str, bool]:
        nodes = self._lost if self.doubted else self._weighed
        return {**dict.fromkeys(self._recovering, False), **dict.fromkeys(nodes, True)}

    def _count(self, ready: Mapping[str, bool], silent: Collection[str], now: float) -> None:
        """Notes who was lost and who is back."""
        up = {name for name, is_ready in ready.items() if is_ready}
        was_up = up if self._ready is None else self._ready
        losses = {name for name in was_up - up if name in ready}
        for name in [name for name in self._lost if name in up or name not in ready]:
            if name in up and self.trusts(name):
                self._recovering[name] = now + _RECOVERY
                self._stirred_at = now
            del self._lost[name]
            self._weighed.discard(name)
        self._lost.update(dict.fromkeys(losses, now))
        self._ready = up
        if losses:
            self._weigh(losses, now, patient=not losses.isdisjoint(silent))

    def _weigh(self, names: set[str], now: float, patient: bool) -> None:
        if not self._weighed:
            self._weighed_since, self._patient = now, False
        self._stirred_at = now
        self._weighed |= names
        self._patient |= patient or self._share(self._weighed) > _MANY

    def _judge(self, now: float) -> None:
        """Begins or ends the doubt, and ends the weighing."""
        if not self.doubted:
            self._lost = {name: at for name, at in self._lost.items() if now < at + _WINDOW}
        was_doubted, self.doubted = self.doubted, self._share(self._lost) > self._percent
        if was_doubted and not self.doubted:
            self._weighed.clear()
            self._weigh(set(self._lost), now, patient=True)
        if not self.doubted and now >= self._weighed_until:
            self._weighed.clear()
            self._patient = False
