"""What is said of each node: whether it can be a next hop, or why not, and whether it is drained;
and how that changes from turn to turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.next_hops import NodeVerdict
from porter_ryu.domain.verdict import NodeReason

_USABLE = "usable"


class NodeChange(NamedTuple):
    """What is said of a node before and after; empty: there is no such node."""

    before: str
    after: str


class NodeChanges:
    """Remembers what was last said of each node.  `exists` says whether there is a node."""

    def __init__(
        self,
        verdict: Callable[[str, Family], NodeVerdict],
        drains: NodeDrains,
        exists: Callable[[str], bool],
    ) -> None:
        self._verdict = verdict
        self._drains = drains
        self._exists = exists
        self._said: dict[str, str] = {}
        self._marked: set[str] = set()

    @property
    def cached_entries(self) -> int:
        """How many entries are kept, the existing nodes aside."""
        return len(self._marked) + sum(not self._exists(name) for name in self._said)

    def mark(self, names: Iterable[str]) -> None:
        """What is said of these nodes may have changed."""
        self._marked.update(names)

    def pop(self) -> dict[str, NodeChange]:
        """The changes since the last call, by name of the node."""
        marked, self._marked = self._marked, set()
        changes = {}
        for name in sorted(marked):
            before = self._said.get(name, "")
            after = self._text(name) if self._exists(name) else ""
            if after:
                self._said[name] = after
            else:
                self._said.pop(name, None)
            if after != before:
                changes[name] = NodeChange(before, after)
        return changes

    def _text(self, name: str) -> str:
        verdicts = {family: self._verdict(name, family).verdict for family in Family}
        # nearly every node has addresses of one family alone
        told = {f: v for f, v in verdicts.items() if v.reason is not NodeReason.NO_ADDRESS}
        texts = {
            family: _USABLE if verdict.ok else f"not usable: {verdict.message}"
            for family, verdict in (told or verdicts).items()
        }
        if len(set(texts.values())) == 1:
            text = next(iter(texts.values()))
        else:
            text = "; ".join(f"IPv{family.value}: {text}" for family, text in texts.items())
        drain = self._drains.of(name)
        if drain is None:
            return text
        drained = f"{'drained' if drain.over else 'draining'} {self._drains.cause(name)}"
        return drained if text == _USABLE else f"{text}; {drained}"
