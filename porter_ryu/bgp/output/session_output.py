"""What has still to be sent in one session, slice by slice.

The order is:

1. the paths in the journal, while the cluster cannot be read;
2. changes, which at first are the whole table;
3. paths that the peer refused earlier and that are tried again;
4. withdrawals of stale paths: those that an earlier session left with the peer;
5. End-of-RIB (RFC 4724, 4.1);
6. route refreshes (RFC 2918), with BoRR and EoRR where the peer supports them (RFC 7313);
7. withdrawn paths are struck out of the journal, some seconds after the peer was sent them.

A slice is a few milliseconds of work.  Messages are encoded only when the session can send them:
for a peer that does not read, prefixes pile up here and not messages.
"""

from __future__ import annotations

import collections
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from porter_ryu import metrics
from porter_ryu.bgp.output.journal import RouteJournal
from porter_ryu.bgp.output.refusals import Refusals
from porter_ryu.bgp.protocol import update, wire
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut, Difference, NextHops
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Address, Family, Network

T = TypeVar("T")
_LeftBehind = collections.deque[tuple[Network, NextHops]]

_SLICE_PREFIXES, _SLICE_PATHS = 512, 1024  # of a slice: some five milliseconds
_MIN_REFRESH_REST_SECONDS, _MAX_REFRESH_REST_SECONDS = 0.05, 1.0
_JOURNAL_DELAY_SECONDS = 5.0


@dataclass
class LocRib:
    """The Loc-RIB (RFC 4271, 3.2): what is to be announced, before the export policy of a peer.

    `complete`: everything that the cluster has is in it.  `replaying`: the cluster cannot be read,
    so that the journals are announced in its place.
    """

    routes: dict[Network, Announcements]
    path_ids: PathIds
    complete: bool = False
    replaying: bool = False


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

    def send(self, data: bytes) -> None:
        """Queues whole messages."""


class SessionOutput:
    """One session's Adj-RIB-Out, and what has still to be sent.

    `wake_after(seconds)` calls `send_slice` again after that time.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        rib_out: AdjRibOut,
        loc_rib: LocRib,
        journal: RouteJournal,
        refusals: Refusals,
        wake_after: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = link
        self.rib_out = rib_out
        self.end_of_rib_due = link.families
        self._updates = metrics.bgp_updates_sent.labels(peer=name)
        self._loc_rib = loc_rib
        self._journal = journal
        self._refusals = refusals
        self._wake_after = wake_after
        self._clock = clock
        self._changed: dict[Network, None] = {}
        self._batch: collections.deque[Network] = collections.deque()
        self._to_replay: _LeftBehind = collections.deque()
        self._left_behind: _LeftBehind | None = None
        self._refresh_requests: set[Family] = set()
        self._refreshing: collections.deque[Network] | None = None
        self._refresh_family = Family.IPV4
        self._refresh_began_at = 0.0
        self._withdrawals: collections.deque[tuple[float, Network, Collection[PathId]]] = (
            collections.deque()
        )
        self._wake_at = 0.0
        self._no_refresh_until = dict.fromkeys(Family, 0.0)

    # -- what has to be sent -----------------------------------------------------------------------

    def change(self, prefixes: Iterable[Network]) -> None:
        """Queues prefixes whose routes changed in the Loc-RIB."""
        self._changed.update(dict.fromkeys(prefixes))

    def change_at_once(self, prefixes: Collection[Network]) -> bool:
        """Sends changes of a few prefixes before it returns, ahead of everything that is queued.
        Returns False, and does nothing, if the session cannot send now."""
        if self.link.congested or not self._loc_rib.complete:
            return False
        self._send_changes(self.rib_out.sync(self._loc_rib.routes, prefixes))
        return True

    def refresh(self, family: Family) -> None:
        """The peer requests a refresh of a family.  One refresh of a family runs at a time; all
        requests that come meanwhile are answered by one more."""
        if family in self.link.families:
            self._refresh_requests.add(family)

    def replay(self) -> None:
        """Queues all paths in the journal to be announced as they are there."""
        self._to_replay = collections.deque(self._journal.paths.items())

    # -- sending ------------------------------------------------------------------------------

    def send_slice(self) -> bool:
        """Sends the next slice; returns whether more can be sent now."""
        if self.link.congested:
            return False
        if not self._loc_rib.complete:
            return self._replay_slice()
        self._to_replay.clear()
        if self._changed or self._batch:
            return self._changes_slice()
        if self._refusals.searching:
            return self._try_refused()
        if self.end_of_rib_due:
            return self._end_of_rib_slice()
        if self._refresh_slice():
            return True
        return self._journal_slice()

    def _replay_slice(self) -> bool:
        self._send_difference(self.rib_out.restore(_pop(self._to_replay, _SLICE_PATHS)))
        return bool(self._to_replay)

    def _changes_slice(self) -> bool:
        if not self._batch:
            self._batch.extend(self._changed)
            self._changed.clear()
        prefixes = itertools.islice(_popping(self._batch), _SLICE_PREFIXES)
        self._send_changes(self.rib_out.sync(self._loc_rib.routes, prefixes, most=_SLICE_PATHS))
        return True

    def _try_refused(self) -> bool:
        wait = self._refusals.pause()
        if wait > 0:
            self._wait(wait)
            return False
        self._refusals.next_group()
        self.change(self._loc_rib.routes)
        return True

    def _end_of_rib_slice(self) -> bool:
        """Withdraws stale paths, then sends End-of-RIB."""
        if self._left_behind is None:
            self._left_behind = collections.deque(self._journal.paths.items())
        if self._left_behind:
            paths = _pop(self._left_behind, _SLICE_PATHS)
            self._send_difference(self.rib_out.stale(paths))
            self._note_withdrawals((prefix, self._not_sent(prefix, hops)) for prefix, hops in paths)
            return True
        families, self.end_of_rib_due = sorted(self.end_of_rib_due), frozenset()
        self._send_difference(self.rib_out.withdraw_unfit(self._journal.unfit.items()))
        self._journal.unfit = {}
        self._send_messages([update.end_of_rib(family) for family in families])
        return True

    def _refresh_slice(self) -> bool:
        if self._refreshing is None:
            return self._begin_refresh()
        if self._refreshing:
            prefixes = itertools.islice(_popping(self._refreshing), _SLICE_PREFIXES)
            difference = self.rib_out.sync(
                self._loc_rib.routes, prefixes, again=True, most=_SLICE_PATHS
            )
            self._send_changes(difference)
            return True
        self._refreshing = None
        # a peer that requests refreshes without end gets at most half of the time
        now = self._clock()
        rest = min(
            max(_MIN_REFRESH_REST_SECONDS, now - self._refresh_began_at), _MAX_REFRESH_REST_SECONDS
        )
        self._no_refresh_until[self._refresh_family] = now + rest
        self._send_marker(wire.Refresh.END)
        return True

    def _begin_refresh(self) -> bool:
        now = self._clock()
        ready = [
            family
            for family in sorted(self._refresh_requests)
            if self._no_refresh_until[family] <= now
        ]
        if not ready:
            if self._refresh_requests:
                self._wait(
                    min(self._no_refresh_until[family] for family in self._refresh_requests) - now
                )
            return False
        family = ready[0]
        self._refresh_requests.discard(family)
        self._refresh_family = family
        self._refresh_began_at = now
        self._refreshing = collections.deque(p for p in self.rib_out.sent if p.version == family)
        self._send_marker(wire.Refresh.BEGIN)
        return True

    def _journal_slice(self) -> bool:
        """Strikes paths out of the journal once the peer has certainly read the withdrawal."""
        now = self._clock()
        if self._withdrawals and self._withdrawals[0][0] > now:
            self._wait(self._withdrawals[0][0] - now)
            return False
        gone: list[tuple[Network, Collection[PathId]]] = []
        while self._withdrawals and self._withdrawals[0][0] <= now and len(gone) < _SLICE_PREFIXES:
            _, prefix, path_ids = self._withdrawals.popleft()
            gone.append((prefix, self._not_sent(prefix, path_ids)))
        self._journal.remove(gone)
        return bool(self._withdrawals)

    def _not_sent(self, prefix: Network, path_ids: Iterable[PathId]) -> list[PathId]:
        return [path_id for path_id in path_ids if not self.rib_out.has(prefix, path_id)]

    def _note_withdrawals(self, paths: Iterable[tuple[Network, Collection[PathId]]]) -> None:
        due_at = self._clock() + _JOURNAL_DELAY_SECONDS
        before = len(self._withdrawals)
        if self.link.graceful:
            self._withdrawals.extend(
                (due_at, prefix, path_ids) for prefix, path_ids in paths if path_ids
            )
        if len(self._withdrawals) > before:
            self._wait(_JOURNAL_DELAY_SECONDS)

    def _send_marker(self, mark: wire.Refresh) -> None:
        if self.link.enhanced_refresh:
            self.link.send(wire.encode_route_refresh(self._refresh_family, mark))

    def _wait(self, seconds: float) -> None:
        """Schedules `send_slice`, unless it is scheduled for an earlier time."""
        now = self._clock()
        if not now < self._wake_at <= now + seconds:
            self._wake_at = now + seconds
            self._wake_after(seconds)

    def withdraw_all(self) -> None:
        """Withdraws everything before it returns."""
        self._send_difference(self.rib_out.withdraw_all())

    def _send_changes(self, difference: Difference) -> None:
        """Sends a difference.  Paths are written to the journal before they are announced."""
        if self.link.graceful:
            self._journal.add(difference.next_hops())
        self._send_difference(difference)
        self._note_withdrawals(difference.withdrawn)

    def _send_difference(self, difference: Difference) -> None:
        self._refusals.announced(_distinct_next_hops(difference))
        self._send_messages(list(difference.messages(self.rib_out.policy.max_length)))

    def _send_messages(self, messages: list[bytes]) -> None:
        if messages:
            self._updates.inc(len(messages))
            self.link.send(b"".join(messages))


def _pop(left: _LeftBehind, most: int) -> list[tuple[Network, NextHops]]:
    """Removes prefixes from the front until they have `most` paths."""
    found: list[tuple[Network, NextHops]] = []
    while left and most > 0:
        found.append(left.popleft())
        most -= len(found[-1][1])
    return found


def _distinct_next_hops(difference: Difference) -> Iterable[Address]:
    """The next hops in a difference, each once."""
    shared = {id(paths): paths for _, paths in difference.announced}
    return dict.fromkeys(said.next_hop for paths in shared.values() for said in paths.values())


def _popping(items: collections.deque[T]) -> Iterator[T]:
    """Removes items from the front, one at each step."""
    while items:
        yield items.popleft()
