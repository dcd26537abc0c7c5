"""What is known from probes about the nodes of the cluster, and which addresses are to be probed.

Findings take effect at the start of a turn, as nodes do.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.liveness import NOTHING_FOUND, Findings, ProbedNode


class ProbedNodes:
    """The findings in force.  `probing`: nodes are probed at all ([liveness])."""

    def __init__(self, probing: bool = False) -> None:
        self._probing = probing
        self._found: dict[ProbedNode, Findings] = {}
        self._newly_found: dict[ProbedNode, Findings] = {}
        self._readdressed: set[str] = set()

    @property
    def pending(self) -> bool:
        """Whether there are findings that are not in force yet."""
        return bool(self._newly_found)

    @property
    def dead(self) -> frozenset[str]:
        """The nodes that are dead by their probes, in one family at least."""
        return frozenset(name for (name, _), found in self._found.items() if found.dead)

    @property
    def cached_entries(self) -> int:
        """How many entries are kept."""
        return len(self._found) + len(self._newly_found) + len(self._readdressed)

    def of(self, name: str) -> dict[Family, Findings]:
        """What is found about a node."""
        return {family: self._found.get((name, family), NOTHING_FOUND) for family in Family}

    def find(self, found: Mapping[ProbedNode, Findings]) -> None:
        """Takes what probes found about these nodes, for the next turn."""
        self._newly_found.update(found)

    def begin_turn(self, exists: Callable[[str], bool]) -> tuple[set[str], set[str]]:
        """Puts the newest findings in force; `exists` says whether there is a node of a name.
        Returns the nodes with new findings, and those of them that are dead now or no longer."""
        newly_found, self._newly_found = self._newly_found, {}
        changed, turned = set(), set()
        for (name, family), after in newly_found.items():
            before = self._found.get((name, family), NOTHING_FOUND)
            if after == before or not exists(name):
                continue
            if after == NOTHING_FOUND:
                del self._found[name, family]
            else:
                self._found[name, family] = after
            changed.add(name)
            if bool(after.dead) != bool(before.dead):
                turned.add(name)
        return changed, turned

    def forget(self, name: str) -> None:
        """A node is gone."""
        for family in Family:
            self._found.pop((name, family), None)

    def without(self, names: Container[str]) -> ProbedNodes:
        """A copy, for a question, in which nothing is known about these nodes."""
        made = ProbedNodes(self._probing)
        made._found = {node: found for node, found in self._found.items() if node[0] not in names}
        return made

    def readdressed(self, names: Iterable[str]) -> None:
        """The addresses by which these nodes are next hops may have changed."""
        if self._probing:
            self._readdressed.update(names)

    def pop_readdressed(self) -> set[str]:
        """The nodes for which `readdressed` was called since this was called last."""
        names, self._readdressed = self._readdressed, set()
        return names
