"""What one switch should have: its flows and groups, from what the addresses want and from where
the next hops are.

Identical sets of next hops share a group.  If all addresses of a group change to the same new set,
the group changes and their flows stay: a node that goes costs one message for each set, not one for
each address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from porter_ryu.domain.model import Address, Network
from porter_ryu.openflow import flows, forwarding, wire
from porter_ryu.openflow.buckets import filled
from porter_ryu.openflow.config import Affinity, OpenFlowSettings
from porter_ryu.openflow.counters import Served
from porter_ryu.openflow.flows import Flow
from porter_ryu.openflow.forwarding import Role, Shape
from porter_ryu.openflow.groups import FIRST_GROUP, GROUPS_MAX, GroupContent
from porter_ryu.openflow.neighbours import Location
from porter_ryu.openflow.next_hop_sets import HopSet, NextHopNumbers, Wanted, number_of_text


class Plan:
    """`flows` by cookie and `groups` by number are what the switch should have.  `changed_flows`
    and `changed_groups` are those that changed since `pop_changed`; `numbers` those of next hops.
    `version`: of OpenFlow; `meter`: the switch has our meter.
    """

    def __init__(self, settings: OpenFlowSettings, version: int, meter: bool) -> None:
        self.flows: dict[int, Flow] = {}
        self.groups: dict[int, GroupContent] = {}
        self.numbers = NextHopNumbers()
        self._settings = settings
        self._version = version
        self._wanted: dict[Network, Wanted] = {}
        self._shapes: dict[Network, tuple[Shape, tuple[Flow, ...]]] = {}
        self._group_of: dict[HopSet, int] = {}
        self._users: Counter[HopSet] = Counter()
        self._members: Counter[Served] = Counter()
        self._node_flows: dict[Served, tuple[Flow, ...]] = {}
        self._reachable: Mapping[Address, Location] = {}
        self._spare: dict[GroupContent, list[int]] = {}
        self._reserved: frozenset[int] = frozenset()
        self._changed_flows: set[int] = set()
        self._changed_groups: set[int] = set()
        self._replace((), forwarding.always(settings, version, meter))

    @property
    def next_hops(self) -> set[Address]:
        """All next hops of all addresses, also those that are drained."""
        return {address for _, address in self._members}

    def node_flows(self) -> Mapping[int, Served]:
        """The pool and the next hop of each flow in the table of nodes, by cookie."""
        found = {}
        for key, of_node in self._node_flows.items():
            for flow in of_node:
                if flow.table == flows.NODES:
                    found[flow.cookie] = key
        return found

    def pop_changed(self) -> tuple[set[int], set[int]]:
        """The cookies of flows and the numbers of groups that changed since the last call."""
        found = self._changed_flows, self._changed_groups
        self._changed_flows, self._changed_groups = set(), set()
        return found

    def adopt(self, groups: Mapping[int, GroupContent | None]) -> None:
        """Groups of ours that the switch has: a new set takes the number of one with its
        content."""
        self._reserved = frozenset(groups)
        self._spare = {}
        for number, content in groups.items():
            if content is not None and number not in self.groups:
                self._spare.setdefault(content, []).append(number)

    def keep_base(self) -> None:
        """Nothing is wanted any more but the flow for the packets of others: without it the switch
        would forward nothing."""
        kept = {c: flow for c, flow in self.flows.items() if flow.flags & wire.CHECK_OVERLAP}
        self._changed_flows |= self.flows.keys() - kept.keys()
        self._changed_groups |= self.groups.keys()
        self.flows, self.groups = kept, {}

    # -- addresses --------------------------------------------------------------------------------

    def set_addresses(
        self, wanted: Mapping[Network, Wanted | None], give_way: Callable[[], None]
    ) -> None:
        """Sets what these addresses want (None: nothing); others stay."""
        before = {prefix: self._wanted.get(prefix) for prefix in wanted}
        changed = self._count(before, wanted)
        self._take_over(before, wanted)
        for prefix, entry in wanted.items():
            give_way()
            for hops in _sets(entry).values():
                if hops not in self._group_of:
                    self._group_of[hops] = self._new_group(hops)
            if entry is None:
                self._wanted.pop(prefix, None)
            else:
                self._wanted[prefix] = entry
            self._set_flows(prefix, entry)
        for entry in before.values():
            for hops in _sets(entry).values():
                if not self._users[hops]:
                    del self._users[hops]
                    number = self._group_of.pop(hops, None)
                    if number is not None:
                        del self.groups[number]
                        self._changed_groups.add(number)
        self._update_node_flows(changed)

    def _count(
        self, before: Mapping[Network, Wanted | None], after: Mapping[Network, Wanted | None]
    ) -> set[Served]:
        """Counts the users of each set, and the addresses of each pool that a node serves; returns
        the pools and nodes whose count changed."""
        change: Counter[Served] = Counter()
        for entries, sign in ((after, 1), (before, -1)):
            for entry in entries.values():
                if entry is None:
                    continue
                for hops in _sets(entry).values():
                    self._users[hops] += sign
                for member in entry.members:
                    change[entry.pool, member] += sign
        changed = {key for key, by in change.items() if by}
        gone = False
        for key in changed:
            self._members[key] += change[key]
            if not self._members[key]:
                del self._members[key]
                gone = True
        if gone:
            self.numbers.keep(self.next_hops)
        return changed

    def _take_over(
        self, before: Mapping[Network, Wanted | None], after: Mapping[Network, Wanted | None]
    ) -> None:
        """A new set takes the group of an old one if all users of that change to it."""
        moves: Counter[tuple[HopSet, HopSet]] = Counter()
        had: Counter[HopSet] = Counter()
        for prefix, entry in before.items():
            now = _sets(after[prefix])
            for role, hops in _sets(entry).items():
                had[hops] += 1
                if role in now:
                    moves[hops, now[role]] += 1
        for (old, new), count in moves.items():
            if new in self._group_of or self._users[old] or count != had[old]:
                continue
            self._group_of[new] = self._group_of.pop(old)
            self._set_content(new)

    def _new_group(self, hops: HopSet) -> int:
        """A number for the group of a set, whose content is set: that of a group on the switch with
        this content, or a free one."""
        content = self._content(hops)
        spare = self._spare.get(content)
        if spare:
            number = spare.pop()
        else:
            number = FIRST_GROUP + number_of_text(repr(hops)) % GROUPS_MAX
            while number in self.groups or number in self._reserved:
                number = FIRST_GROUP + (number + 1 - FIRST_GROUP) % GROUPS_MAX
        self.groups[number] = content
        self._changed_groups.add(number)
        return number

    def _content(self, hops: HopSet) -> GroupContent:
        alive = tuple((address, w) for address, w in hops.hops if address in self._reachable)
        numbers = {address: self.numbers.of(address) for address, _ in alive}
        chosen = filled(alive, self._settings.buckets)
        return GroupContent(
            tuple(numbers[address] for address in chosen),
            self._settings.affinity if chosen else Affinity.NONE,
            self._version >= wire.VERSION_15,
        )

    def _set_content(self, hops: HopSet) -> None:
        number, content = self._group_of[hops], self._content(hops)
        if self.groups.get(number) != content:
            self.groups[number] = content
            self._changed_groups.add(number)

    # -- flows ------------------------------------------------------------------------------------

    def _set_flows(self, prefix: Network, entry: Wanted | None) -> None:
        known = self._shapes.get(prefix)
        if entry is None:
            if known is not None:
                self._replace(known[1], ())
                del self._shapes[prefix]
            return
        groups = tuple((role, self._group_of[hops]) for role, hops in _sets(entry).items())
        shape = Shape(entry.pool, groups)
        if known is not None and known[0] == shape:
            return
        made = tuple(forwarding.of_address(self._settings, prefix.network_address, shape))
        self._replace(known[1] if known is not None else (), made)
        self._shapes[prefix] = (shape, made)

    def _replace(self, before: Iterable[Flow], after: Iterable[Flow]) -> None:
        for flow in before:
            self.flows.pop(flow.cookie, None)
            self._changed_flows.add(flow.cookie)
        for flow in after:
            self.flows[flow.cookie] = flow
            self._changed_flows.add(flow.cookie)

    # -- next hops --------------------------------------------------------------------------------

    def set_reachable(
        self, reachable: Mapping[Address, Location], give_way: Callable[[], None]
    ) -> None:
        """Sets which next hops answer, and where they are."""
        changed = {a for a in self._reachable.keys() ^ reachable.keys()}
        self._reachable = dict(reachable)
        if changed:
            for hops in self._group_of:
                give_way()
                if any(address in changed for address, _ in hops.hops):
                    self._set_content(hops)
        self._update_node_flows(self._members)

    def _update_node_flows(self, served: Iterable[Served]) -> None:
        """The flows of these pools and next hops, if they are served and answer."""
        for key in served:
            where = self._reachable.get(key[1]) if key in self._members else None
            made: tuple[Flow, ...] = ()
            if where is not None:
                number = self.numbers.of(key[1])
                made = tuple(forwarding.of_node(self._settings, *key, number, where))
            before = self._node_flows.get(key, ())
            if made != before:
                self._replace(before, made)
            if made:
                self._node_flows[key] = made
            else:
                self._node_flows.pop(key, None)


def _sets(entry: Wanted | None) -> dict[Role, HopSet]:
    """The sets of next hops of an address by role."""
    if entry is None:
        return {}
    found: dict[Role, HopSet] = {} if entry.hops is None else {None: entry.hops}
    found.update(entry.ports)
    return found
