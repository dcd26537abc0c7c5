"""The journal of announced paths: which paths a peer may have from us, on disk.

A peer with graceful restart keeps our routes while we restart.  After `kill -9` this file tells
which of them have to be withdrawn, and what to announce if the cluster cannot be read.  It may list
too many paths, never too few: a path is written before it is announced, and struck out some seconds
after it was withdrawn.  It is an append-only file that is rewritten when most of it is history.

Appends are not synced to disk: they survive the process.  If the host loses power, the last half
minute may be lost; then a peer keeps paths that were withdrawn in that time until our restart time
is over.

A full disk delays no announcement.  After a failed write the file is not trusted: nothing is
appended until it is rewritten as a whole, which is retried with backoff.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import quote

from eventlet import tpool
from eventlet.semaphore import Semaphore

from porter_ryu import atomic_file
from porter_ryu.backoff import Backoff
from porter_ryu.bgp.output import journal_reading
from porter_ryu.bgp.output.journal_line import (
    announced,
    struck_out,
)
from porter_ryu.bgp.protocol.rib_out import NextHops
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.model import Network
from porter_ryu.log import reason_of
from porter_ryu.problem_log import ProblemLog
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_MIN_HISTORY_LINES = 1000
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.25, 5.0
_UNWRITABLE = (
    "the journal %(subject)s cannot be written (%(problem)s): routes are announced nevertheless; "
    "if this process is killed now, routes that are withdrawn meanwhile may stay at the peer for "
    "our restart time"
)
_WRITTEN_AGAIN = "the journal %(subject)s is written again, with all of its paths"


class Journals:
    """The journals of all peers by name, for as long as the process runs: a peer whose settings
    change keeps its journal."""

    def __init__(self, state_dir: str, supervisor: Supervisor) -> None:
        self._folder = os.path.join(state_dir, "announced")
        self._supervisor = supervisor
        self._one_at_a_time = Semaphore()
        self._known: dict[str, RouteJournal] = {}

    def of(self, peer: str) -> RouteJournal:
        """The journal of a peer; it is read at the first call."""
        if peer not in self._known:
            # hidden files are those being written or set aside, so a peer never has one
            name = quote(peer, safe="").replace(".", "%2E", 1 if peer.startswith(".") else 0)
            path = os.path.join(self._folder, name)
            self._known[peer] = RouteJournal(path, self._supervisor, self._one_at_a_time)
        return self._known[peer]

    @property
    def writable(self) -> bool:
        """Whether the last write of every journal succeeded."""
        return all(journal.writable for journal in self._known.values())


class RouteJournal:
    """Next hops by prefix and path identifier, of one peer.

    `known` is False if the file of an earlier run could not be read: then it is not known which
    paths the peer has.  `unfit` are paths in the file whose next hop is never valid: they are not
    announced again, but may have to be withdrawn.
    """

    def __init__(
        self, path: str, supervisor: Supervisor, one_at_a_time: Semaphore | None = None
    ) -> None:
        self.paths: dict[Network, NextHops] = {}
        self.unfit: Mapping[Network, Collection[PathId]] = {}
        self.known = True
        self._path = path
        self._supervisor = supervisor
        self._one_at_a_time = one_at_a_time or Semaphore()
        self._count = self._lines = 0
        self._problems = ProblemLog(LOG, _UNWRITABLE, _WRITTEN_AGAIN)
        self._rewrite_due = False
        self._since: list[bytes] | None = None
        self._generation = 0
        self._backoff = Backoff(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        self._load()

    @property
    def writable(self) -> bool:
        """Whether the last write succeeded."""
        return not self._problems.current(self._path)

    def add(self, paths: Iterable[tuple[Network, NextHops]]) -> None:
        """Writes paths that are about to be announced; keeps the mappings that it is given."""
        lines: list[bytes] = []
        for prefix, next_hops in paths:
            before = self.paths.get(prefix)
            if before is None:
                self.paths[prefix] = new = next_hops
            elif before == next_hops:
                continue
            else:
                new = {i: hop for i, hop in next_hops.items() if before.get(i) != hop}
                self.paths[prefix] = {**before, **new}
            self._count += len(self.paths[prefix]) - len(before or ())
            lines += announced(prefix, new)
        self._append(lines)

    def remove(self, paths: Iterable[tuple[Network, Collection[PathId]]]) -> None:
        """Strikes out paths that the peer does not have any more."""
        lines: list[bytes] = []
        for prefix, path_ids in paths:
            before = self.paths.get(prefix, {})
            gone = before.keys() & path_ids
            if not gone:
                continue  # the mapping is shared with other prefixes
            left = {path_id: hop for path_id, hop in before.items() if path_id not in gone}
            if left:
                self.paths[prefix] = left
            else:
                self.paths.pop(prefix, None)
            self._count -= len(gone)
            lines += struck_out(prefix, gone)
        self._append(lines)

    def clear(self) -> None:
        """Strikes out everything."""
        if self.paths or self._lines:
            self.paths.clear()
            self._count = 0
            self._replace_now()

    def save(self) -> None:
        """Rewrites a file that could not be written, before this returns: at the end of the process
        no later retry would run."""
        if not self.writable:
            self._replace_now()

    # -- reading ------------------------------------------------------------------------------

    def _load(self) -> None:
        try:
            contents = journal_reading.read(self._path)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self.known = False
            LOG.error(
                "the journal %s cannot be read (%s): which routes its peer still has from an "
                "earlier run is not known; routes that are not wanted any more stay there until "
                "our restart time is over at most",
                self._path,
                reason_of(error),
            )
            self._set_aside()
            return
        self.paths.update(contents.paths)
        self.unfit = contents.unfit
        self._count = sum(map(len, self.paths.values()))
        self._lines = contents.lines
        if contents.damaged or self.unfit:
            self._replace_now()

    def _set_aside(self) -> None:
        """Renames a file that cannot be read, so that a new one can take its place."""
        with contextlib.suppress(OSError):
            os.replace(self._path, _hidden(self._path, "unreadable"))

    # -- writing ------------------------------------------------------------------------------

    def _append(self, lines: list[bytes]) -> None:
        if not lines:
            return
        if self._since is not None:
            self._since += lines
        if not self.writable:
            return
        try:
            _append(self._path, b"".join(lines), new=not self._lines)
        except OSError as error:
            self._failed(error)
            return
        self._lines += len(lines)
        if self._lines > 2 * self._count + _MIN_HISTORY_LINES and not self._rewrite_due:
            self._rewrite_due = True
            self._supervisor.spawn("journal", self._rewrite)

    def _failed(self, error: OSError) -> None:
        """Stops trusting the file; a rewrite is retried until it succeeds."""
        self._problems.update(self._path, reason_of(error))
        self._try_again()

    def _try_again(self) -> None:
        if not self.writable and not self._rewrite_due:
            self._rewrite_due = True
            self._supervisor.after(self._backoff.next(), "journal", self._rewrite)

    def _rewrite(self) -> None:
        try:
            with self._one_at_a_time:
                self._replace()
        except OSError as error:
            self._failed(error)
        finally:
            self._since = None
            self._rewrite_due = False
            self._try_again()

    def _replace(self) -> None:
        """Replaces the file by one with the current paths.  Other greenthreads run meanwhile; lines
        that they add go into both files."""
        generation = self._generation
        since: list[bytes] = []
        self._since = since
        octets, count = self._text()
        with atomic_file.Draft(self._path) as draft:
            tpool.execute(_write_down, draft, octets)
            draft.append(b"".join(since))
            if generation == self._generation:
                draft.publish(durable=False)
                self._written(count + len(since))

    def _text(self) -> tuple[bytes, int]:
        give_way = TimeSlice()
        lines = []
        for prefix, next_hops in list(self.paths.items()):
            lines += announced(prefix, next_hops)
            give_way()
        return b"".join(lines), len(lines)

    def _replace_now(self) -> None:
        """As `_rewrite`, without giving way: for what happens once in a session."""
        self._generation += 1
        lines = [line for entry in self.paths.items() for line in announced(*entry)]
        try:
            atomic_file.write(self._path, b"".join(lines))
        except OSError as error:
            self._failed(error)
            return
        self._written(len(lines))

    def _written(self, lines: int) -> None:
        self._lines = lines
        self._backoff.reset()
        self._problems.update(self._path, "")


def _write_down(draft: atomic_file.Draft, octets: bytes) -> None:
    draft.append(octets)
    draft.sync()


def _hidden(path: str, suffix: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{suffix}")


def _append(path: str, octets: bytes, new: bool) -> None:
    """Appends whole lines to a file; raises OSError if not all of them were written."""
    if not octets:
        return
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    if new:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        flags |= os.O_CREAT
    descriptor = os.open(path, flags, 0o644)
    try:
        atomic_file.write_all(descriptor, octets)
    finally:
        os.close(descriptor)
