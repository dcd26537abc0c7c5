"""Chooses the addresses of a Service: those that it asks for, one that it can share, or the lowest
free one of the first Eip that may give one."""

from __future__ import annotations

from collections.abc import Sequence

from porter_ryu.domain.addresses.holdings import Held, Holdings
from porter_ryu.domain.addresses.outcome import nothing_free
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.addresses.rules import Rules, closed, record_unknown, terminating
from porter_ryu.domain.addresses.unread_records import UnreadRecords
from porter_ryu.domain.model import Address, Family, FamilyPolicy, Service
from porter_ryu.domain.verdict import DrawReason, Reason, ServiceVerdict, Verdict


class Chooser:
    """Assigns nothing itself."""

    def __init__(
        self, pools: Pools, holdings: Holdings, rules: Rules, unread: UnreadRecords
    ) -> None:
        self._pools = pools
        self._holdings = holdings
        self._rules = rules
        self._unread = unread

    def choose(self, service: Service) -> tuple[list[Held], ServiceVerdict | None]:
        """Chooses the addresses that a settled Service lacks: all that it must have, or none."""
        requested, held = self._rules.requested(service), self._holdings.held(service.key)
        if service.deleting:
            return [], None if held else terminating()
        refusal = next(iter(self._rules.request_refusals(service)), None)
        families = self._rules.families(service)
        lacking = [family for family in families if not self._holdings.has(service.key, family)]
        if refusal is None and lacking:
            refusal = self._rules.named_pool_refusal(service)
        if refusal is not None:
            return [], refusal
        choices: list[Held] = []
        refusals: list[ServiceVerdict] = []
        for family in lacking:
            choice = self._choose_one(service, family, requested.get(family))
            if isinstance(choice, Held):
                choices.append(choice)
            else:
                refusals.append(choice)
        if not refusals:
            return choices, None
        optional = service.family_policy is FamilyPolicy.PREFER_DUAL_STACK and len(families) > 1
        if optional and (choices or held):
            return choices, None
        return [], refusals[0]

    def _choose_one(
        self, service: Service, family: Family, requested: Address | None
    ) -> Held | ServiceVerdict:
        """Chooses the address of one family, or says why there is none."""
        if requested is not None:
            pool = self._pools.pool_for(requested)
            if pool is None:
                text = f"{requested} is in {self._pools.none}"
                return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, text)
            return Held(requested, pool.eip.name)
        if service.share_key:
            for pool in self._rules.drawable(service):
                shared = self._lowest_shareable(service, family, pool)
                if shared is not None:
                    return Held(shared, pool.eip.name)
        usable = []
        for pool in self._rules.drawable(service):
            usable.append(pool)
            address = self._lowest_free(pool, family) if self._gives(pool, family) else None
            if address is not None:
                return Held(address, pool.eip.name)
        return self._refusal(service, family, usable)

    def _refusal(self, service: Service, family: Family, usable: list[Pool]) -> ServiceVerdict:
        """Why a Service gets no address from the pools that it may use."""
        of_family = [pool for pool in usable if pool.space and family in pool.space.families]
        for pool in of_family:
            held_back = not pool.closed and self._held_back(pool, family)
            if held_back and self._lowest_free(pool, family) is not None:
                return record_unknown()
        opened = [pool for pool in of_family if self._gives(pool, family)]
        return nothing_free(service, family, usable, of_family, opened, self._pools.none)

    def _gives(self, pool: Pool, family: Family) -> bool:
        """Whether new addresses of a family are assigned from a pool, as far as it has any."""
        if pool.space is None or family not in pool.space.families:
            return False
        return not pool.closed and not self._held_back(pool, family)

    def _held_back(self, pool: Pool, family: Family) -> bool:
        """Whether nothing is assigned from a pool because of records that cannot be read."""
        return self._unread.hold_back(pool.eip.name, family)

    def _lowest_free(self, pool: Pool, family: Family) -> Address | None:
        if pool.space is None:
            return None
        return self._holdings.lowest_free(pool.eip.name, pool.space, family)

    def _lowest_shareable(self, service: Service, family: Family, pool: Pool) -> Address | None:
        """The lowest address of a pool that a Service can share by its sharing key."""
        if not service.share_key or not self._gives(pool, family):
            return None
        for address in self._holdings.shared(service.key.namespace, service.share_key, family):
            found = self._pools.pool_for(address)
            if found is None or found.eip.name != pool.eip.name:
                continue
            admitted = self._holdings.admits(service, address)
            if admitted and self._rules.assignment_objection(service, address) is None:
                return address
        return None

    def may_draw(self, pool: Pool, service: Service, held: Sequence[Held]) -> Verdict[DrawReason]:
        """Whether a settled Service, which has those `held`, could get an address from an Eip."""
        if service.deleting:
            return Verdict(False, DrawReason.SERVICE_DELETED, terminating().message)
        own = [str(entry.address) for entry in held if entry.eip == pool.eip.name]
        needed = set(self._rules.families(service))
        lacking = needed.difference(entry.family for entry in held)
        if own and not lacking:
            return Verdict(True, DrawReason.AVAILABLE, f"it has {', '.join(own)} from it")
        objection = self._rules.draw_objection(pool, service)
        if objection is not None and objection.reason is not DrawReason.ONLY_ON_REQUEST:
            return objection
        requested = self._rules.requested(service)
        wanted = [requested[family] for family in sorted(lacking) if family in requested]
        if wanted:
            return self._may_request(pool, service, wanted)
        if objection is not None:
            return objection
        if pool.closed:
            return Verdict(False, DrawReason.DISABLED, closed(pool).message)
        of_pool = pool.space.families if pool.space is not None else frozenset[Family]()
        families = of_pool & (lacking or needed)
        if not families:
            names = " and ".join(f"IPv{family.value}" for family in sorted(lacking or needed))
            text = f"it is without {names} addresses"
            return Verdict(False, DrawReason.FAMILY_UNAVAILABLE, text)
        if any(self._held_back(pool, family) for family in families & lacking):
            return Verdict(False, DrawReason.RECORD_UNKNOWN, record_unknown().message)
        if all(self._lowest_free(pool, family) is None for family in families):
            return Verdict(False, DrawReason.EXHAUSTED, "it is full")
        return Verdict(True, DrawReason.AVAILABLE, "an address may be drawn from it")

    def _may_request(
        self, pool: Pool, service: Service, wanted: Sequence[Address]
    ) -> Verdict[DrawReason]:
        """Whether a Service can get from a pool the addresses that it asks for and does not
        hold."""
        inside = [a for a in wanted if pool.space is not None and pool.space.contains(a)]
        if not inside:
            text = f"it asks for {', '.join(map(str, wanted))}, which is not in it"
            return Verdict(False, DrawReason.ANOTHER_NAMED, text)
        for address in inside:
            objection = self._rules.objection(service, address)
            objection = objection or self._rules.assignment_objection(service, address)
            if objection is not None:
                text = f"it asks for {address} of it: {objection.message}"
                return Verdict(False, DrawReason.NOT_ALLOWED, text)
        text = f"it asks for {', '.join(map(str, inside))}, which is in it"
        return Verdict(True, DrawReason.AVAILABLE, text)
