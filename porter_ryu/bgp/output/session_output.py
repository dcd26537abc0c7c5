"""What has still to be sent in one session, slice by slice.

The order is:

1. the paths in the journal, while the cluster cannot be read;
2. the whole table of the update group, as it is when the session begins;
3. the batches of changes that the group makes for all its members;
4. when the Loc-RIB is complete: paths that the peer refused earlier and that are tried again;
5. withdrawals of stale paths: those that an earlier session left with the peer;
6. End-of-RIB (RFC 4724, 4.1);
7. route refreshes (RFC 2918), with BoRR and EoRR where the peer supports them (RFC 7313): the whole
   table of the group once more;
8. withdrawn stale paths are struck out of the journal, some seconds after the peer was sent them.

A slice is a few milliseconds of work.  Nothing is computed for a peer that does not read: its
prefixes pile up in its group, and not messages.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from porter_ryu import metrics
from porter_ryu.bgp.output.batch import Batch, EncodedTable, encode
from porter_ryu.bgp.output.journal import RouteJournal
from porter_ryu.bgp.output.journal_line import Lines, struck_out
from porter_ryu.bgp.output.loc_rib import LocRib
from porter_ryu.bgp.output.refreshes import Refreshes
from porter_ryu.bgp.output.refusals import Refusals
from porter_ryu.bgp.output.update_groups import UpdateGroups
from porter_ryu.bgp.protocol import update, wire
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.rib_out import Difference, SentPaths, as_sent
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.model import Family, Network

_LeftBehind = collections.deque[tuple[Network, SentPaths]]

_SLICE_PATHS = 1024
_JOURNAL_DELAY_SECONDS = 5.0


class Link(Protocol):
    """A session, as far as sending needs it."""

    @property
    def congested(self) -> bool:
        """Whether its send buffer is full."""

    @property
    def graceful(self) -> bool:
        """Whether the peer keeps our routes while we restart (RFC 4724)."""

    @property
    def families(self) -> frozenset[Family]:
        """The negotiated address families."""

    @property
    def enhanced_refresh(self) -> bool:
        """Whether enhanced route refresh was negotiated (RFC 7313)."""

    @property
    def max_message_length(self) -> int:
        """The longest message, in octets (RFC 8654)."""

    def send(self, data: bytes) -> None:
        """Queues whole messages."""


class SessionOutput:
    """The output of one session.  `wake_after(seconds)` calls `send_slice` again after that
    time."""

    def __init__(
        self,
        name: str,
        link: Link,
        policy: ExportPolicy,
        groups: UpdateGroups,
        loc_rib: LocRib,
        journal: RouteJournal,
        refusals: Refusals,
        wake_after: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = link
        self.journals = link.graceful
        self.max_length = link.max_message_length
        self.end_of_rib_due = link.families
        self.queue: collections.deque[Batch] = collections.deque()
        self.policy = policy
        self.updated_at: float | None = None  # when the last UPDATE was sent, on the clock
        self.group = groups.join(self, refusals.withheld)
        self._updates = metrics.bgp_updates_sent.labels(peer=name)
        self._groups = groups
        self._loc_rib = loc_rib
        self._journal = journal
        self._refusals = refusals
        self._wake_after = wake_after
        self._clock = clock
        self._tables: collections.deque[EncodedTable] = collections.deque()
        self._parts_sent = 0
        self._to_replay: _LeftBehind = collections.deque()
        self._left_behind: _LeftBehind | None = None
        self._stale: collections.deque[tuple[float, Sequence[tuple[Network, list[PathId]]]]] = (
            collections.deque()
        )
        self._refreshes = Refreshes(clock)
        self._wake_at = 0.0
        self._closed = False

    # -- what has to be sent -----------------------------------------------------------------------

    @property
    def joined(self) -> bool:
        """Whether the table of the group is, or will be, that of the peer."""
        return self in self.group.members

    @property
    def ready(self) -> bool:
        """Whether a batch can be sent before the call returns, ahead of nothing else
        (update_group.Member)."""
        idle = not self.queue and not self._tables
        return idle and not self.link.congested and self._loc_rib.complete

    def refresh(self, family: Family) -> None:
        """The peer requests a refresh of a family."""
        if family in self.link.families:
            self._refreshes.request(family)

    def replay(self) -> None:
        """Queues all paths in the journal to be announced as they are there."""
        if not self.joined:
            self.group.members[self] = None
            self.fall_behind()
        self._to_replay = collections.deque(self._journal.left.items())

    def set_policy(self, policy: ExportPolicy) -> None:
        """The settings of the peer changed: everything is exported anew."""
        self.policy = policy
        if self.joined:
            self._groups.split(self, self._refusals.withheld)
            self.group.queue(self._loc_rib.routes)
        else:
            self.group = self._groups.join(self, self._refusals.withheld)

    def fall_behind(self) -> None:
        """Goes on in a group of its own (update_group.Member)."""
        self._groups.split(self, self._refusals.withheld)

    def close(self) -> None:
        """The session is over."""
        self._closed = True
        self.group.members.pop(self, None)

    # -- journal.Told ------------------------------------------------------------------------------

    @property
    def path_count(self) -> int:
        """How many paths the peer may have been told, about."""
        return self.group.path_count if self.joined else 0

    def paths(self) -> list[tuple[Network, SentPaths]]:
        """The paths that the peer may have been told."""
        if not self.joined:
            return []
        struck_out = [
            (prefix, as_sent(paths)) for batch in self.queue for prefix, paths in batch.struck_out
        ]
        return [*struck_out, *self.group.told()]

    def left(self) -> Mapping[Network, SentPaths]:
        """The paths that the peer may have when the session ends now."""
        if not self.joined:
            return self._journal.left
        if not self._journal.left and not self.queue and self.group.is_at_rest:
            return self.group.sent_paths()
        left = dict(self._journal.left)
        for prefix, paths in self.paths():
            left[prefix] = {**left[prefix], **paths} if prefix in left else paths
        return left

    # -- sending ------------------------------------------------------------------------------

    def send_slice(self) -> bool:
        """Sends the next slice; returns whether more can be sent now (rounds.Source)."""
        if self._closed or self.link.congested:
            return False
        if not self._loc_rib.may_be_sent:
            return self._replay_slice()
        self._to_replay.clear()
        return self._routes_slice() or (self._loc_rib.complete and self._rest_slice())

    def _routes_slice(self) -> bool:
        """The next slice of the table and its changes; returns whether there was one."""
        if not self.joined:
            return self._join()
        if self._tables:
            return self._table_slice()
        if self.group.compute_ahead(self):
            return True
        if self.queue:
            self.send_queue()
            return True
        return False

    def _rest_slice(self) -> bool:
        """The next slice of what comes after all routes; returns whether more can be sent now."""
        if self._refusals.searching:
            return self._try_refused()
        if self.end_of_rib_due:
            return self._end_of_rib_slice()
        if self._refresh_slice():
            return True
        if self._stale:
            return self._stale_slice()
        if not self._refusals.withheld:
            self._groups.rejoin(self)
        return False

    def _join(self) -> bool:
        """Becomes a member when the table of the group is up to date."""
        if not self.group.compute():
            self.group.members[self] = None
            graceful = self.link.graceful
            self._tables.extend(self.group.table(f, graceful) for f in sorted(self.link.families))
        return True

    def _table_slice(self) -> bool:
        """Sends a part of the table; changes wait, because they come after it."""
        table = self._tables[0]
        if table.encode_slice():
            return True
        sent = self._parts_sent
        self._parts_sent += 1
        if self._parts_sent >= len(table.parts):
            self._tables.popleft()
            self._parts_sent = 0
        self._send(table.parts[sent : sent + 1])
        return True

    def send_queue(self) -> None:
        """Sends all batches in the queue (update_group.Member)."""
        batches = list(self.queue)
        self.queue.clear()
        self._send(batches)

    def _replay_slice(self) -> bool:
        if self._to_replay:
            self.group.restore(_pop(self._to_replay, _SLICE_PATHS))
            self.send_queue()
        return bool(self._to_replay)

    def _try_refused(self) -> bool:
        wait = self._refusals.pause()
        if wait > 0:
            self._wait(wait)
            return False
        self._refusals.next_group()
        self.group.queue(self._loc_rib.routes)
        return True

    def _end_of_rib_slice(self) -> bool:
        """Withdraws stale paths, then sends End-of-RIB."""
        rib_out = self.group.rib_out
        if self._left_behind is None:
            self._left_behind = collections.deque(self._journal.left.items())
        if self._left_behind:
            left = _pop(self._left_behind, _SLICE_PATHS)
            self._send_difference(rib_out.stale(left))
            stale = [(prefix, self._not_sent(prefix, paths)) for prefix, paths in left]
            self._stale.append((self._clock() + _JOURNAL_DELAY_SECONDS, stale))
            return True
        families, self.end_of_rib_due = sorted(self.end_of_rib_due), frozenset()
        if self._journal.unfit:
            self._send_difference(rib_out.withdraw_unfit(self._journal.unfit.items()))
            self._journal.unfit = {}
        ends = [update.end_of_rib(family) for family in families]
        self._send([Batch(b"".join(ends), len(ends))])
        return True

    def _stale_slice(self) -> bool:
        """Strikes stale paths out of the journal once the peer has certainly read the
        withdrawal."""
        due_at, paths = self._stale[0]
        now = self._clock()
        if due_at > now:
            self._wait(due_at - now)
            return False
        self._stale.popleft()
        if self.link.graceful:
            gone = ((prefix, self._not_sent(prefix, path_ids)) for prefix, path_ids in paths)
            self._journal.append(struck_out([entry for entry in gone if entry[1]]))
            if not self._stale:
                self._journal.settle()
        return True

    def _not_sent(self, prefix: Network, path_ids: Iterable[PathId]) -> list[PathId]:
        return [path_id for path_id in path_ids if not self.group.rib_out.has(prefix, path_id)]

    def _refresh_slice(self) -> bool:
        """Begins a refresh, or ends it: the table and the changes meanwhile have been sent."""
        if self._refreshes.running is not None:
            self._send_marker(self._refreshes.end(), wire.Refresh.END)
            return True
        wait = self._refreshes.wait
        if wait is None:
            return False
        if wait > 0:
            self._wait(wait)
            return False
        family = self._refreshes.begin()
        self._send_marker(family, wire.Refresh.BEGIN)
        self._tables.append(self.group.table(family, journal=False))
        return True

    def _send_marker(self, family: Family, mark: wire.Refresh) -> None:
        if self.link.enhanced_refresh:
            self.link.send(wire.encode_route_refresh(family, mark))

    def _wait(self, seconds: float) -> None:
        """Schedules `send_slice`, unless it is scheduled for an earlier time."""
        now = self._clock()
        if not now < self._wake_at <= now + seconds:
            self._wake_at = now + seconds
            self._wake_after(seconds)

    def withdraw_all(self) -> None:
        """Withdraws everything before it returns."""
        if self.joined:
            self.send_queue()
            self._send([self.group.withdrawal()])

    def _send_difference(self, difference: Difference) -> None:
        """Sends what concerns this session alone, and is in its journal already."""
        self._send([encode(difference, self.max_length, journal=False)])

    def _send(self, batches: Collection[Batch]) -> None:
        """Sends batches.  Paths are written to the journal before they are announced."""
        if self.journals:
            octets = b"".join(batch.lines.octets for batch in batches)
            self._journal.append(Lines(octets, sum(batch.lines.paths for batch in batches)))
        for batch in batches:
            self._refusals.announced(batch.next_hops)
        updates = sum(batch.updates for batch in batches)
        if updates:
            self.link.send(b"".join(batch.octets for batch in batches))
            self.updated_at = self._clock()
            self._updates.inc(updates)


def _pop(left: _LeftBehind, most: int) -> list[tuple[Network, SentPaths]]:
    """Removes prefixes from the front until they have `most` paths."""
    found: list[tuple[Network, SentPaths]] = []
    while left and most > 0:
        found.append(left.popleft())
        most -= len(found[-1][1])
    return found
