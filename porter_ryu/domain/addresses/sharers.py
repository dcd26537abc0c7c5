"""Who shares one address, indexed, so that one more is judged without looking at all the others."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from porter_ryu.domain.model import ObjectKey, Port, Service

Group = tuple[str, str]
_K = TypeVar("_K")


def group_of(service: Service) -> Group | None:
    """Namespace and sharing key: who may share at all with a Service; None: nobody."""
    return (service.key.namespace, service.share_key) if service.share_key else None


def check(service: Service) -> None:
    """Raises what counting a Service would raise, before anything is counted."""
    hash((group_of(service), frozenset(service.ports)))


class Sharers:
    """The holders of one address, in the form in which each was noted.

    Nearly every address has one holder, so they are indexed only once there is a second.
    """

    __slots__ = ("_crowd", "_sole", "_sole_unread")

    def __init__(self) -> None:
        self._sole: Service | None = None
        self._sole_unread = False
        self._crowd: _Crowd | None = None

    @property
    def keys(self) -> Collection[ObjectKey]:
        """The holders."""
        if self._crowd is not None:
            return self._crowd.keys
        return (self._sole.key,) if self._sole is not None else ()

    def add(self, service: Service, unread: bool) -> None:
        """One holder more; `unread`: it cannot be read."""
        if self._crowd is None and self._sole is None:
            self._sole, self._sole_unread = service, unread
        else:
            self._indexed().add(service, unread)

    def remove(self, service: Service) -> None:
        """One holder less, in the form in which it was added."""
        if self._crowd is None:
            self._sole = None
            return
        self._crowd.remove(service)
        if not self._crowd.keys:
            self._crowd = None

    def has(self, group: Group | None) -> bool:
        """Whether one of them shares by this key."""
        return bool(self.keys) and self._indexed().has(group)

    def admit(self, service: Service, known: Service | None, recorded: bool) -> bool:
        """Whether a Service may hold the address beside the others.

        `known` is the form in which it is among them, None where it is not.  `recorded`: it has
        the address on record, so that it may well share it with one that cannot be read.
        """
        own = 1 if known is not None else 0
        return len(self.keys) == own or self._indexed().admit(service, bool(own), recorded)

    def stranger(self, service: Service) -> ObjectKey | None:
        """The first by name of the others that does not share by the key of a Service."""
        return self._indexed().stranger(service)

    def rival(self, service: Service) -> ObjectKey | None:
        """The first by name of the others that has a port of a Service."""
        return self._indexed().rival(service)

    def _indexed(self) -> _Crowd:
        """The index, made where there is none yet."""
        if self._crowd is None:
            self._crowd = _Crowd()
            if self._sole is not None:
                self._crowd.add(self._sole, self._sole_unread)
                self._sole = None
        return self._crowd


class _Crowd:
    """Holders by sharing key and by port.

    `unread` are those of them that cannot be read: nobody knows what they share, so nobody new
    joins them.
    """

    def __init__(self) -> None:
        self.keys: set[ObjectKey] = set()
        self.unread: set[ObjectKey] = set()
        self._groups: dict[Group | None, set[ObjectKey]] = {}
        self._ports: dict[Port, set[ObjectKey]] = {}
        self._first: ObjectKey | None = None

    def add(self, service: Service, unread: bool) -> None:
        """One holder more."""
        self.keys.add(service.key)
        self._first = None
        if unread:
            self.unread.add(service.key)
            return
        self._groups.setdefault(group_of(service), set()).add(service.key)
        for port in service.ports:
            self._ports.setdefault(port, set()).add(service.key)

    def remove(self, service: Service) -> None:
        """One holder less, in the form in which it was added."""
        self.keys.discard(service.key)
        self._first = None
        if service.key in self.unread:
            self.unread.discard(service.key)
            return
        _drop(self._groups, group_of(service), service.key)
        for port in service.ports:
            _drop(self._ports, port, service.key)

    def has(self, group: Group | None) -> bool:
        """Whether one of them shares by this key."""
        return group in self._groups

    def admit(self, service: Service, own: bool, recorded: bool) -> bool:
        """Whether a Service may hold the address beside the others; `own`: it is among them."""
        group = group_of(service)
        unread = len(self.unread - {service.key})
        if group is None and (len(self.keys) - own > unread or not own):
            return False
        if unread and not own and not (recorded and self._near(service)):
            return False
        for other, keys in self._groups.items():
            if other != group and keys != {service.key}:
                return False
        return not any(self._others_with(port, service.key) for port in service.ports)

    def stranger(self, service: Service) -> ObjectKey | None:
        """The first by name of the others that does not share by the key of a Service."""
        group = group_of(service)
        alike = self._groups.get(group, set()) if group is not None else set()
        if len(alike) == len(self.keys):
            return None
        if alike or service.key in self.keys:
            return min(self.keys - alike - {service.key}, default=None)
        if self._first is None:
            self._first = min(self.keys)
        return self._first

    def rival(self, service: Service) -> ObjectKey | None:
        """The first by name of the others that has a port of a Service."""
        found = (self._others_with(port, service.key) for port in service.ports)
        return min((key for keys in found for key in keys), default=None)

    def _others_with(self, port: Port, key: ObjectKey) -> set[ObjectKey]:
        return self._ports.get(port, set()) - {key}

    def _near(self, service: Service) -> bool:
        return all(key.namespace == service.key.namespace for key in self.unread)


def _drop(table: dict[_K, set[ObjectKey]], name: _K, key: ObjectKey) -> None:
    table[name].discard(key)
    if not table[name]:
        del table[name]
