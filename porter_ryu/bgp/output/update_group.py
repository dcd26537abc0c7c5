"""An update group: the sessions whose peers see the same, so that it is computed and encoded once.

The members have one export policy and one Adj-RIB-Out.  What changes is encoded as a batch, which
every member is sent, so no message is longer than any of them can be sent.  A member that cannot
keep up leaves with a copy of the table as its peer has it, and goes on in a group of its own until
it has caught up.
"""

from __future__ import annotations

import collections
import itertools
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Protocol

from porter_ryu.bgp.output.batch import Batch, EncodedTable, encode
from porter_ryu.bgp.output.journal_line import struck_out
from porter_ryu.bgp.output.loc_rib import LocRib
from porter_ryu.bgp.output.rounds import OutputRounds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut, Difference, SentPaths, as_sent
from porter_ryu.bgp.protocol.update import Attributes, PathId, Paths
from porter_ryu.bgp.protocol.wire import MAX_LENGTH
from porter_ryu.domain.model import Family, Network
from porter_ryu.supervisor import Supervisor

_IMMEDIATE_PREFIXES = 16
_SLICE_PREFIXES, _SLICE_PATHS = 512, 1024  # of a slice: some five milliseconds
_SLICE_SECONDS = 0.005  # a choice among many nodes takes longer
_AHEAD_OCTETS_PER_MEMBER = 1024
_MAX_LAG_SECONDS, _MAX_LAG_OCTETS = 2.0, 1 << 20
# longer than a member may lag, so that every peer has read a withdrawal by then
_JOURNAL_DELAY_SECONDS, _JOURNAL_INTERVAL_SECONDS = 5.0, 0.5
# peers come up one after the other, each when it has been sent its table before the next one
_TABLE_KEPT_SECONDS = 10.0


class Member(Protocol):
    """A session, as its group sees it.  `queue`: the batches that it has still to be sent."""

    queue: collections.deque[Batch]

    @property
    def journals(self) -> bool:
        """Whether what it is sent is written to its journal first."""

    @property
    def max_length(self) -> int:
        """The longest message that it can be sent, in octets."""

    @property
    def ready(self) -> bool:
        """Whether it can send before the call returns, and has nothing else to send first."""

    def send_queue(self) -> None:
        """Sends all batches in the queue."""

    def send_slice(self) -> bool:
        """Sends the next slice (rounds.Source)."""

    def fall_behind(self) -> None:
        """Leaves the group, because it cannot keep up."""


class UpdateGroup:
    """Sessions with one table.  A session refers to its group from its beginning, and becomes one
    of the `members` when the whole table, as it is then, is queued for it."""

    def __init__(
        self,
        rib_out: AdjRibOut,
        loc_rib: LocRib,
        rounds: OutputRounds,
        supervisor: Supervisor,
        clock: Callable[[], float],
    ) -> None:
        self.rib_out = rib_out
        self.members: dict[Member, None] = {}
        self._loc_rib = loc_rib
        self._rounds = rounds
        self._supervisor = supervisor
        self._clock = clock
        self._changed: dict[Network, None] = dict.fromkeys(loc_rib.routes)
        self._slice: collections.deque[Network] = collections.deque()
        self._withdrawn: dict[tuple[Network, PathId], tuple[Attributes, float]] = {}
        self._tables: weakref.WeakValueDictionary[tuple[Family, bool, int], EncodedTable] = (
            weakref.WeakValueDictionary()
        )
        self._kept_tables: dict[tuple[Family, bool, int], EncodedTable] = {}
        self._sent_paths: Mapping[Network, SentPaths] | None = None
        self._withdrawal: tuple[int, Batch] | None = None

    # -- what has to be sent -----------------------------------------------------------------------

    def change(self, prefixes: Collection[Network]) -> bool:
        """These prefixes changed in the Loc-RIB.  Up to 16 are sent before this returns, to every
        member that can send.  Returns whether nothing is left for later."""
        if 0 < len(prefixes) <= _IMMEDIATE_PREFIXES and any(m.ready for m in self.members):
            return self._deliver(self._encode(self._sync(prefixes)))
        self.queue(prefixes)
        return False

    def queue(self, prefixes: Iterable[Network]) -> None:
        """Queues prefixes to be compared with the Loc-RIB."""
        self._changed.update(dict.fromkeys(prefixes))
        for member in self.members:
            self._rounds.due(member)

    @property
    def journals(self) -> bool:
        """Whether a member has a journal."""
        return any(member.journals for member in self.members)

    @property
    def max_length(self) -> int:
        """The longest message that all members can be sent, in octets."""
        return min((member.max_length for member in self.members), default=MAX_LENGTH)

    @property
    def is_current(self) -> bool:
        """Whether the table has everything that changed."""
        return not self._changed and not self._slice

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is left to be computed, and no withdrawal to be struck out."""
        return self.is_current and not self._withdrawn

    def compute_ahead(self, member: Member) -> bool:
        """Computes one slice of the changes for all members, unless what `member` has still to
        send is worth a turn of every member; returns whether it did."""
        if _waiting_octets(member) >= _AHEAD_OCTETS_PER_MEMBER * len(self.members):
            return False
        return self.compute()

    def compute(self) -> bool:
        """Computes one slice of the changes for all members; returns False if there was none."""
        if not self._slice:
            # prefixes by the same paths one after the other, so that they share messages
            routes = self._loc_rib.routes
            self._slice.extend(sorted(self._changed, key=lambda prefix: id(routes.get(prefix))))
            self._changed.clear()
        if not self._slice:
            return False
        prefixes = itertools.islice(self._popping(), _SLICE_PREFIXES)
        difference = self._sync(prefixes, _SLICE_PATHS)
        if self.members:
            self._enqueue(self._encode(difference))
        return True

    def _popping(self) -> Iterator[Network]:
        """Removes prefixes from the front of the slice, one at each step, until its time is up."""
        ends_at = self._clock() + _SLICE_SECONDS
        while self._slice:
            yield self._slice.popleft()
            if self._clock() > ends_at:
                return

    def restore(self, left: Iterable[tuple[Network, SentPaths]]) -> None:
        """Announces paths that an earlier run left.  They are in the journal already."""
        difference = self.rib_out.restore(left, self._clock())
        self._table_changed()
        self._enqueue(self._encode(difference, journal=False))

    def table(self, family: Family, journal: bool) -> EncodedTable:
        """The whole table of a family as it is now; with `journal` also as lines of a journal.  It
        is kept for ten seconds at most, unless it changes, for the sessions that come next."""
        which = (family, journal, self.max_length)
        known = self._tables.get(which)
        if known is None:
            paths = [entry for entry in self.rib_out.sent.items() if entry[0].version == family]
            known = EncodedTable(paths, self.max_length, journal)
            self._tables[which] = self._kept_tables[which] = known
            self._after(_TABLE_KEPT_SECONDS, "table", UpdateGroup._drop_tables)
        return known

    def _drop_tables(self) -> None:
        """Keeps the whole tables no longer than they are sent."""
        self._kept_tables.clear()

    def withdrawal(self) -> Batch:
        """Withdrawals of the whole table."""
        known = self._withdrawal
        if known is None or known[0] > self.max_length:
            gone = [(prefix, tuple(paths)) for prefix, paths in self.rib_out.sent.items()]
            known = (self.max_length, self._encode(Difference(withdrawn=gone)))
            self._withdrawal = known
        return known[1]

    # -- members -----------------------------------------------------------------------------------

    def table_of(self, member: Member) -> dict[Network, Paths]:
        """The table as the peer of a member will have it before its queue is sent."""
        table = dict(self.rib_out.sent)
        for batch in reversed(member.queue):
            for prefix, paths in batch.before.items():
                if paths:
                    table[prefix] = paths
                else:
                    table.pop(prefix, None)
        return table

    def split(self, member: Member, rib_out: AdjRibOut) -> UpdateGroup:
        """A member leaves to a group of its own with the table `rib_out`; what it has not been sent
        is computed there anew."""
        group = UpdateGroup(rib_out, self._loc_rib, self._rounds, self._supervisor, self._clock)
        behind = {prefix: None for batch in member.queue for prefix in batch.before}
        group._changed = {**behind, **dict.fromkeys(self._slice), **self._changed}
        group._withdrawn.update(self._withdrawn)
        due_at = self._clock() + _JOURNAL_DELAY_SECONDS
        for prefix, path_id, said in self._unsent(member.queue):
            if not rib_out.has(prefix, path_id):
                group._withdrawn[prefix, path_id] = (said, due_at)
        if group._withdrawn:
            group._wake_after(_JOURNAL_DELAY_SECONDS)
        member.queue.clear()
        del self.members[member]
        group.members[member] = None
        return group

    def _unsent(self, queue: Iterable[Batch]) -> Iterator[tuple[Network, PathId, Attributes]]:
        """All paths that these batches announce, withdraw or strike out of the journal.  A path
        that was withdrawn earlier and that one of them announces again is still in the journal."""
        for batch in queue:
            for prefix, paths in batch.struck_out:
                for path_id, said in paths.items():
                    yield prefix, path_id, said
            for prefix, before in batch.before.items():
                for paths in (before, self.rib_out.sent.get(prefix, {})):
                    for path_id, said in paths.items():
                        yield prefix, path_id, said

    # -- batches -----------------------------------------------------------------------------------

    def _sync(self, prefixes: Iterable[Network], most: int = 0) -> Difference:
        difference = self.rib_out.sync(self._loc_rib.routes, prefixes, most, self._clock())
        self._table_changed()
        self._note_withdrawals(difference)
        return difference

    def _encode(self, difference: Difference, journal: bool = True) -> Batch:
        journal = journal and self.journals
        return encode(difference, self.max_length, self._clock(), journal)

    def _table_changed(self) -> None:
        if self._tables:  # those that are kept are in it, too
            self._tables.clear()
            self._kept_tables.clear()
        self._sent_paths = self._withdrawal = None

    def _enqueue(self, batch: Batch) -> None:
        if not batch.octets and not batch.lines.octets:
            return
        for member in self.members:
            member.queue.append(batch)
        for member in [m for m in self.members if _lags(m, batch.made_at)]:
            member.fall_behind()

    def _deliver(self, batch: Batch) -> bool:
        """Has a batch sent at once by all members that can, first by those without a journal, which
        takes as long as the rest; returns whether all could."""
        ready = sorted((m for m in self.members if m.ready), key=lambda member: member.journals)
        self._enqueue(batch)
        waiting = dict(self.members)
        try:
            for member in ready:
                member.send_queue()
                del waiting[member]
        finally:
            for member in waiting:
                self._rounds.due(member)
        return not waiting

    # -- journals ----------------------------------------------------------------------------------

    @property
    def path_count(self) -> int:
        """How many paths the peers may have (journal.Told)."""
        return sum(map(self.rib_out.count, Family)) + len(self._withdrawn)

    def told(self) -> list[tuple[Network, SentPaths]]:
        """The paths that the peers may have: those that were withdrawn some seconds ago, and those
        in the table, which may have another form of the same path."""
        withdrawn = [
            (prefix, as_sent({path_id: said}))
            for (prefix, path_id), (said, _) in self._withdrawn.items()
        ]
        return [*withdrawn, *self.sent_paths().items()]

    def sent_paths(self) -> Mapping[Network, SentPaths]:
        """The paths of the table, as a journal keeps them."""
        if self._sent_paths is None:
            known: dict[int, SentPaths] = {}
            for paths in self.rib_out.sent.values():
                if id(paths) not in known:
                    known[id(paths)] = as_sent(paths)
            sent = self.rib_out.sent.items()
            self._sent_paths = {prefix: known[id(paths)] for prefix, paths in sent}
        return self._sent_paths

    def _note_withdrawals(self, difference: Difference) -> None:
        """Has withdrawn paths struck out of the journals in some seconds."""
        due_at = self._clock() + _JOURNAL_DELAY_SECONDS
        idle = not self._withdrawn
        for prefix, path_ids in difference.withdrawn:
            before = difference.before[prefix]
            for path_id in path_ids:
                self._withdrawn.pop((prefix, path_id), None)
                self._withdrawn[prefix, path_id] = (before[path_id], due_at)
        if idle and self._withdrawn:
            self._wake_after(_JOURNAL_DELAY_SECONDS)

    def _wake_after(self, seconds: float) -> None:
        self._after(seconds, "journal", lambda group: group._rounds.due(group))

    def _after(self, seconds: float, name: str, run: Callable[[UpdateGroup], object]) -> None:
        """Runs something later, unless the group is gone by then: this does not keep it."""
        reference = weakref.ref(self)

        def run_if_there() -> None:
            group = reference()
            if group is not None:
                run(group)

        self._supervisor.after(seconds, name, run_if_there)

    def send_slice(self) -> bool:
        """Has paths struck out of the journals whose withdrawal every peer has certainly read
        (rounds.Source)."""
        now = self._clock()
        first = itertools.islice(self._withdrawn.items(), _SLICE_PATHS)
        due = [key for key, (_, due_at) in first if due_at <= now]
        gone: dict[Network, dict[PathId, Attributes]] = {}
        for prefix, path_id in due:
            said, _ = self._withdrawn.pop((prefix, path_id))
            if not self.rib_out.has(prefix, path_id):
                gone.setdefault(prefix, {})[path_id] = said
        if gone:
            paths = list(gone.items())
            self._deliver(Batch(b"", 0, struck_out(paths), struck_out=paths, made_at=now))
        if due:
            return True
        for _, due_at in self._withdrawn.values():
            self._wake_after(max(due_at - now, _JOURNAL_INTERVAL_SECONDS))
            return False
        for member in self.members:
            self._rounds.due(member)
        return False


def _lags(member: Member, now: float) -> bool:
    """Whether a member has not been sent batches for too long, or too many."""
    if member.queue[0].made_at < now - _MAX_LAG_SECONDS:
        return True
    return len(member.queue) > 1 and _waiting_octets(member) > _MAX_LAG_OCTETS


def _waiting_octets(member: Member) -> int:
    """How much a member has still to be sent."""
    return sum(len(batch.octets) for batch in member.queue)
