"""An Observer for a single look: whatever is read goes straight to the planner."""

from __future__ import annotations

from collections.abc import Collection

from porter_ryu.domain.model import Kind, ObjectKey, Reading
from porter_ryu.domain.planner import Planner


class Once:
    """Takes lists, and single objects, as a Reconciler would, and drives nothing."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """A complete list."""
        del read_at
        self._planner.replace(kind, objects)

    def put(self, obj: Reading, read_at: float) -> None:
        """One object."""
        del read_at
        self._planner.put(obj)

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        """One object less."""
        del read_at
        self._planner.remove(kind, key)
