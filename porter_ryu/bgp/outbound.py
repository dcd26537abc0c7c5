"""What goes out to one peer, over one session after the other.

Nothing is sent before everything is known; then the whole table, what an earlier session left
with the peer and is no longer wanted, and End-of-RIB.  From then on, differences: a small one at
once, a large one in slices, in turn with the other peers.  What a session is due and in which
order, `bgp.session_output` knows; what outlasts it is here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from porter_ryu.bgp.journal import RouteJournal
from porter_ryu.bgp.output_rounds import OutputRounds
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.rib_out import AdjRibOut
from porter_ryu.bgp.refusals import Refusals, Suspect
from porter_ryu.bgp.session_output import Link, LocRib, SessionOutput
from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_AT_ONCE = 16


class Outbound:
    """What is sent to a peer over its present session, the journal that outlasts it, and what it
    refused."""

    def __init__(
        self,
        name: str,
        loc_rib: LocRib,
        journal: RouteJournal,
        supervisor: Supervisor,
        rounds: OutputRounds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.restarting = bool(journal.paths) or not journal.known
        self._name = name
        self._loc_rib = loc_rib
        self._journal = journal
        self._supervisor = supervisor
        self._rounds = rounds
        self._clock = clock
        self._refusals = Refusals(clock)
        self._output: SessionOutput | None = None
        for next_hops in journal.paths.values():
            for path_id, next_hop in next_hops.items():
                if path_id is not None:
                    loc_rib.path_ids.restore(next_hop, path_id)

    def open(self, session: Link, policy: ExportPolicy) -> None:
        """A session is Established: it is due the whole table."""
        self._refusals.opened()
        rib_out = AdjRibOut(policy, self._loc_rib.path_ids, self._refusals.withheld)
        if not session.graceful:
            self._journal.clear()
        # nothing that it is given leads back to it: what `garbage` has spared once, a table among
        # it, is not collected any more, and has to go by itself
        self._output = output = SessionOutput(
            self._name,
            session,
            rib_out,
            self._loc_rib,
            self._journal,
            self._refusals,
            self._wake_after,
            self._clock,
        )
        output.change(self._loc_rib.routes)
        self.replay()
        self._rounds.due(self)

    def close(self) -> None:
        """The session is down: what the peer keeps of it, the journal knows."""
        self._output = None

    def save(self) -> None:
        """The process ends: what could not be written yet is tried once more."""
        self._journal.save()

    def send(self, prefixes: Collection[Network]) -> bool:
        """Brings these prefixes to what the Loc-RIB says of them; with none, goes on with what
        waits.  Up to 16 are sent before this returns, where the session takes them.  Whether
        nothing of them is left for later."""
        output = self._output
        if output is None:
            return True
        if 0 < len(prefixes) <= _AT_ONCE and output.change_at_once(prefixes):
            return True
        output.change(prefixes)
        self._rounds.due(self)
        return False

    def send_slice(self) -> bool:
        """Sends a piece of what is due (output_rounds.Source)."""
        output = self._output
        if output is None:
            return False
        more = output.send_slice()
        if not output.end_of_rib_due:
            self.restarting = False
        return more

    def complete(self) -> None:
        """Everything is known: what was replayed and is not wanted goes, End-of-RIB follows."""
        if self._output is not None:
            self._output.change(self._output.rib_out.sent)
            self._output.change(self._loc_rib.routes)
            self._rounds.due(self)

    def refresh(self, family: Family) -> None:
        """The peer asks for a family again (RFC 2918).  Requests that come while it is sent are
        answered by one more."""
        if self._output is not None:
            self._output.refresh(family)
            self._rounds.due(self)

    def replay(self) -> None:
        """Announces what an earlier run did, as it was, while the cluster cannot be read."""
        output = self._output
        wanted = self._loc_rib.replaying and not self._loc_rib.complete
        if wanted and output is not None and output.link.graceful and not output.rib_out.sent:
            output.replay()
            self._rounds.due(self)

    def refused(self, notification: Notification) -> None:
        """The peer ends the session because of an UPDATE: what it does not take is not said to it
        again for a time; where it does not name it, the next sessions find it."""
        output = self._output
        if output is None:
            return
        verdict = self._refusals.take(notification, output.rib_out.sent.keys())
        for suspect in verdict.barred:
            gone = [
                (prefix, [i for i, hop in next_hops.items() if suspect in (hop, prefix)])
                for prefix, next_hops in self._journal.paths.items()
            ]
            LOG.error(
                "peer %s refuses %s (%s): it is not announced to it for %.0f min; %d prefixes "
                "go there without it",
                self._name,
                suspect,
                notification,
                verdict.seconds / 60,
                _affected(output.rib_out, suspect),
            )
            self._journal.remove(gone)
            self._supervisor.after(verdict.seconds, "refusal", self._try_again)
        if verdict.suspects:
            LOG.error(
                "peer %s refuses an UPDATE (%s) and does not say what of it: the next session "
                "tries %d suspects in groups",
                self._name,
                notification,
                verdict.suspects,
            )
        elif not verdict.barred:
            LOG.error(
                "peer %s refuses what all its routes have in common (%s, %s): look at its group "
                "in the configuration",
                self._name,
                notification,
                notification.data[:32].hex() or "without data",
            )

    def withdraw_all(self) -> None:
        """Takes back everything, for good."""
        if self._output is not None:
            self._output.withdraw_all()
            self._output = None
            self._journal.clear()

    def forget(self) -> None:
        """The peer is no longer ours: nothing of it is kept."""
        self._journal.clear()

    def sent(self, prefix: Network) -> tuple[Address, ...]:
        """The next hops that the peer was sent for a prefix."""
        if self._output is None:
            return ()
        return self._output.rib_out.next_hops(prefix)

    def count(self, family: Family) -> int:
        """Paths of a family that the peer was sent."""
        return self._output.rib_out.count(family) if self._output is not None else 0

    def _wake_after(self, seconds: float) -> None:
        self._supervisor.after(seconds, "bgp output", self._rounds.due, self)

    def _try_again(self) -> None:
        """What was refused long ago has a new chance."""
        if self._refusals.expire():
            self._rounds.due(self)


def _affected(rib_out: AdjRibOut, suspect: Suspect) -> int:
    """How many prefixes were announced by, or are, what is refused."""
    return sum(suspect == prefix or suspect in rib_out.next_hops(prefix) for prefix in rib_out.sent)
