"""Who shares one address, counted, so that one more is judged without looking at all the others."""

from __future__ import annotations

from porter_ryu.domain.model import ObjectKey, Port, Service

Group = tuple[str, str]


def group_of(service: Service) -> Group | None:
    """Namespace and sharing key: who may share at all with a Service; None: nobody."""
    return (service.key.namespace, service.share_key) if service.share_key else None


def check(service: Service) -> None:
    """Raises what counting a Service would raise, before anything is counted."""
    hash((group_of(service), frozenset(service.ports)))


class Sharers:
    """The holders of one address, in the form in which each was noted.

    `unread` are those of them that cannot be read: nobody knows what they share, so nobody new
    joins them.
    """

    def __init__(self) -> None:
        self.keys: set[ObjectKey] = set()
        self.unread: set[ObjectKey] = set()
        self._groups: dict[Group | None, int] = {}
        self._ports: dict[Port, int] = {}

    def add(self, service: Service, unread: bool) -> None:
        """One holder more."""
        self.keys.add(service.key)
        if unread:
            self.unread.add(service.key)
        else:
            self._count(service, 1)

    def remove(self, service: Service) -> None:
        """One holder less, in the form in which it was added."""
        self.keys.discard(service.key)
        if service.key in self.unread:
            self.unread.discard(service.key)
        else:
            self._count(service, -1)

    def has(self, group: Group | None) -> bool:
        """Whether one of them shares by this key."""
        return group in self._groups

    def admit(self, service: Service, known: Service | None, recorded: bool) -> bool:
        """Whether a Service may hold the address beside the others.

        `known` is the form in which it is among them, None where it is not.  `recorded`: it has
        the address on record, so that it may well share it with one that cannot be read.
        """
        own = 1 if known is not None else 0
        if len(self.keys) == own:
            return True
        group = group_of(service)
        unread = len(self.unread - {service.key})
        if group is None and (len(self.keys) - own > unread or not own):
            return False
        if unread and not own and not (recorded and self._near(service)):
            return False
        for other, count in self._groups.items():
            mine = own if known is not None and group_of(known) == other else 0
            if other != group and count > mine:
                return False
        return all(
            self._ports.get(port, 0) <= (1 if known is not None and port in known.ports else 0)
            for port in service.ports
        )

    def _near(self, service: Service) -> bool:
        return all(key.namespace == service.key.namespace for key in self.unread)

    def _count(self, service: Service, step: int) -> None:
        group = group_of(service)
        self._groups[group] = self._groups.get(group, 0) + step
        if not self._groups[group]:
            del self._groups[group]
        for port in service.ports:
            self._ports[port] = self._ports.get(port, 0) + step
            if not self._ports[port]:
                del self._ports[port]
