"""Which nodes are drained, and for how long they are still announced.

A drained node is announced as one that routers should leave (RFC 8326) for a while, so that they
move its traffic before its paths are withdrawn.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.announcement import Drain
from porter_ryu.domain.model import Node

_NOT_DRAINED = "false"  # the value of the annotation that says so
_BEFORE_FIRST_SEEN = Drain(-math.inf, -math.inf, over=True)


class DrainPolicy(Struct, frozen=True):
    """What drains a node: `annotation` with any value but "false" (empty: none does), one of the
    keys in `taints`, or, if `cordoned`, that it is cordoned.

    It is announced for `seconds` with the MULTI_EXIT_DISC `med`.
    """

    annotation: str = ""
    taints: frozenset[str] = frozenset()
    cordoned: bool = False
    seconds: int = 30
    med: int = 2**32 - 1

    def cause(self, node: Node) -> str:
        """By what, or why, a node is drained; empty if it is not."""
        if self._annotated(node):
            return f"by annotation {self.annotation}"
        taints = sorted(self.taints & node.taints)
        if taints:
            return f"by taint {taints[0]}"
        return "because it is cordoned" if self.cordoned and node.unschedulable else ""

    def undo(self, node: Node, name: str) -> str:
        """The command that ends the drain of a node; `name` is that of the node as a word of a
        command."""
        if self._annotated(node):
            return f"kubectl annotate node {name} {self.annotation}-"
        taints = sorted(self.taints & node.taints)
        if taints:
            return f"kubectl taint node {name} {taints[0]}-"
        return f"kubectl uncordon {name}"

    def _annotated(self, node: Node) -> bool:
        value = node.annotations.get(self.annotation, _NOT_DRAINED)
        return bool(self.annotation) and value != _NOT_DRAINED


class NodeDrains:
    """Follows the drain of each node; times are of any monotonic clock, in seconds.

    A drain is over at once if the node was never seen undrained: after a restart it is not known
    when the drain began, and a node that was not announced before needs no farewell.
    """

    def __init__(self, policy: DrainPolicy) -> None:
        self._policy = policy
        self._undrained: set[str] = set()
        self._drains: dict[str, Drain] = {}
        self._causes: dict[str, str] = {}
        self._notices: list[str] = []

    @property
    def due(self) -> float | None:
        """When `observe` has to be called although nothing changed; None: never."""
        return min((d.ends for d in self._drains.values() if not d.over), default=None)

    @property
    def count(self) -> int:
        """How many nodes are drained, or being drained."""
        return len(self._drains)

    @property
    def cached_entries(self) -> int:
        """How many entries are kept, the undrained nodes aside."""
        return len(self._drains) + len(self._causes) + len(self._notices)

    def of(self, name: str) -> Drain | None:
        """The drain of a node; None if it is not drained."""
        return self._drains.get(name)

    def all(self) -> list[tuple[str, Drain]]:
        """The nodes that are drained, or being drained, in order of name."""
        return sorted(self._drains.items(), key=lambda entry: entry[0])

    def cause(self, name: str) -> str:
        """By what, or why, a node is drained; empty if it is not."""
        return self._causes.get(name, "")

    def supposing(self, names: Iterable[str], now: float) -> NodeDrains:
        """A copy, for a question, in which the drains of these nodes are over; those that have not
        begun yet began at `now`."""
        supposed = copy.copy(self)
        supposed._drains = dict(self._drains)
        for name in names:
            known = self._drains.get(name) or Drain(now, now + self._policy.seconds, over=True)
            supposed._drains[name] = replace(known, over=True)
        return supposed

    def without(self, names: Collection[str]) -> NodeDrains:
        """A copy, for a question, in which these nodes are not drained."""
        supposed = copy.copy(self)
        supposed._drains = {n: drain for n, drain in self._drains.items() if n not in names}
        return supposed

    def begin_with(self, names: Iterable[str]) -> None:
        """The drains of these nodes begin when they are first observed: another process saw them
        undrained."""
        self._undrained.update(names)

    def observe(self, changed: Mapping[str, Node | None], now: float) -> set[str]:
        """Updates the state; `changed` are the nodes that changed, by name, None for those that
        are gone.  Returns the nodes of which `of` answers otherwise than before."""
        affected = set()
        for name, node in changed.items():
            before = self._drains.get(name)
            self._update(name, node, now)
            if self._drains.get(name) != before:
                affected.add(name)
        for name, drain in self._drains.items():
            if not drain.over and now >= drain.ends:
                self._drains[name] = Drain(drain.began, drain.ends, over=True)
                affected.add(name)
                text = f"node {name} is drained {self._causes[name]}, except where it is the last"
                self._notices.append(f"{text} next hop")
        return affected

    def pop_notices(self) -> Iterable[str]:
        """A sentence for each drain that began, is over or was undone since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def _update(self, name: str, node: Node | None, now: float) -> None:
        """Begins or ends the drain of a node that changed."""
        cause = self._policy.cause(node) if node is not None else ""
        drain = self._drains.get(name)
        if cause:
            self._causes[name] = cause
            if drain is None:
                self._drains[name] = self._begin(name, now)
            return
        self._causes.pop(name, None)
        if node is None:
            self._undrained.discard(name)
        else:
            self._undrained.add(name)
        if self._drains.pop(name, None) is not None:
            end = "is not drained any more" if node is not None else "was drained and is gone"
            self._notices.append(f"node {name} {end}")

    def _begin(self, name: str, now: float) -> Drain:
        cause, seconds = self._causes[name], self._policy.seconds
        if name not in self._undrained:
            self._notices.append(f"node {name} is found drained {cause}")
            return _BEFORE_FIRST_SEEN
        self._undrained.discard(name)
        self._notices.append(
            f"node {name} is being drained {cause}: it is announced with GRACEFUL_SHUTDOWN for "
            f"{seconds} s, then withdrawn"
        )
        return Drain(now, now + seconds, over=False)
