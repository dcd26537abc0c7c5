"""Random histories of Eips and of Services whose record cannot be read: nobody else ever gets the
address on such a record, and its Service has it again once the record can be read.

Eips are inside one another, re-addressed, disabled and deleted, and other Services claim addresses.
`EXAMPLES=20000` runs it longer, at random.
"""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from porter_ryu.domain.model import Eip, Kind
from tests.unit.histories import random_histories
from tests.unit.world import World, key, service

NAMES = ["red/a", "red/b", "blue/c", "blue/d"]
# the first is older: what is inside it does not serve
POOLS = {
    "old": ["10.0.0.1-10.0.0.9", "10.0.0.0/22", "10.0.0.3-10.0.0.4", "10.1.0.0/30"],
    "young": ["10.0.0.3-10.0.0.6", "10.0.0.1-10.0.0.2", "10.0.0.0/22", "10.2.0.0/31"],
}
CLAIMED = [f"10.0.0.{number}" for number in range(1, 7)]


class Histories(RuleBasedStateMachine):
    """One World; `unread` has what is on the records that it cannot read."""

    @initialize()
    def begin(self) -> None:
        self.world = World(*(self.eip(name, texts[0]) for name, texts in POOLS.items()))
        self.unread: dict[str, str] = {}

    @staticmethod
    def eip(name: str, text: str, disable: bool = False) -> Eip:
        return Eip(name, text, created="1" if name == "old" else "2", disable=disable)

    @rule(name=st.sampled_from(NAMES), requested=st.sampled_from([None, None, *CLAIMED]))
    def put(self, name: str, requested: str | None) -> None:
        if name not in self.unread:
            self.world.put(service(name, requested=requested))

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        self.unread.pop(name, None)
        self.world.remove(Kind.SERVICE, name)

    @rule(name=st.sampled_from(NAMES))
    def cannot_be_read(self, name: str) -> None:
        """From the start of a process on: one that has read a record knows it."""
        if key(name) in self.world.planner.cluster.services:
            self.unread[name] = self.world.address(name)
            self.world.unreadable(Kind.SERVICE, name, unread=True)
            self.world = self.world.restarted()

    @rule(name=st.sampled_from(NAMES))
    def can_be_read(self, name: str) -> None:
        if name not in self.unread:
            return
        text = self.unread.pop(name)
        self.world.put(service(name, ingress=(ip_address(text),) if text else ()))
        if text and self.world.planner.allocator.pool_of(ip_address(text)) is not None:
            assert self.world.address(name) == text

    @rule(
        name=st.sampled_from(list(POOLS)),
        number=st.integers(0, 3),
        disable=st.sampled_from([False, False, True]),
        claimant=st.sampled_from(NAMES),
        claimed=st.sampled_from(["", "", *CLAIMED]),
    )
    def readdress(self, name: str, number: int, disable: bool, claimant: str, claimed: str) -> None:
        """In the same turn somebody may write the record of another Service."""
        self.world.stage(self.eip(name, POOLS[name][number], disable))
        self.claim(claimant, claimed)

    @rule(name=st.sampled_from(list(POOLS)))
    def remove_eip(self, name: str) -> None:
        self.world.remove(Kind.EIP, name)

    @rule(name=st.sampled_from(NAMES), address=st.sampled_from(CLAIMED))
    def claim(self, name: str, address: str) -> None:
        """Somebody writes the record of a Service that can be read."""
        if address and key(name) in self.world.planner.cluster.services:
            self.world.forge(name, address)
        self.world.turn()

    @rule()
    def restart(self) -> None:
        self.world = self.world.restarted()

    @invariant()
    def nobody_else_has_the_address(self) -> None:
        if not hasattr(self, "world"):
            return
        unread = {text for text in self.unread.values() if text}
        services = self.world.planner.cluster.services
        had = {str(name): self.world.address(str(name)) for name in services}
        assert not unread.intersection(had.values()), (self.unread, had)


Histories.TestCase.settings = random_histories(200, steps=20)
TestHistories = Histories.TestCase
