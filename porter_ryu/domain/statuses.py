"""The wanted status of each object after a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.decision import Decision, service_status
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Eip, EipStatus, Kind, ObjectKey, Service, ServiceStatus


class Statuses:
    """Remembers the status last reported for each Eip, so that only changes are reported."""

    def __init__(self, cluster: Cluster, allocator: Allocator, guard: Guard) -> None:
        self._cluster = cluster
        self._allocator = allocator
        self._guard = guard
        self._reported: dict[ObjectKey, tuple[Eip, EipStatus]] = {}

    @property
    def cached_entries(self) -> int:
        """How many entries are cached between turns."""
        return len(self._reported)

    def forget_reported(self) -> None:
        """Makes the next turn report the status of every Eip."""
        self._reported.clear()

    def of_services(
        self,
        batch: Iterable[ObjectKey],
        decisions: Mapping[ObjectKey, Decision],
        give_way: Callable[[], None],
    ) -> list[tuple[Service, ServiceStatus]]:
        """The wanted status of each Service of the batch that is readable and did not fail."""
        statuses = []
        for key in batch:
            give_way()
            service, decision = self._cluster.services.get(key), decisions.get(key)
            unreadable = self._cluster.why_unreadable(Kind.SERVICE, key)
            if service is None or unreadable or self._guard.failed(Kind.SERVICE, key):
                continue
            with self._guard(Kind.SERVICE, key):
                status = self._of_service(service, decision)
                if status is not None:
                    statuses.append((service, status))
        return statuses

    def _of_service(self, service: Service, decision: Decision | None) -> ServiceStatus | None:
        if decision is not None:
            return service_status(decision, service.ingress)
        if not service.ours and service.conditions:
            kept = tuple(a for a in service.ingress if self._allocator.pool_of(a) is None)
            return ServiceStatus(kept, ())
        return None

    def of_eips(self, give_way: Callable[[], None]) -> list[tuple[Eip, EipStatus]]:
        """The Eips that changed, or whose wanted status did, since the last turn.  Among many Eips
        only those are looked at whose addresses other Services hold now, unless an Eip changed."""
        changed = []
        for name in sorted(self._allocator.pop_restated_pools()):
            give_way()
            key = ObjectKey("", name)
            eip = self._cluster.eips.get(key)
            if eip is None:
                self._reported.pop(key, None)
                continue
            if not self._allocator.knows_pool(name) or self._cluster.unreadable(Kind.EIP, key):
                continue
            if self._allocator.keeps_status(name):
                continue
            with self._guard(Kind.EIP, key):
                entry = (eip, self._allocator.pool_status(name))
                if self._reported.get(key) != entry:
                    self._reported[key] = entry
                    changed.append(entry)
        return changed
