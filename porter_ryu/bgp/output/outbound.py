"""What is sent to one peer, over one session after the other.

Nothing is sent until the Loc-RIB is complete.  Then the whole table is sent, stale paths of an
earlier session are withdrawn, and End-of-RIB follows.  From then on differences are sent: small
ones immediately, large ones in slices, in turn with the other peers.  `update_group` computes them
for all peers that see the same, `session_output` knows what has to be sent in a session and in
which order, and this module keeps what outlasts the session.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping

from msgspec import Struct

from porter_ryu.bgp.output.journal import RouteJournal
from porter_ryu.bgp.output.loc_rib import LocRib
from porter_ryu.bgp.output.refusals import Refusals, Suspect
from porter_ryu.bgp.output.rounds import OutputRounds
from porter_ryu.bgp.output.session_output import Link, SessionOutput
from porter_ryu.bgp.output.update_groups import UpdateGroups
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.rib_out import AdjRibOut, SentPaths
from porter_ryu.bgp.protocol.unsent import unsent
from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)


class LastSent(Struct, frozen=True):
    """What the peer had been sent when its session ended, and the policy that it was exported
    by."""

    paths: Mapping[Network, SentPaths]
    policy: ExportPolicy


class Outbound:
    """The output of the present session, the journal that outlasts it, and what the peer
    refused."""

    def __init__(
        self,
        name: str,
        loc_rib: LocRib,
        groups: UpdateGroups,
        journal: RouteJournal,
        supervisor: Supervisor,
        rounds: OutputRounds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._restarting = bool(journal.left) or not journal.known
        self._name = name
        self._loc_rib = loc_rib
        self._groups = groups
        self._journal = journal
        self._supervisor = supervisor
        self._rounds = rounds
        self._clock = clock
        self._refusals = Refusals(clock)
        self._output: SessionOutput | None = None
        self._updated_at: float | None = None
        self.last: LastSent | None = None  # of the session that ended last
        for paths in journal.left.values():
            for path_id, path in paths.items():
                if path_id is not None:
                    loc_rib.path_ids.restore(path.next_hop, path_id)

    @property
    def restarting(self) -> bool:
        """Whether the peer may have paths of an earlier run, and no End-of-RIB was sent yet."""
        if self._output is not None and not self._output.end_of_rib_due:
            self._restarting = False
        return self._restarting

    @property
    def left(self) -> Mapping[Network, SentPaths]:
        """What earlier sessions left with the peer, by prefix."""
        return self._journal.left

    @property
    def left_count(self) -> int:
        """How many paths earlier sessions left with the peer."""
        return self._journal.left_count

    @property
    def updated_at(self) -> float | None:
        """When the peer was sent the last UPDATE, on the monotonic clock; None: never."""
        output = self._output
        if output is not None and output.updated_at is not None:
            self._updated_at = output.updated_at
        return self._updated_at

    @property
    def refused_now(self) -> Collection[Suspect]:
        """The next hops and prefixes that are not announced, because the peer refuses them."""
        return self._refusals.withheld

    def open(self, session: Link, policy: ExportPolicy) -> None:
        """A session is Established: the whole table is queued for it."""
        self._refusals.opened()
        if not session.graceful:
            self._journal.clear()
        # no reference cycle: the garbage collector does not look at frozen objects (`garbage`), so
        # the table of an ended session has to be freed by its reference count
        self._output = output = SessionOutput(
            self._name,
            session,
            policy,
            self._groups,
            self._loc_rib,
            self._journal,
            self._refusals,
            self._wake_after,
            self._clock,
        )
        if session.graceful:
            self._journal.begin(output)
        self.replay()
        self._rounds.due(output)

    def close(self) -> None:
        """The session is down: the journal knows which paths the peer may keep."""
        output = self._output
        if output is None:
            return
        self._restarting = self.restarting
        self._updated_at = self.updated_at
        self._output = None
        left = output.left()
        self.last = LastSent(left, output.policy)
        if output.link.graceful:
            self._journal.end(left)
        output.close()

    def save(self) -> None:
        """The process ends: tries once more to write a journal that could not be written."""
        self._journal.save()

    def resume(self) -> None:
        """The session can send again, or has something else to send."""
        if self._output is not None:
            self._rounds.due(self._output)

    def set_policy(self, policy: ExportPolicy) -> None:
        """The settings of the peer changed: what they change is sent in the present session."""
        if self._output is not None and self._output.policy != policy:
            self._output.set_policy(policy)
            self._rounds.due(self._output)

    def refresh(self, family: Family) -> None:
        """The peer requests a route refresh (RFC 2918).  Requests that come during a refresh are
        answered by one more."""
        if self._output is not None:
            self._output.refresh(family)
            self._rounds.due(self._output)

    def replay(self) -> None:
        """Announces the paths in the journal while the cluster cannot be read."""
        output = self._output
        wanted = self._loc_rib.replaying and not self._loc_rib.complete
        if wanted and output is not None and output.link.graceful and not output.joined:
            output.replay()
            self._rounds.due(output)

    def refused(self, notification: Notification) -> None:
        """The peer ended the session because of an UPDATE.  The next hop or prefix that it refuses
        is not announced to it for some time; if the NOTIFICATION does not name it, the next
        sessions search for it."""
        output = self._output
        if output is None:
            return
        rib_out = output.group.rib_out
        finding = self._refusals.session_refused(notification, rib_out.sent.keys())
        self.close()
        for suspect in finding.barred:
            LOG.error(
                "peer %s refuses %s (%s): it is not announced to it for %.0f min; %d prefixes "
                "go there without it",
                self._name,
                suspect,
                notification,
                finding.seconds / 60,
                _affected(rib_out, suspect),
            )
            refused = (
                (prefix, [i for i, path in paths.items() if suspect in (path.next_hop, prefix)])
                for prefix, paths in self._journal.left.items()
            )
            self._journal.strike_out([entry for entry in refused if entry[1]])
            self._supervisor.after(finding.seconds, "refusal", self._try_again)
        if finding.suspects:
            LOG.error(
                "peer %s refuses an UPDATE (%s) and does not name the cause: the next session "
                "tries %d suspects in groups",
                self._name,
                notification,
                finding.suspects,
            )
        elif not finding.barred:
            LOG.error(
                "peer %s refuses an attribute that all its routes have (%s, %s): check its group "
                "in the configuration",
                self._name,
                notification,
                notification.data[:32].hex() or "without data",
            )

    def withdraw_all(self) -> None:
        """Withdraws everything for good."""
        output, self._output = self._output, None
        if output is not None:
            output.withdraw_all()
            output.close()
            self._journal.clear()

    def forget(self) -> None:
        """The peer is not configured any more: clears its journal."""
        self._journal.clear()

    def table(self) -> AdjRibOut | None:
        """What the peer is announced now; None without a session that has the table."""
        if self._output is None or not self._output.joined:
            return None
        return self._output.group.rib_out

    def sent(self, prefix: Network) -> tuple[Address, ...]:
        """The next hops that the peer was sent for a prefix."""
        table = self.table()
        return () if table is None else table.next_hops(prefix)

    def unsent(self, prefix: Network) -> str:
        """Why a prefix was not sent in the present session."""
        if self._output is None:
            return "its session ends"
        if not self._loc_rib.complete:
            return "nothing is sent before the whole cluster is read"
        announcements = self._loc_rib.routes.get(prefix, frozenset())
        return unsent(self._output.policy, announcements, prefix, self._refusals.withheld)

    def count(self, family: Family) -> int:
        """Paths of a family that the peer was sent."""
        table = self.table()
        return 0 if table is None else table.count(family)

    def _wake_after(self, seconds: float) -> None:
        self._supervisor.after(seconds, "bgp output", self.resume)

    def _try_again(self) -> None:
        """Tries again what the peer refused some time ago."""
        if self._refusals.expire():
            self.resume()


def _affected(rib_out: AdjRibOut, suspect: Suspect) -> int:
    """How many announced prefixes have the refused next hop, or are the refused prefix."""
    return sum(suspect == prefix or suspect in rib_out.next_hops(prefix) for prefix in rib_out.sent)
