"""The rules for holding an address: each returns why it forbids something, or None.

Nothing is assigned or released here.  A ServiceVerdict can be read by the owner of the Service, so
it names no Service of another namespace and no Eip that excludes the Service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from porter_ryu.domain.addresses.holdings import THIS_HOST, Holdings
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.addresses.unread_records import UnreadRecords
from porter_ryu.domain.model import Address, Family, FamilyPolicy, Port, Service
from porter_ryu.domain.special_purpose import never_in_a_pool
from porter_ryu.domain.text import listed, printable
from porter_ryu.domain.verdict import DrawReason, Reason, ServiceVerdict, Verdict

_EXCLUDED = "its namespaces, namespaceSelector or serviceSelector exclude the Service"


class Rules:
    """The rules for the pools and holdings as they are now."""

    def __init__(self, pools: Pools, holdings: Holdings, unread: UnreadRecords) -> None:
        self._pools = pools
        self._holdings = holdings
        self._unread = unread

    def objection(
        self, service: Service, address: Address, eip: str = "", existing: bool = False
    ) -> ServiceVerdict | None:
        """Why a Service may not hold an address.

        `existing`: it holds the address, from `eip`, or has it on record.  Then no object that
        cannot be read forbids it, and a Service that is being deleted keeps it in any case.
        """
        pool = self._pools.pool_for(address)
        return self.objection_in(pool, service, address, eip, existing)

    def objection_in(
        self,
        pool: Pool | None,
        service: Service,
        address: Address,
        eip: str = "",
        existing: bool = False,
    ) -> ServiceVerdict | None:
        """The same for a caller that knows the pool of the address."""
        if existing and self.may_be_from_unreadable(service, eip):
            pool = None
        elif pool is None:
            text = f"{address} is in {self._pools.none}{self._instead(service, address)}"
            return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, text)
        elif not self._pools.admits(pool, service, if_unreadable=existing):
            instead = self._instead(service, address)
            text = f"{address} is in no Eip that the Service may use{instead}"
            return Verdict(False, Reason.NOT_ALLOWED, text)
        if not (existing and service.deleting):
            objection = self._spec_objection(service, address, pool)
            if objection is not None:
                return objection
        return self.sharing_objection(service, address, existing)

    def eip_of(self, service: Service, address: Address) -> str:
        """The name of the Eip from which a Service holds an address; empty where that may be an
        Eip that cannot be read."""
        return self.eip_in(self._pools.pool_for(address), service)

    def eip_in(self, pool: Pool | None, service: Service) -> str:
        """The same for a caller that knows the pool of the address."""
        if pool is None or (self._pools.unreadable and not self._draws_from(pool, service)):
            return ""
        return pool.eip.name

    def _draws_from(self, pool: Pool, service: Service) -> bool:
        return service.pool in (None, pool.eip.name) and self._pools.admits(pool, service)

    def may_be_from_unreadable(self, service: Service, eip: str) -> bool:
        """Whether an address of a Service may be from an Eip that cannot be read; `eip` is the Eip
        that it was assigned from, empty where that is not known."""
        unreadable = self._pools.unreadable
        if not unreadable or (service.pool is not None and service.pool not in unreadable):
            return False
        return not eip or eip in unreadable

    def _spec_objection(
        self, service: Service, address: Address, pool: Pool | None
    ) -> ServiceVerdict | None:
        """Why the spec of a Service excludes an address; `pool` is None where it is not known."""
        family = address.version
        if service.pool is not None and pool is not None and service.pool != pool.eip.name:
            what = f"Eip {printable(service.pool)}, which the Service names"
            text = f"{address} is not in {what}{self._instead(service, address)}"
            return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, text)
        if family not in self.families(service):
            text = f"{address}: spec.ipFamilies of the Service has no IPv{family}"
            return Verdict(False, Reason.FAMILY_UNAVAILABLE, text)
        for requested in service.request.addresses if service.request is not None else ():
            if requested.version == family and requested != address:
                return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, f"it asks for {requested}")
        return None

    def assignment_objection(self, service: Service, address: Address) -> ServiceVerdict | None:
        """Why an address that a Service may hold cannot be newly assigned to it."""
        pool = self._pools.pool_for(address)
        if service.deleting:
            return terminating()
        objection = self.reserved_objection(service, address)
        if objection is not None or pool is None:
            return objection
        if pool.closed:
            return closed(pool)
        held_back = self._unread.hold_back(pool.eip.name, Family(address.version))
        return record_unknown() if held_back and service.key not in self._unread else None

    def reserved_objection(self, service: Service, address: Address) -> ServiceVerdict | None:
        """Why an address is not assigned to any Service, whatever the Eips say."""
        owner = self._owner(service, address)
        if owner:
            text = f"{address} belongs to {owner}, and no Service gets it: ask for another"
            return Verdict(False, Reason.ADDRESS_IN_USE, text)
        return None

    def _owner(self, service: Service, address: Address) -> str:
        """What kind of thing has an address, so that no Service gets it; empty for nothing."""
        unattributed = address in self._holdings.unattributed and address not in service.ingress
        return self._holdings.reserved.get(address, THIS_HOST if unattributed else "")

    def _instead(self, service: Service, address: Address) -> str:
        """What to do about an address that is in no Eip that counts.  To enlarge an Eip mends
        nothing where no Service may have the address anyway."""
        owner, special = self._owner(service, address), never_in_a_pool(address)
        if owner:
            return f", and belongs to {owner}, so no Service gets it: ask for another"
        if special:
            return f", and {special}, so no Eip may have it: ask for another"
        return ": ask for another, or enlarge an Eip"

    def sharing_objection(
        self, service: Service, address: Address, recorded: bool = False
    ) -> ServiceVerdict | None:
        """Why a Service may not hold an address together with its holders."""
        if self._holdings.admits(service, address, recorded):
            return None
        with_other_key, with_same_port = self._holdings.conflicts(service, address)
        if with_other_key is not None:
            same_namespace = with_other_key.namespace == service.key.namespace
            holder = str(with_other_key) if same_namespace else "another Service"
            return Verdict(False, Reason.ADDRESS_IN_USE, f"{address} is held by {holder}")
        if with_same_port is not None:
            common = service.ports & self._holdings.services[with_same_port].ports
            text = f"{address} is shared by {with_same_port}, which has {_ports(common)} as well"
            return Verdict(False, Reason.ADDRESS_IN_USE, text)
        return Verdict(False, Reason.ADDRESS_IN_USE, f"{address} is held by others")

    def request_refusals(self, service: Service) -> Iterable[ServiceVerdict]:
        """Why the addresses that a Service requests cannot be assigned: none if they can."""
        request = service.request
        if request is None:
            return
        if request.error is not None:
            text = f"{request.source}: {printable(request.error)}"
            yield Verdict(False, Reason.INVALID_REQUEST, text)
            return
        held = {entry.address for entry in self._holdings.held(service.key)}
        wanted = [address for address in request.addresses if address not in held]
        refusal = self.named_pool_refusal(service) if wanted or not held else None
        if refusal is not None:
            yield refusal
            return
        for address in wanted:
            objection = self.objection(service, address)
            if objection is None:
                objection = self.assignment_objection(service, address)
            if objection is not None:
                yield objection

    def named_pool_refusal(self, service: Service) -> ServiceVerdict | None:
        """Why the Eip that a Service names cannot be used; None if it can, or it names none."""
        if service.pool is None:
            return None
        name = f"Eip {printable(service.pool)}"
        if service.pool in self._pools.unreadable:
            text = f"{name}, which the Service names, cannot be read: correct it"
            return Verdict(False, Reason.NO_POOL, text)
        pool = self._pools.by_name.get(service.pool)
        if pool is None:
            text = f"there is no {name}, which the Service names: create it"
            return Verdict(False, Reason.NO_POOL, text)
        if not pool.serves:
            what = f"does not serve ({pool.verdict.reason.value}): its status says why"
            return Verdict(False, Reason.NO_POOL, f"{name}, which the Service names, {what}")
        if not self._pools.admits(pool, service):
            return Verdict(False, Reason.NOT_ALLOWED, f"{name} does not admit it: {_EXCLUDED}")
        return None

    def requested(self, service: Service) -> dict[Family, Address]:
        """The addresses that a Service requests, by family."""
        request = service.request
        if request is None:
            return {}
        return {Family(address.version): address for address in request.addresses}

    def families(self, service: Service) -> tuple[Family, ...]:
        """The families of which a Service should have addresses, in order."""
        listed_families = service.families
        if service.family_policy is FamilyPolicy.SINGLE_STACK:
            return listed_families[:1] or (self._default_family(service),)
        if service.family_policy is FamilyPolicy.PREFER_DUAL_STACK and listed_families:
            return listed_families
        return tuple(dict.fromkeys((*listed_families, *Family)))

    def _default_family(self, service: Service) -> Family:
        """The family of a single-stack Service without spec.ipFamilies: that of the address that
        it requests, holds or has on record, otherwise IPv4 unless only IPv6 is available."""
        requested = service.request.addresses if service.request is not None else ()
        held = (entry.address for entry in self._holdings.held(service.key))
        for address in (*requested, *held, *service.ingress):
            return Family(address.version)
        admitted = self.drawable(service)
        families = {family for p in admitted if p.space for family in p.space.families}
        return Family.IPV6 if families == {Family.IPV6} else Family.IPV4

    def drawable(self, service: Service) -> Iterator[Pool]:
        """The pools that a Service may draw from, full or not, in their order."""
        for pool in self._pools.candidates(service):
            if self.draw_objection(pool, service) is None:
                yield pool

    def draw_objection(self, pool: Pool, service: Service) -> Verdict[DrawReason] | None:
        """Why a Service may not draw from a pool, full or not.  This verdict is for the
        administrator of the pools, not for the owner of the Service."""
        if not pool.serves:
            text = f"it does not serve: {pool.verdict.message}"
            return Verdict(False, DrawReason.NOT_SERVING, text)
        if service.pool is not None and service.pool != pool.eip.name:
            text = f"the Service names Eip {printable(service.pool)}"
            return Verdict(False, DrawReason.ANOTHER_NAMED, text)
        if not self._pools.admits(pool, service):
            return Verdict(False, DrawReason.NOT_ALLOWED, f"it does not admit it: {_EXCLUDED}")
        if not pool.eip.auto_assign and service.pool is None:
            text = "autoAssign is false: it has to be requested by name or address"
            return Verdict(False, DrawReason.ONLY_ON_REQUEST, text)
        return None


def closed(pool: Pool) -> ServiceVerdict:
    """The verdict that no new address is assigned from a closed pool."""
    what = "is being deleted" if pool.eip.deleting else "is disabled"
    text = f"Eip {pool.eip.name} {what}: no new address is assigned from it"
    return Verdict(False, Reason.POOL_DISABLED, text)


def record_unknown() -> ServiceVerdict:
    """The verdict that an address may be on a record that cannot be read."""
    text = (
        "the record of a Service cannot be read, and any free address may be on it: "
        "no new address is assigned until it can be read"
    )
    return Verdict(False, Reason.RECORD_UNKNOWN, text)


def terminating() -> ServiceVerdict:
    """The verdict that a Service that is being deleted gets no new address."""
    text = "the Service is being deleted: it gets no new address"
    return Verdict(False, Reason.NOT_ALLOWED, text)


def _ports(ports: frozenset[Port]) -> str:
    return listed([f"{port.protocol} {port.port}" for port in sorted(ports)])
