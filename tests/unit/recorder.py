"""An Observer that records the latest reading of each object."""

from __future__ import annotations

from collections.abc import Collection

from porter_ryu.domain.model import Eip, Kind, Node, ObjectId, ObjectKey, Service
from porter_ryu.domain.objects import Reading, Unreadable


class Recorder(dict[ObjectId, Reading]):
    """The latest readings by kind and key; `removed`, `lists` and `history` record all calls."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: list[ObjectId] = []
        self.lists = 0
        self.history: list[Reading] = []

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """Observer."""
        self.lists += 1
        for known in [known for known in self if known[0] is kind]:
            del self[known]
        self.update({(kind, obj.key): obj for obj in objects})
        self.history.extend(objects)

    def put(self, obj: Reading, read_at: float) -> None:
        """Observer."""
        self[obj.kind, obj.key] = obj
        self.history.append(obj)

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        """Observer."""
        self.removed.append((kind, key))
        del self[kind, key]

    def readings(self, object_id: ObjectId) -> list[Reading]:
        """All readings of an object, the first one first."""
        return [obj for obj in self.history if (obj.kind, obj.key) == object_id]

    def service(self, name: str) -> Service:
        """A Service of the default namespace."""
        found = self[Kind.SERVICE, ObjectKey("default", name)]
        assert isinstance(found, Service)
        return found

    def eip(self, name: str) -> Eip:
        """An Eip."""
        found = self[Kind.EIP, ObjectKey("", name)]
        assert isinstance(found, Eip)
        return found

    def node(self, name: str) -> Node:
        """A Node."""
        found = self[Kind.NODE, ObjectKey("", name)]
        assert isinstance(found, Node)
        return found

    def unreadable(self, name: str) -> Unreadable:
        """A Service of the default namespace that cannot be read."""
        found = self[Kind.SERVICE, ObjectKey("default", name)]
        assert isinstance(found, Unreadable)
        return found
