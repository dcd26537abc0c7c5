"""All update groups of the speaker: which sessions share one."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Collection, Iterable, Set
from typing import Protocol

from msgspec.structs import replace

from porter_ryu.bgp.output.loc_rib import LocRib
from porter_ryu.bgp.output.rounds import OutputRounds
from porter_ryu.bgp.output.update_group import Member, UpdateGroup
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.rib_out import AdjRibOut
from porter_ryu.domain.model import Address, Network
from porter_ryu.supervisor import Supervisor


class Grouped(Member, Protocol):
    """A session that knows its group.  `policy`: its own, with the name of its peer."""

    group: UpdateGroup
    policy: ExportPolicy

    def set_policy(self, policy: ExportPolicy) -> None:
        """Has everything exported anew."""


class UpdateGroups:
    """The groups by export policy, and those of single sessions.  A group is gone with its last
    session, which alone keeps it."""

    def __init__(
        self,
        loc_rib: LocRib,
        rounds: OutputRounds,
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loc_rib = loc_rib
        self._rounds = rounds
        self._supervisor = supervisor
        self._clock = clock
        # in the order in which they were made, so that every run sends in the same order
        self._all: weakref.WeakKeyDictionary[UpdateGroup, None] = weakref.WeakKeyDictionary()
        self._sessions: weakref.WeakSet[Grouped] = weakref.WeakSet()
        self._named: set[str] = set()
        self._shared: weakref.WeakValueDictionary[ExportPolicy, UpdateGroup] = (
            weakref.WeakValueDictionary()
        )

    def join(self, session: Grouped, withheld: Set[Address | Network]) -> UpdateGroup:
        """The group for a session that is no member of one.  A peer from which something is
        `withheld` has one of its own."""
        self._sessions.add(session)
        policy = self._without_name(session.policy)
        group = None if withheld else self._shared.get(policy)
        if group is None:
            rib_out = AdjRibOut(policy, self._loc_rib.path_ids, withheld or frozenset())
            group = UpdateGroup(rib_out, self._loc_rib, self._rounds, self._supervisor, self._clock)
            self._all[group] = None
            if not withheld:
                self._shared[policy] = group
        return group

    def split(self, member: Grouped, withheld: Set[Address | Network]) -> None:
        """A member goes on in a group of its own; its policy may be another than that of the group
        that it leaves."""
        table = member.group.table_of(member)
        policy = self._without_name(member.policy)
        since = {p: s for p, s in member.group.rib_out.since.items() if p in table}
        rib_out = AdjRibOut(policy, self._loc_rib.path_ids, withheld, table, since)
        member.group = member.group.split(member, rib_out)
        self._all[member.group] = None

    def rejoin(self, member: Grouped) -> None:
        """A member of a group of its own, with nothing withheld, shares one again if both have the
        same table."""
        group, policy = member.group, member.group.rib_out.policy
        shared = self._shared.get(policy)
        if shared is group or not group.is_at_rest:
            return
        if shared is None:
            group.rib_out.withheld = frozenset()
            self._shared[policy] = group
        elif shared.is_current and shared.rib_out.sent == group.rib_out.sent:
            del group.members[member]
            shared.members[member] = None
            member.group = shared

    def change(self, prefixes: Collection[Network]) -> bool:
        """These prefixes changed in the Loc-RIB.  Up to 16 are sent before this returns, to every
        peer that can be sent them: first to those without a journal, which takes as long as the
        rest.  Returns whether nothing is left for later."""
        self._note_names(prefixes)
        sent = [group.change(prefixes) for group in sorted(self._all, key=_journals)]
        return all(sent)

    def have(self, prefix: Network) -> bool:
        """Whether any session announces a prefix.  It is asked for every Service, so it does not
        look at each of many peers."""
        return any(prefix in group.rib_out.sent for group in self._all if group.members)

    def complete(self) -> None:
        """The Loc-RIB is complete: replayed paths that are not in it have to be withdrawn."""
        for group in list(self._all) if self._loc_rib.replaying else ():
            group.queue(
                {**dict.fromkeys(group.rib_out.sent), **dict.fromkeys(self._loc_rib.routes)}
            )

    def _without_name(self, policy: ExportPolicy) -> ExportPolicy:
        """The same policy for all peers that differ in their names alone, but for those that
        advertisements name."""
        return policy if policy.peer in self._named else replace(policy, peer="")

    def _note_names(self, prefixes: Iterable[Network]) -> None:
        """A peer that an advertisement names for the first time leaves its group: what it sees may
        be something else from now on."""
        routes = self._loc_rib.routes
        distinct = {id(a): a for a in map(routes.get, prefixes) if a is not None}
        names: set[str] = set()
        for announcements in distinct.values():
            for announcement in announcements:
                for advertisement in announcement.advertisements:
                    names |= advertisement.peers
        new = names - self._named
        self._named |= new
        for session in list(self._sessions) if new else ():
            if session.policy.peer in new:
                session.set_policy(session.policy)


def _journals(group: UpdateGroup) -> bool:
    return group.journals
