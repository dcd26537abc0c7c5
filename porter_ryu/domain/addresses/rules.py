"""Who may hold which address: every rule that forbids, as a question with a reason for its answer.

Nothing is given or taken here; that is the allocator's.
"""

from __future__ import annotations

from collections.abc import Iterable

from porter_ryu.domain.addresses.holdings import Holdings
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.model import Address, Family, FamilyPolicy, Reason, Refusal, Service

_EXCLUDED = ": its namespaces, namespaceSelector or serviceSelector exclude the Service"
_INSTEAD = ": ask for another, or enlarge an Eip"


class Rules:
    """The rules over the pools and the book as they are now."""

    def __init__(self, pools: Pools, book: Holdings) -> None:
        self._pools = pools
        self._book = book

    def objection(self, service: Service, address: Address) -> Refusal | None:
        """Why a Service may not (go on to) hold an address; disable and autoAssign are about
        new ones only."""
        family = Family(address.version)
        pool = self._pools.holding(address)
        if pool is None:
            return Refusal(Reason.ADDRESS_NOT_IN_POOL, f"{address} is in no Eip{_INSTEAD}")
        if service.pool is not None and service.pool != pool.eip.name:
            text = f"{address} is not in Eip {service.pool}, which the Service names{_INSTEAD}"
            return Refusal(Reason.ADDRESS_NOT_IN_POOL, text)
        if not self._pools.admits(pool, service):
            text = f"Eip {pool.eip.name}, which has {address}, does not admit it{_EXCLUDED}"
            return Refusal(Reason.NOT_ALLOWED, text)
        found = address in self._book.found and address not in service.ingress
        if found or address in self._book.reserved:
            text = f"{address} belongs to a node, a peer or this host: take it out of the Eip"
            return Refusal(Reason.ADDRESS_IN_USE, text)
        if family not in self.families(service):
            text = f"{address}: spec.ipFamilies of the Service has no IPv{family.value}"
            return Refusal(Reason.FAMILY_UNAVAILABLE, text)
        asked = self.asked(service)
        if family in asked and asked[family] != address:
            return Refusal(Reason.ADDRESS_NOT_IN_POOL, f"it asks for {asked[family]}")
        return self.sharing_objection(service, address)

    def sharing_objection(self, service: Service, address: Address) -> Refusal | None:
        """Why a Service may not hold an address beside those that do."""
        for key in sorted(self._book.holders(address)):
            if key == service.key:
                continue
            other = self._book.services[key]
            near = key.namespace == service.key.namespace
            name = str(key) if near else "another Service"
            if not near or not service.share_key or service.share_key != other.share_key:
                return Refusal(Reason.ADDRESS_IN_USE, f"{address} is held by {name}")
            common = service.ports & other.ports
            if common:
                ports = ", ".join(f"{p.protocol} {p.port}" for p in sorted(common))
                text = f"{address} is shared by {name}, which has {ports} as well"
                return Refusal(Reason.ADDRESS_IN_USE, text)
        return None

    def request_refusals(self, service: Service) -> Iterable[Refusal]:
        """What stands against what a Service asks for by address."""
        request = service.request
        if request is None:
            return
        if request.error is not None:
            yield Refusal(Reason.INVALID_REQUEST, f"{request.source}: {request.error}")
            return
        named = self.named_refusal(service)
        if named is not None:
            yield named
            return
        mine = {held.address for held in self._book.held(service.key).values()}
        for address in request.addresses:
            if address in mine:
                continue
            objection = self.objection(service, address)
            if objection is not None:
                yield objection
                continue
            pool = self._pools.holding(address)
            if pool is not None and pool.closed:
                yield closed(pool)

    def named_refusal(self, service: Service) -> Refusal | None:
        """What stands against the pool that a Service names."""
        if service.pool is None:
            return None
        pool = self._pools.by_name.get(service.pool)
        if pool is None:
            text = f"there is no Eip {service.pool}, which the Service names: create it"
            return Refusal(Reason.NO_POOL, text)
        if not pool.serves:
            text = f"Eip {service.pool}, which the Service names, does not serve: {pool.message}"
            return Refusal(Reason.NO_POOL, text)
        if not self._pools.admits(pool, service):
            text = f"Eip {service.pool} does not admit it{_EXCLUDED}"
            return Refusal(Reason.NOT_ALLOWED, text)
        return None

    def asked(self, service: Service) -> dict[Family, Address]:
        """The address that a Service asks for, by family."""
        request = service.request
        if request is None:
            return {}
        return {Family(address.version): address for address in request.addresses}

    def families(self, service: Service) -> tuple[Family, ...]:
        """The families that a Service should have addresses of, in order."""
        listed = service.families
        if service.family_policy is FamilyPolicy.SINGLE_STACK:
            return listed[:1] or (self._open_family(service),)
        if service.family_policy is FamilyPolicy.PREFER_DUAL_STACK and listed:
            return listed
        return tuple(dict.fromkeys((*listed, *Family)))

    def _open_family(self, service: Service) -> Family:
        """The one family of a Service that says nothing of it: that of what it holds, has
        recorded or asks for, else IPv4 unless only IPv6 is to be had."""
        request = service.request.addresses if service.request is not None else ()
        held = (entry.address for entry in self._book.held(service.key).values())
        for address in (*request, *held, *service.ingress):
            return Family(address.version)
        admitted = [p for p in self._pools.in_order if self.why_closed(p, service) is None]
        families = {family for p in admitted if p.space for family in p.space.families}
        return Family.IPV6 if families == {Family.IPV6} else Family.IPV4

    def why_closed(self, pool: Pool, service: Service) -> str | None:
        """Why a Service may not draw from a pool, whether or not something is free in it."""
        if not pool.serves:
            return f"it does not serve: {pool.message}"
        if service.pool is not None and service.pool != pool.eip.name:
            return f"the Service names Eip {service.pool}"
        if not self._pools.admits(pool, service):
            return f"it does not admit it{_EXCLUDED}"
        if not pool.eip.auto_assign and service.pool is None:
            return "autoAssign is false: it has to be asked for by name or address"
        return None


def closed(pool: Pool) -> Refusal:
    """Why nothing new is given from a pool that is closed."""
    what = "is being deleted" if pool.eip.deleting else "is disabled"
    return Refusal(
        Reason.POOL_DISABLED, f"Eip {pool.eip.name} {what}: nothing new is given from it"
    )
