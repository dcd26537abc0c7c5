"""What the status of each object should say after a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.decision import Decision, service_status
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Eip, EipStatus, Kind, ObjectKey, Service, ServiceStatus


class Statuses:
    """Remembers what was said of Eips, so that only what is news is said again."""

    def __init__(self, cluster: Cluster, allocator: Allocator, guard: Guard) -> None:
        self._cluster = cluster
        self._allocator = allocator
        self._guard = guard
        self._of_eips: dict[ObjectKey, tuple[Eip, EipStatus]] = {}

    @property
    def kept(self) -> int:
        """How many entries are kept between turns."""
        return len(self._of_eips)

    def say_again(self) -> None:
        """Everything is news."""
        self._of_eips.clear()

    def of_services(
        self,
        batch: Iterable[ObjectKey],
        decisions: Mapping[ObjectKey, Decision],
        pause: Callable[[], None],
    ) -> list[tuple[Service, ServiceStatus]]:
        """What status should say of each of the batch; nothing of what cannot be read or failed."""
        statuses = []
        for key in batch:
            pause()
            service, decision = self._cluster.services.get(key), decisions.get(key)
            unreadable = self._cluster.why_unreadable(Kind.SERVICE, key)
            if service is None or unreadable or self._guard.failed(Kind.SERVICE, key):
                continue
            with self._guard(Kind.SERVICE, key):
                status = self._of(service, decision)
                if status is not None:
                    statuses.append((service, status))
        return statuses

    def _of(self, service: Service, decision: Decision | None) -> ServiceStatus | None:
        if decision is not None:
            return service_status(decision, service.ingress)
        if not service.ours and service.conditions:
            kept = tuple(a for a in service.ingress if self._allocator.pool_of(a) is None)
            return ServiceStatus(kept, ())
        return None

    def of_eips(self, pause: Callable[[], None]) -> list[tuple[Eip, EipStatus]]:
        """The Eips that are not, or whose status is not, what it was at the last turn."""
        changed = []
        for key, eip in list(self._cluster.eips.items()):
            pause()
            if not self._allocator.knows_pool(eip.name) or self._cluster.unread(Kind.EIP, key):
                continue
            with self._guard(Kind.EIP, key):
                entry = (eip, self._allocator.pool_status(eip.name))
                if self._of_eips.get(key) != entry:
                    self._of_eips[key] = entry
                    changed.append(entry)
        for key in self._of_eips.keys() - self._cluster.eips.keys():
            del self._of_eips[key]
        return changed
