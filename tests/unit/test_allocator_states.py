"""Random clusters, crashes and restarts against the planner: the invariants hold after each step.

No address is held twice except by sharing, or outside its pool; no Service loses an address for a
change of another one, or waits while an address is free for it; a restart changes nothing.  Objects
may be unreadable, forged, being deleted, or have an address of a node.  A turn decides all of it,
or a few Services.  `EXAMPLES=20000` runs it
longer, at random.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from porter_ryu.domain.model import Eip, Kind, ObjectKey, Port, Service
from porter_ryu.domain.planner import MOST_DECIDED
from tests.unit.histories import random_histories
from tests.unit.world import World, key, node, service

NAMES = [f"{namespace}/s{i}" for namespace in ("red", "blue") for i in range(6)]
POOLS = ["10.0.0.1-10.0.0.3", "10.0.1.0/31", "10.0.0.2-10.0.0.5", "10.0.0.0/33"]
NODE_ADDRESSES = ["192.168.0.1", "10.0.0.2", "10.0.1.1", "10.9.9.9"]


class Addresses(RuleBasedStateMachine):
    """One World, changed by one rule at a time."""

    @initialize(most=st.sampled_from([1, 3, MOST_DECIDED]))
    def begin(self, most: int) -> None:
        eips = (Eip("a", POOLS[0], created="1"), Eip("b", POOLS[1], created="2"))
        self.world = World(*eips, most_decided=most)
        self.pools_changed = False

    def held(self) -> dict[ObjectKey, tuple[str, ...]]:
        """The records of all Services, readable or not."""
        cluster = self.world.planner.cluster
        records = {u.key: u.record for u in cluster.never_read(Kind.SERVICE)}
        records |= {k: service_.ingress for k, service_ in cluster.services.items()}
        return {k: tuple(map(str, record)) for k, record in records.items() if record}

    def form(self, name: str) -> Service | None:
        """A Service; None if it is unreadable or not there."""
        cluster = self.world.planner.cluster
        unreadable = cluster.why_unreadable(Kind.SERVICE, key(name))
        return None if unreadable else cluster.services.get(key(name))

    @rule(name=st.sampled_from(NAMES))
    def cannot_be_read(self, name: str) -> None:
        before = self.held()
        if key(name) in self.world.planner.cluster.services:
            self.world.broken(name)
        elif key(name) not in before:
            self.world.unreadable(Kind.SERVICE, name)
        assert self.held() == before

    @rule(name=st.sampled_from(NAMES), record=st.sampled_from(["10.0.0.2", "10.0.1.1", "10.0.0.4"]))
    def forge(self, name: str, record: str) -> None:
        """A forged record: no other Service loses an address."""
        if self.form(name) is None:
            return
        before = self.held()
        self.world.forge(name, record).turn()
        self.others_stay(before, {key(name)})

    @rule(name=st.sampled_from(NAMES), record=st.sampled_from(["10.0.0.2", "10.0.1.1"]))
    def forge_over_a_restart(self, name: str, record: str) -> None:
        """A forged record before a restart: the holders that the Eips name stay."""
        if self.form(name) is None:
            return
        before = self.held()
        self.world = self.world.forge(name, record).restarted()
        self.others_stay(before, {key(name)})

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: str) -> None:
        """A Service that is being deleted keeps its address until it is gone."""
        service_ = self.form(name)
        if service_ is not None:
            before = self.held()
            self.world.put(structs.replace(service_, deleting=True))
            assert self.held() == before

    @rule(name=st.sampled_from(["n1", "n2"]), address=st.sampled_from(NODE_ADDRESSES))
    def node(self, name: str, address: str) -> None:
        """A node reports an address, perhaps an EIP: no Service loses one."""
        before = self.held()
        self.world.put(node(name, address))
        self.others_stay(before, set())

    @rule(
        name=st.sampled_from(NAMES),
        share=st.sampled_from([None, None, "k"]),
        port=st.sampled_from([80, 81]),
        requested=st.sampled_from([None, None, "10.0.0.2", "10.0.1.1", "10.9.9.9"]),
        pool=st.sampled_from([None, None, None, "a", "b"]),
    )
    def put(
        self, name: str, share: str | None, port: int, requested: str | None, pool: str | None
    ) -> None:
        before = self.held()
        ports = frozenset([Port("TCP", port)])
        self.world.put(service(name, share_key=share, ports=ports, requested=requested, pool=pool))
        self.others_stay(before, {key(name)})

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        before = self.held()
        self.world.remove(Kind.SERVICE, name)
        self.others_stay(before, {key(name)})

    @rule(
        name=st.sampled_from(["a", "b"]),
        text=st.sampled_from(POOLS),
        red=st.booleans(),
        disable=st.sampled_from([False, False, True]),
    )
    def pool(self, name: str, text: str, red: bool, disable: bool) -> None:
        namespaces = ("red",) if red else ()
        self.world.put(Eip(name, text, created=name, namespaces=namespaces, disable=disable))

    @rule(name=st.sampled_from(["a", "b"]), running=st.booleans())
    def eip_cannot_be_read(self, name: str, running: bool) -> None:
        """An Eip becomes unreadable: no Service loses an address, also over a restart."""
        before = self.held()
        eip = self.world.planner.cluster.eips[ObjectKey("", name)]
        self.world.unreadable(Kind.EIP, name)
        if not running:
            self.world = self.world.restarted()
        self.others_stay(before, set())
        self.world.put(eip)
        self.others_stay(before, set())

    @rule()
    def restart(self) -> None:
        before = self.held()
        self.world = self.world.restarted()
        assert self.held() == before

    @rule()
    def leadership_changes(self) -> None:
        """A new leader has the same holdings as the one before."""
        before = self.held()
        self.world.planner.lead(False)
        self.world.turn()
        self.world.planner.lead(True)
        self.world.turn()
        assert self.held() == before

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True))
    def swap(self, names: list[str]) -> None:
        """Several Services swap their ports in one turn; no other one is affected."""
        forms = [self.form(name) for name in names]
        changing = [form for form in forms if form is not None]
        ports = [service_.ports for service_ in changing]
        before = self.held()
        for service_, others in zip(changing, ports[1:] + ports[:1], strict=True):
            self.world.stage(structs.replace(service_, ports=others))
        self.world.turn()
        self.others_stay(before, {service_.key for service_ in changing})

    def others_stay(
        self, before: dict[ObjectKey, tuple[str, ...]], changed: set[ObjectKey]
    ) -> None:
        after = self.held()
        for holder, addresses in before.items():
            if holder not in changed:
                assert after.get(holder) == addresses, f"{holder} lost its address"

    @invariant()
    def nothing_is_held_twice_or_outside_its_pool(self) -> None:
        if not hasattr(self, "world"):
            return
        planner = self.world.planner
        by_address: dict[str, list[Service]] = {}
        for holder, service_ in planner.cluster.services.items():
            if planner.cluster.why_unreadable(Kind.SERVICE, holder):
                continue
            for address in service_.ingress:
                assert planner.allocator.pool_of(address) is not None
                by_address.setdefault(str(address), []).append(service_)
                assert holder in planner.allocator.holders(address)
        for sharers in by_address.values():
            ports = [port for sharer in sharers for port in sharer.ports]
            keys = {(sharer.key.namespace, sharer.share_key) for sharer in sharers}
            assert len(sharers) == 1 or (len(keys) == 1 and len(set(ports)) == len(ports))

    @invariant()
    def no_service_waits_while_an_address_is_free_for_it(self) -> None:
        if not hasattr(self, "world"):
            return
        allocator, cluster = self.world.planner.allocator, self.world.planner.cluster
        for service_ in self.world.planner.cluster.services.values():
            unreadable = cluster.why_unreadable(Kind.SERVICE, service_.key)
            if unreadable or service_.ingress or service_.request is not None:
                continue
            drawn = [v.eip for v in allocator.pool_verdicts(service_) if v.verdict.ok]
            assert not drawn, f"{service_.key} waits although {drawn} could serve it"

    @invariant()
    def a_resync_changes_nothing(self) -> None:
        if not hasattr(self, "world"):
            return
        before = self.held()
        self.world.planner.resync()
        self.world.turn()
        assert self.held() == before


Addresses.TestCase.settings = random_histories(150, steps=25)
TestAddresses = Addresses.TestCase
