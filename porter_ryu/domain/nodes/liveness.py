"""Which nodes are dead, by the answers to our own probes.  The families are judged apart.

A probe that was answered once and then misses `multiplier` times in a row is down, and as many
answers in a row bring it back.  A node is dead while one of its probes is down.  A probe that was
never answered counts for nothing: a firewall, or a port that nobody serves, is no failure.

When almost all nodes fall silent at once, it is this host or the network, not the nodes: then
nothing new is believed.  The first node is down only after its last of `multiplier` misses, and by
then each other node that fell silent with it has missed a probe as well.  So the share of the
silent nodes is known before anything follows from the first loss.  The node that this process runs
on answers it in any case, so it does not count in the share.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

from msgspec import Struct

from porter_ryu.domain.model import Family

_SAFE_MULTIPLIER = 3
_WINDOW_SECONDS = 5.0  # nodes that are lost within it are lost together
_SETTLE_SECONDS = 5.0  # after that a probe without an answer is reported as unanswered


class Findings(Struct, frozen=True):
    """What the probes found about a node in one family.

    `dead` says why it is no next hop, and is empty while it lives.  `unanswered` names the probes
    that were never answered and count for nothing.
    """

    dead: str = ""
    unanswered: tuple[str, ...] = ()


NOTHING_FOUND = Findings()
ProbedNode = tuple[str, Family]
"""A node in one family: its name, and the family of its address."""


class LivenessRule(Struct, frozen=True):
    """`multiplier`: how many misses or answers in a row count.  `interval` and `timeout`: how often
    a probe is sent, and how soon it must be answered, in seconds.  `panic_percent`: above which
    share of the nodes a loss is not believed.
    """

    multiplier: int
    interval: float
    timeout: float
    panic_percent: int


class _ProbeCount:
    """The answers and misses in a row of one probe of a node."""

    __slots__ = ("answered", "answers", "detail", "down", "label", "misses")

    def __init__(self, label: str, answered: bool) -> None:
        self.label = label
        self.answered = answered
        self.answers = self.misses = 0
        self.down = False
        self.detail = ""


class _Node:
    """A node: its probes, and what follows from them."""

    __slots__ = ("answering", "counts", "ours", "settled", "why_down")

    def __init__(self, labels: Sequence[str], known: Findings | None, ours: bool) -> None:
        unanswered = known.unanswered if known is not None else labels
        self.counts = [_ProbeCount(label, label not in unanswered) for label in labels]
        self.answering = any(count.answered for count in self.counts)
        self.ours = ours
        self.settled = known is not None
        self.why_down = known.dead if known is not None else ""
        for count in self.counts:
            # which of its probes was down is not known any more: all have to be answered again
            count.down = bool(self.why_down) and count.answered

    @property
    def silent(self) -> bool:
        """Whether a probe that was answered once was not answered the last time."""
        return any(count.answered and count.misses for count in self.counts)


class Liveness:
    """Follows all probes of all nodes in one family; each `now` is of one monotonic clock, in
    seconds.

    `doubted`: so many nodes fell silent at once that their loss is not believed.  `dead` holds the
    nodes that are believed dead.
    """

    def __init__(self, rule: LivenessRule) -> None:
        self.doubted = False
        self.dead: set[str] = set()
        self._rule = rule
        self._nodes: dict[str, _Node] = {}
        self._answering = 0
        self._silent: set[str] = set()
        self._down_at: dict[str, float] = {}
        self._disbelieved: set[str] = set()
        self._believe_at = 0.0
        self._late_at = -math.inf
        self._touched: set[str] = set()
        self._unsettled: collections.deque[tuple[float, str, _Node]] = collections.deque()
        self._changed: set[str] = set()

    def add(
        self,
        name: str,
        labels: Sequence[str],
        known: Findings | None,
        now: float,
        ours: bool = False,
    ) -> None:
        """Adds a node with a name for each of its probes; `known` is what an earlier process found
        about it, `ours` whether this process runs on it.  A node of this name is replaced."""
        self.remove(name)
        node = self._nodes[name] = _Node(labels, known, ours)
        self._answering += node.answering and not ours
        if node.why_down:
            self._down_at[name] = now - _WINDOW_SECONDS
            self.dead.add(name)
        self._unsettled.append((now + self._settle_seconds, name, node))

    @property
    def _settle_seconds(self) -> float:
        return max(_SETTLE_SECONDS, 2 * self._rule.multiplier * self._rule.interval)

    def remove(self, name: str) -> None:
        """Removes a node, if it is there."""
        node = self._nodes.pop(name, None)
        if node is None:
            return
        self._answering -= node.answering and not node.ours
        self._down_at.pop(name, None)
        for names in (self._silent, self._disbelieved, self.dead, self._touched, self._changed):
            names.discard(name)

    def answered(self, name: str, index: int) -> None:
        """A probe of a node was answered."""
        node = self._nodes[name]
        count = node.counts[index]
        count.answers += 1
        if count.answered and not count.misses and not count.down:
            return  # as nearly always
        count.misses = 0
        if not count.answered:
            count.answered = True
            self._answering += not node.answering and not node.ours
            node.answering = True
            node.settled = node.settled or all(each.answered for each in node.counts)
            if node.settled:
                self._changed.add(name)
        if count.answers >= self._rule.multiplier:
            count.down = False
        self._touched.add(name)

    def missed(self, name: str, index: int, detail: str) -> None:
        """A probe of a node was not answered in time, or with a refusal; `detail` says which."""
        count = self._nodes[name].counts[index]
        count.answers = 0
        if not count.answered:
            return
        count.misses += 1
        if count.misses >= self._rule.multiplier and not count.down:
            count.down, count.detail = True, detail
        self._touched.add(name)

    def was_late(self, now: float) -> None:
        """This process could not send or judge probes in time.  What it sees first is not believed
        before each node had another probe.  If it was late only once while a node missed three,
        each other silent node has missed one anyhow, and there is nothing to wait for."""
        before, self._late_at = self._late_at, now
        several = now < before + self._rule.multiplier * self._rule.interval
        if self._rule.multiplier >= _SAFE_MULTIPLIER and not several:
            return
        settled_at = now + self._rule.interval + self._rule.timeout
        self._believe_at = max(self._believe_at, settled_at)

    def findings(self, name: str) -> Findings:
        """What is found about a node now."""
        node = self._nodes[name]
        never = (count.label for count in node.counts if not count.answered)
        dead = node.why_down if name in self.dead else ""
        return Findings(dead, tuple(never) if node.settled else ())

    def judge(self, now: float) -> set[str]:
        """Decides what follows from the answers and misses since it was called last; returns the
        nodes whose findings changed."""
        self._settle(now)
        if self._touched or self._disbelieved:
            for name in self._touched:
                self._update_node(name, now)
            self._touched.clear()
            self._update_doubt(now)
            dead = self._down_at.keys() - self._disbelieved
            self._changed |= dead ^ self.dead
            self.dead = dead
        changed, self._changed = self._changed, set()
        return changed

    def _settle(self, now: float) -> None:
        """Reports each node some time after it was added, if not all of its probes were answered
        before."""
        while self._unsettled and self._unsettled[0][0] <= now:
            _, name, node = self._unsettled.popleft()
            if self._nodes.get(name) is node and not node.settled:
                node.settled = True
                self._changed.add(name)

    def _update_node(self, name: str, now: float) -> None:
        node = self._nodes[name]
        down = next((count for count in node.counts if count.down), None)
        is_silent = node.silent and not down and not node.ours
        (self._silent.add if is_silent else self._silent.discard)(name)
        if down is None:
            self._down_at.pop(name, None)
            self._disbelieved.discard(name)
        elif name not in self._down_at:
            node.why_down = f"{down.label} failed {self._rule.multiplier} times in a row"
            node.why_down += f" ({down.detail})"
            self._down_at[name] = now
            self._disbelieved.add(name)  # until the doubt is ruled out, mostly at once

    def _update_doubt(self, now: float) -> None:
        """Begins or ends the doubt, and decides which of the losses are believed."""
        recent = {
            name
            for name, at in self._down_at.items()
            if name in self._disbelieved or now < at + _WINDOW_SECONDS
        }
        lost = {name for name in recent | self._silent if not self._nodes[name].ours}
        before = (name for name in self._down_at.keys() - recent if not self._nodes[name].ours)
        present = self._answering - sum(1 for _ in before)
        share = 100 * len(lost) / present if present else 0.0
        was_doubted, self.doubted = self.doubted, bool(recent) and share > self._rule.panic_percent
        if self.doubted:
            self._disbelieved = recent
        elif was_doubted:
            # nodes come back one after the other
            self._believe_at = max(self._believe_at, now + self._settle_seconds)
        elif now >= self._believe_at:
            first = self._rule.interval if self._rule.multiplier == 1 else 0.0
            self._disbelieved = {n for n in self._disbelieved if now < self._down_at[n] + first}
