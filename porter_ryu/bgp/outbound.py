"""What goes out to one peer, over one session after the other.

Nothing is sent before everything is known; then the whole table, what an earlier session left
with the peer and is no longer wanted, and End-of-RIB (RFC 4724, 4.1).  From then on, differences.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from porter_ryu import metrics
from porter_ryu.bgp.journal import RouteJournal
from porter_ryu.bgp.protocol import update, wire
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.rib_out import AdjRibOut, Difference, PathIds, View
from porter_ryu.bgp.protocol.update import Path
from porter_ryu.bgp.session import Session
from porter_ryu.domain.model import Address, Family, Network, NextHop
from porter_ryu.supervisor import Supervisor

_SETTLED = 5.0


@dataclass
class LocRib:
    """What is wanted by all peers alike; `complete` once nothing known is missing from it,
    `replaying` while the cluster cannot be read and the journal stands for it."""

    routes: dict[Network, frozenset[NextHop]]
    path_ids: PathIds
    complete: bool = False
    replaying: bool = False


class Outbound:
    """The Adj-RIB-Out of a peer's present session, and the journal that outlasts it."""

    def __init__(
        self, name: str, loc_rib: LocRib, journal: RouteJournal, supervisor: Supervisor
    ) -> None:
        self._supervisor = supervisor
        self.restarting = bool(journal.paths)
        self._name = name
        self._loc_rib = loc_rib
        self._journal = journal
        self._session: Session | None = None
        self._rib_out: AdjRibOut | None = None
        self._dirty: set[Network] = set()
        self._refreshing: set[Family] = set()
        self._end_of_rib_due: frozenset[Family] = frozenset()
        for path, next_hop in journal.paths.items():
            if path.path_id is not None:
                loc_rib.path_ids.restore(next_hop, path.path_id)

    def open(self, session: Session, view: View) -> None:
        """A session is Established: it is due the whole table."""
        self._session = session
        self._rib_out = AdjRibOut(view, self._loc_rib.path_ids)
        self._dirty.clear()
        self._refreshing.clear()
        self._end_of_rib_due = session.families
        if not session.graceful:
            self._journal.clear()
        self.replay()
        self.send(self._loc_rib.routes)

    def refused(self, notification: Notification) -> None:
        """The peer ended the session over an UPDATE of ours (RFC 4271, 6.3)."""

    def close(self) -> None:
        """The session is down: what the peer keeps of it, the journal knows."""
        self._session = self._rib_out = None

    def send(self, prefixes: Iterable[Network]) -> None:
        """Brings these prefixes, and those that wait, to what the Loc-RIB says of them."""
        session, rib_out = self._session, self._rib_out
        if session is None or rib_out is None:
            return
        self._dirty.update(prefixes)
        if session.congested or not self._loc_rib.complete:
            return
        dirty, self._dirty = self._dirty, set()
        difference = rib_out.sync(self._loc_rib.routes, dirty)
        if session.graceful:
            self._journal.add(difference.announced)
        messages = list(difference.messages(rib_out.view))
        messages = self._marked(messages)
        gone = list(difference.withdrawn)
        if self._end_of_rib_due:
            stale = self._stale(rib_out)
            gone += [path for path in self._journal.paths if not rib_out.has(path)]
            messages += stale.messages(rib_out.view)
            messages += [update.end_of_rib(family) for family in sorted(self._end_of_rib_due)]
            self._end_of_rib_due = frozenset()
            self.restarting = False
        self._hand_over(session, messages)
        if session.graceful and gone:
            self._supervisor.after(_SETTLED, "settle", self._settle, session, gone)

    def complete(self) -> None:
        """Everything is known: what was replayed and is not wanted goes, End-of-RIB follows."""
        self.send([*self._loc_rib.routes, *(self._rib_out.sent if self._rib_out else ())])

    def refresh(self, family: Family) -> None:
        """Sends a family again (RFC 2918), between its marks where the peer knows them
        (RFC 7313, 4)."""
        if self._rib_out is not None and self._session is not None:
            if self._session.enhanced_refresh and family not in self._end_of_rib_due:
                self._refreshing.add(family)
            self.send(self._rib_out.again(family))

    def replay(self) -> None:
        """Announces what an earlier run did, as it was, while the cluster cannot be read."""
        session, rib_out = self._session, self._rib_out
        wanted = self._loc_rib.replaying and not self._loc_rib.complete
        if not wanted or session is None or rib_out is None or not session.graceful:
            return
        if not rib_out.sent:
            difference = rib_out.restore(self._journal.paths)
            self._hand_over(session, list(difference.messages(rib_out.view)))

    def withdraw_all(self) -> None:
        """Takes back everything, for good."""
        session, rib_out = self._session, self._rib_out
        if session is None or rib_out is None:
            return
        paths = (Path(prefix, path_id) for prefix, ids in rib_out.sent.items() for path_id in ids)
        self._hand_over(session, list(Difference((), tuple(paths)).messages(rib_out.view)))
        rib_out.sent.clear()
        self._journal.clear()

    def forget(self) -> None:
        """The peer is no longer ours: nothing of it is kept."""
        self._journal.clear()

    def sent(self, prefix: Network) -> tuple[Address, ...]:
        """The next hops that the peer was sent for a prefix."""
        return tuple(self._rib_out.sent.get(prefix, {}).values()) if self._rib_out else ()

    def count(self, family: Family) -> int:
        """Paths of a family that the peer was sent."""
        return self._rib_out.count(family) if self._rib_out is not None else 0

    def _marked(self, messages: list[bytes]) -> list[bytes]:
        families, self._refreshing = sorted(self._refreshing), set()
        begin = [wire.encode_route_refresh(f, wire.Refresh.BEGIN) for f in families]
        end = [wire.encode_route_refresh(f, wire.Refresh.END) for f in families]
        return [*begin, *messages, *end]

    def _stale(self, rib_out: AdjRibOut) -> Difference:
        """What the peer kept and must not keep: announced and withdrawn in one breath, because
        FRR with soft-reconfiguration ignores the withdrawal of a path that it has not heard in
        this session, and at End-of-RIB purges but one stale path of a prefix."""
        stale = rib_out.stale(self._journal.paths)
        return Difference(tuple(stale), tuple(path for path, _ in stale))

    def _hand_over(self, session: Session, messages: list[bytes]) -> None:
        if messages:
            metrics.bgp_updates_sent.labels(peer=self._name).inc(len(messages))
            session.send(b"".join(messages))

    def _settle(self, session: Session, gone: list[Path]) -> None:
        """Strikes out what was withdrawn, once the peer has surely read it."""
        if session is not self._session or self._rib_out is None:
            return
        if session.congested:
            self._supervisor.after(_SETTLED, "settle", self._settle, session, gone)
            return
        rib_out = self._rib_out
        self._journal.remove(path for path in gone if not rib_out.has(path))
