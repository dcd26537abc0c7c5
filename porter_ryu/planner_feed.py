"""An Observer for commands that read the cluster once: it passes all objects to the planner."""

from __future__ import annotations

from collections.abc import Collection

from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.domain.objects import Reading
from porter_ryu.domain.planner import Planner


class PlannerFeed:
    """Stores lists and single objects in a Planner, and takes no turn."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """A complete list of one kind (Observer)."""
        del read_at
        self._planner.replace(kind, objects)

    def put(self, obj: Reading, read_at: float) -> None:
        """One object was added or changed (Observer)."""
        del read_at
        self._planner.put(obj)

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        """One object is gone (Observer)."""
        del read_at
        self._planner.remove(kind, key)
