"""Who may hold which address: every rule that forbids, as a question with a reason for its answer.

Nothing is given or taken here; that is the allocator's.  The answers are read by whoever may read
the Service, so they name no other tenant's Service and no Eip that the Service may not use.
"""

from __future__ import annotations

from collections.abc import Iterable

from porter_ryu.domain.addresses.holdings import Holdings
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.model import Address, Family, FamilyPolicy, Port, Service
from porter_ryu.domain.text import listed, printable
from porter_ryu.domain.verdict import DrawReason, Reason, ServiceVerdict, Verdict

_EXCLUDED = "its namespaces, namespaceSelector or serviceSelector exclude the Service"
_INSTEAD = ": ask for another, or enlarge an Eip"


class Rules:
    """The rules over the pools and the book as they are now."""

    def __init__(self, pools: Pools, book: Holdings) -> None:
        self._pools = pools
        self._book = book

    def objection(
        self, service: Service, address: Address, eip: str = "", has: bool = False
    ) -> ServiceVerdict | None:
        """Why a Service may not hold an address.

        `has`: it holds it, from that `eip`, or has it on record.  Then what cannot be read is no
        reason to take it, and one that is being deleted keeps it whatever it asks for.
        """
        pool = self._pools.holding(address)
        doubt = has and self.in_doubt(service, eip)
        if pool is None and not doubt:
            return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, f"{address} is in no Eip{_INSTEAD}")
        if pool is not None and not doubt and not self._pools.admits(pool, service, doubt=has):
            text = f"{address} is in no Eip that the Service may use{_INSTEAD}"
            return Verdict(False, Reason.NOT_ALLOWED, text)
        if not (has and service.deleting):
            wish = self._wish_objection(service, address, None if doubt else pool)
            if wish is not None:
                return wish
        return self.sharing_objection(service, address, has)

    def eip_of(self, service: Service, address: Address) -> str:
        """The Eip from which a Service holds an address; empty where that may be one that cannot
        be read."""
        pool = self._pools.holding(address)
        if pool is None or (self._pools.unread and not self._draws_from(pool, service)):
            return ""
        return pool.eip.name

    def _draws_from(self, pool: Pool, service: Service) -> bool:
        return service.pool in (None, pool.eip.name) and self._pools.admits(pool, service)

    def in_doubt(self, service: Service, eip: str) -> bool:
        """Whether what a Service holds, from that Eip if it is not empty, may be of an Eip that
        cannot be read."""
        unread = self._pools.unread
        if not unread or (service.pool is not None and service.pool not in unread):
            return False
        return not eip or eip in unread

    def _wish_objection(
        self, service: Service, address: Address, pool: Pool | None
    ) -> ServiceVerdict | None:
        """What a Service says itself against an address."""
        family = Family(address.version)
        if service.pool is not None and pool is not None and service.pool != pool.eip.name:
            what = f"Eip {printable(service.pool)}, which the Service names"
            text = f"{address} is not in {what}{_INSTEAD}"
            return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, text)
        if family not in self.families(service):
            text = f"{address}: spec.ipFamilies of the Service has no IPv{family.value}"
            return Verdict(False, Reason.FAMILY_UNAVAILABLE, text)
        asked = self.asked(service)
        if family in asked and asked[family] != address:
            return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, f"it asks for {asked[family]}")
        return None

    def gift_objection(self, service: Service, address: Address) -> ServiceVerdict | None:
        """Why an address that a Service may hold is not given to it, where it is new to it."""
        pool = self._pools.holding(address)
        if service.deleting:
            return terminating()
        if pool is not None and pool.closed:
            return closed(pool)
        return self.reserved_objection(service, address)

    def reserved_objection(self, service: Service, address: Address) -> ServiceVerdict | None:
        """Why nobody is given an address, whatever the Eips say."""
        found = address in self._book.found and address not in service.ingress
        if found or address in self._book.reserved:
            text = f"{address} belongs to a node, a peer or this host: take it out of the Eip"
            return Verdict(False, Reason.ADDRESS_IN_USE, text)
        return None

    def sharing_objection(
        self, service: Service, address: Address, recorded: bool = False
    ) -> ServiceVerdict | None:
        """Why a Service may not hold an address beside those that do."""
        if self._book.admits(service, address, recorded):
            return None
        stranger, rival = self._book.against(service, address)
        if stranger is not None:
            near = stranger.namespace == service.key.namespace
            who = str(stranger) if near else "another Service"
            return Verdict(False, Reason.ADDRESS_IN_USE, f"{address} is held by {who}")
        if rival is not None:
            common = service.ports & self._book.services[rival].ports
            text = f"{address} is shared by {rival}, which has {_ports(common)} as well"
            return Verdict(False, Reason.ADDRESS_IN_USE, text)
        return Verdict(False, Reason.ADDRESS_IN_USE, f"{address} is held by others")

    def request_refusals(self, service: Service) -> Iterable[ServiceVerdict]:
        """What stands against what a Service asks for by address."""
        request = service.request
        if request is None:
            return
        if request.error is not None:
            text = f"{request.source}: {printable(request.error)}"
            yield Verdict(False, Reason.INVALID_REQUEST, text)
            return
        mine = {held.address for held in self._book.held(service.key).values()}
        wanted = [address for address in request.addresses if address not in mine]
        named = self.named_refusal(service) if wanted or not mine else None
        if named is not None:
            yield named
            return
        for address in wanted:
            objection = self.objection(service, address) or self.gift_objection(service, address)
            if objection is not None:
                yield objection

    def named_refusal(self, service: Service) -> ServiceVerdict | None:
        """What stands against the pool that a Service names."""
        if service.pool is None:
            return None
        name = f"Eip {printable(service.pool)}"
        if service.pool in self._pools.unread:
            text = f"{name}, which the Service names, cannot be read: mend it"
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

    def asked(self, service: Service) -> dict[Family, Address]:
        """The address that a Service asks for, by family."""
        request = service.request
        if request is None:
            return {}
        return {Family(address.version): address for address in request.addresses}

    def families(self, service: Service) -> tuple[Family, ...]:
        """The families that a Service should have addresses of, in order."""
        listed_families = service.families
        if service.family_policy is FamilyPolicy.SINGLE_STACK:
            return listed_families[:1] or (self._open_family(service),)
        if service.family_policy is FamilyPolicy.PREFER_DUAL_STACK and listed_families:
            return listed_families
        return tuple(dict.fromkeys((*listed_families, *Family)))

    def _open_family(self, service: Service) -> Family:
        """The one family of a Service that says nothing of it: that of what it holds, has
        recorded or asks for, else IPv4 unless only IPv6 is to be had."""
        request = service.request.addresses if service.request is not None else ()
        held = (entry.address for entry in self._book.held(service.key).values())
        for address in (*request, *held, *service.ingress):
            return Family(address.version)
        admitted = [p for p in self._pools.in_order if self.draw_objection(p, service) is None]
        families = {family for p in admitted if p.space for family in p.space.families}
        return Family.IPV6 if families == {Family.IPV6} else Family.IPV4

    def draw_objection(self, pool: Pool, service: Service) -> Verdict[DrawReason] | None:
        """Why a Service may not draw from a pool, whether or not something is free in it; this
        one is for who runs the pools."""
        if not pool.serves:
            text = f"it does not serve: {pool.verdict.message}"
            return Verdict(False, DrawReason.NOT_SERVING, text)
        if service.pool is not None and service.pool != pool.eip.name:
            text = f"the Service names Eip {printable(service.pool)}"
            return Verdict(False, DrawReason.ANOTHER_NAMED, text)
        if not self._pools.admits(pool, service):
            return Verdict(False, DrawReason.NOT_ALLOWED, f"it does not admit it: {_EXCLUDED}")
        if not pool.eip.auto_assign and service.pool is None:
            text = "autoAssign is false: it has to be asked for by name or address"
            return Verdict(False, DrawReason.ONLY_ON_REQUEST, text)
        return None


def closed(pool: Pool) -> ServiceVerdict:
    """Why nothing new is given from a pool that is closed."""
    what = "is being deleted" if pool.eip.deleting else "is disabled"
    text = f"Eip {pool.eip.name} {what}: nothing new is given from it"
    return Verdict(False, Reason.POOL_DISABLED, text)


def terminating() -> ServiceVerdict:
    """Why a Service that is being deleted gets nothing."""
    text = "the Service is being deleted: it gets no new address"
    return Verdict(False, Reason.NOT_ALLOWED, text)


def _ports(ports: frozenset[Port]) -> str:
    return listed([f"{port.protocol} {port.port}" for port in sorted(ports)])
