"""The Services that share one address, indexed so that another one is judged without comparing it
with each of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from porter_ryu.domain.model import ObjectKey, Port, Service

Group = tuple[str, str]
_K = TypeVar("_K")


def group_of(service: Service) -> Group | None:
    """The namespace and sharing key that Services must have in common with it to share an address;
    None: it shares with none."""
    return (service.key.namespace, service.share_key) if service.share_key else None


def check_hashable(service: Service) -> None:
    """Raises TypeError if a Service cannot be indexed, before any index is changed."""
    hash((group_of(service), frozenset(service.ports)))


class Sharers:
    """The holders of one address, each as it was added.

    Nearly every address has one holder, so holders are indexed only from the second one on.
    """

    __slots__ = ("_index", "_sole", "_sole_unreadable")

    def __init__(self) -> None:
        self._sole: Service | None = None
        self._sole_unreadable = False
        self._index: _SharerIndex | None = None

    @property
    def keys(self) -> Collection[ObjectKey]:
        """The holders."""
        if self._index is not None:
            return self._index.keys
        return (self._sole.key,) if self._sole is not None else ()

    def add(self, service: Service, unreadable: bool) -> None:
        """Adds a holder; `unreadable`: it cannot be read."""
        if self._index is None and self._sole is None:
            self._sole, self._sole_unreadable = service, unreadable
        else:
            self._indexed().add(service, unreadable)

    def remove(self, service: Service) -> None:
        """Removes a holder, as it was added."""
        if self._index is None:
            self._sole = None
            return
        self._index.remove(service)
        if not self._index.keys:
            self._index = None

    def has(self, group: Group | None) -> bool:
        """Whether a holder belongs to this group."""
        return bool(self.keys) and self._indexed().has(group)

    def admits(self, service: Service, known: Service | None, recorded: bool) -> bool:
        """Whether a Service may hold the address together with the others.

        `known` is the form in which it is a holder, None where it is none.  `recorded`: it has the
        address on record, so it may share it with a holder that cannot be read.
        """
        is_holder = known is not None
        others = len(self.keys) - is_holder
        return not others or self._indexed().admits(service, is_holder, recorded)

    def with_other_key(self, service: Service) -> ObjectKey | None:
        """The first by name of the other holders that are not in the group of a Service."""
        return self._indexed().with_other_key(service)

    def with_same_port(self, service: Service) -> ObjectKey | None:
        """The first by name of the other holders that have a port in common with a Service."""
        return self._indexed().with_same_port(service)

    def _indexed(self) -> _SharerIndex:
        """The index, created on first use."""
        if self._index is None:
            self._index = _SharerIndex()
            if self._sole is not None:
                self._index.add(self._sole, self._sole_unreadable)
                self._sole = None
        return self._index


class _SharerIndex:
    """Holders by group and by port.

    `unreadable` are those of them that cannot be read: their groups and ports are not known, so no
    Service may newly join them.
    """

    def __init__(self) -> None:
        self.keys: set[ObjectKey] = set()
        self.unreadable: set[ObjectKey] = set()
        self._groups: dict[Group | None, set[ObjectKey]] = {}
        self._ports: dict[Port, set[ObjectKey]] = {}
        self._first: ObjectKey | None = None

    def add(self, service: Service, unreadable: bool) -> None:
        """Adds a holder."""
        self.keys.add(service.key)
        self._first = None
        if unreadable:
            self.unreadable.add(service.key)
            return
        self._groups.setdefault(group_of(service), set()).add(service.key)
        for port in service.ports:
            self._ports.setdefault(port, set()).add(service.key)

    def remove(self, service: Service) -> None:
        """Removes a holder, as it was added."""
        self.keys.discard(service.key)
        self._first = None
        if service.key in self.unreadable:
            self.unreadable.discard(service.key)
            return
        _drop(self._groups, group_of(service), service.key)
        for port in service.ports:
            _drop(self._ports, port, service.key)

    def has(self, group: Group | None) -> bool:
        """Whether a holder belongs to this group."""
        return group in self._groups

    def admits(self, service: Service, is_holder: bool, recorded: bool) -> bool:
        """Whether a Service may hold the address together with the others; `is_holder`: it holds it
        already."""
        group = group_of(service)
        others_unreadable = len(self.unreadable - {service.key})
        others = len(self.keys) - is_holder
        if group is None and (others > others_unreadable or not is_holder):
            return False
        if others_unreadable and not is_holder and not recorded:
            return False
        if not is_holder and not self._unreadable_are_in(service.key.namespace):
            return False
        for other, keys in self._groups.items():
            if other != group and keys != {service.key}:
                return False
        return not any(self._others_with(port, service.key) for port in service.ports)

    def with_other_key(self, service: Service) -> ObjectKey | None:
        """The first by name of the other holders that are not in the group of a Service."""
        group = group_of(service)
        alike = self._groups.get(group, set()) if group is not None else set()
        if len(alike) == len(self.keys):
            return None
        if alike or service.key in self.keys:
            return min(self.keys - alike - {service.key}, default=None)
        if self._first is None:
            self._first = min(self.keys)
        return self._first

    def with_same_port(self, service: Service) -> ObjectKey | None:
        """The first by name of the other holders that have a port in common with a Service."""
        others = (self._others_with(port, service.key) for port in service.ports)
        return min((key for keys in others for key in keys), default=None)

    def _others_with(self, port: Port, key: ObjectKey) -> set[ObjectKey]:
        return self._ports.get(port, set()) - {key}

    def _unreadable_are_in(self, namespace: str) -> bool:
        return all(key.namespace == namespace for key in self.unreadable)


def _drop(table: dict[_K, set[ObjectKey]], name: _K, key: ObjectKey) -> None:
    table[name].discard(key)
    if not table[name]:
        del table[name]
