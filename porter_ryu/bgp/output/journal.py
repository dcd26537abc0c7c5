"""The journal of announced paths: which paths a peer may have from us, on disk.

A peer with graceful restart keeps our routes while we restart.  After `kill -9` this file tells
which of them have to be withdrawn, and what to announce if the cluster cannot be read.  It may list
too many paths, never too few: a path is written before it is announced, and struck out some seconds
after it was withdrawn.  It is an append-only file that is rewritten when most of it is history.

What the file says is not held in memory a second time: it is what earlier sessions left with the
peer, and what the present session may have told it (`Told`).

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
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol
from urllib.parse import quote

from eventlet import tpool
from eventlet.semaphore import Semaphore

from porter_ryu import atomic_file
from porter_ryu.backoff import Backoff
from porter_ryu.bgp.output import journal_reading
from porter_ryu.bgp.output.journal_line import Lines, kept, struck_out
from porter_ryu.bgp.protocol.rib_out import SentPaths
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.model import Network
from porter_ryu.log import reason_of
from porter_ryu.problem_log import ProblemLog
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_FOLDER = "announced"
_MIN_HISTORY_PATHS, _OCTETS_PER_PATH = 1000, 64
_SLICE_PREFIXES = 512
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
        self._folder = os.path.join(state_dir, _FOLDER)
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


def any_paths(state_dir: str) -> bool:
    """Whether the journal of a peer has a path, or cannot be read."""
    folder = os.path.join(state_dir, _FOLDER)
    try:
        names = [name for name in os.listdir(folder) if not name.startswith(".")]
        return any(journal_reading.read(os.path.join(folder, name)).paths for name in names)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True


class Told(Protocol):
    """What the peer may have been told in the present session."""

    @property
    def path_count(self) -> int:
        """How many paths that are, about."""

    def paths(self) -> list[tuple[Network, SentPaths]]:
        """The paths by prefix; a prefix may be in it more than once, and then the last form of a
        path counts."""


class RouteJournal:
    """Paths by prefix and path identifier, of one peer, with the attributes of their own.

    `left`: what earlier sessions left with the peer, `left_count` paths.  `known` is False if the
    file of an earlier run could not be read: then it is not known which paths the peer has.
    `unfit` are paths in the file whose next hop is never valid: they are not announced again, but
    may have to be withdrawn.
    """

    def __init__(
        self, path: str, supervisor: Supervisor, one_at_a_time: Semaphore | None = None
    ) -> None:
        self.left: Mapping[Network, SentPaths] = {}
        self.unfit: Mapping[Network, Collection[PathId]] = {}
        self.known = True
        self._told: Told | None = None
        self._path = path
        self._supervisor = supervisor
        self._one_at_a_time = one_at_a_time or Semaphore()
        self.left_count = self._written_paths = self._written_octets = 0
        self._needed_octets = 0
        self._problems = ProblemLog(LOG, _UNWRITABLE, _WRITTEN_AGAIN)
        self._rewrite_due = False
        self._since: list[Lines] | None = None
        self._generation = 0
        self._backoff = Backoff(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        self._load()

    @property
    def writable(self) -> bool:
        """Whether the last write succeeded."""
        return not self._problems.current(self._path)

    def begin(self, told: Told) -> None:
        """A session begins: `told` is what the peer may have been told in it, at any time."""
        self._told = told

    def end(self, left: Mapping[Network, SentPaths]) -> None:
        """The session is over, and left these paths with the peer."""
        self._told = None
        self._set_left(left)

    def append(self, lines: Lines) -> None:
        """Writes lines about paths that are about to be announced, or whose withdrawal the peer has
        certainly read."""
        if not lines.octets:
            return
        if self._since is not None:
            self._since.append(lines)
        if not self.writable:
            return
        try:
            _append(self._path, lines.octets, new=not self._written_paths)
        except OSError as error:
            self._failed(error)
            return
        self._written_paths += lines.paths
        self._written_octets += len(lines.octets)
        if self._has_too_much_history and not self._rewrite_due:
            self._rewrite_due = True
            self._supervisor.spawn("journal", self._rewrite)

    def strike_out(self, paths: Sequence[tuple[Network, Collection[PathId]]]) -> None:
        """Strikes out paths that an earlier session left and the peer does not have any more."""
        left = dict(self.left)
        for prefix, path_ids in paths:
            kept_paths = {i: path for i, path in left.pop(prefix, {}).items() if i not in path_ids}
            if kept_paths:
                left[prefix] = kept_paths
        self._set_left(left)
        self.append(struck_out(paths))

    def settle(self) -> None:
        """Everything that earlier sessions left was announced again or struck out."""
        self._set_left({})

    def clear(self) -> None:
        """Strikes out everything; the present session, if any, does not count any more."""
        self._told = None
        self._set_left({})
        if self._written_paths:
            self._replace_now()

    def save(self) -> None:
        """Rewrites a file that could not be written, before this returns: at the end of the process
        no later retry would run."""
        if not self.writable:
            self._replace_now()

    @property
    def _count(self) -> int:
        """Paths that the file has to have, about."""
        return self.left_count + (self._told.path_count if self._told is not None else 0)

    @property
    def _has_too_much_history(self) -> bool:
        """Whether most of the file is history: too many paths, or too many attributes."""
        paths = 2 * self._count + _MIN_HISTORY_PATHS
        octets = 2 * self._needed_octets + paths * _OCTETS_PER_PATH
        return self._written_paths > paths or self._written_octets > octets

    def _set_left(self, left: Mapping[Network, SentPaths]) -> None:
        self.left = left
        self.left_count = sum(map(len, left.values()))

    def _table(self) -> list[tuple[Network, SentPaths]]:
        """All paths that the file has to have.  A prefix may be in it more than once."""
        told = self._told.paths() if self._told is not None else []
        return [*self.left.items(), *told]

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
        self._set_left(contents.paths)
        self.unfit = contents.unfit
        self._written_paths = contents.written
        self._written_octets = self._needed_octets = contents.octets
        if contents.damaged or self.unfit:
            self._replace_now()

    def _set_aside(self) -> None:
        """Renames a file that cannot be read, so that a new one can take its place."""
        with contextlib.suppress(OSError):
            os.replace(self._path, _hidden(self._path, "unreadable"))

    # -- writing ------------------------------------------------------------------------------

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
        since: list[Lines] = []
        self._since = since
        lines = self._all_lines()
        with atomic_file.Draft(self._path) as draft:
            tpool.execute(_write_down, draft, b"".join(part.octets for part in lines))
            draft.append(b"".join(part.octets for part in since))
            if generation == self._generation:
                draft.publish(durable=False)
                self._written([*lines, *since])

    def _all_lines(self) -> list[Lines]:
        """The present contents, made in slices."""
        give_way = TimeSlice()
        table = self._table()
        lines = []
        for start in range(0, len(table), _SLICE_PREFIXES):
            lines.append(kept(table[start : start + _SLICE_PREFIXES]))
            give_way()
        return lines

    def _replace_now(self) -> None:
        """As `_rewrite`, without giving way: for what happens once in a session."""
        self._generation += 1
        lines = kept(self._table())
        try:
            atomic_file.write(self._path, lines.octets)
        except OSError as error:
            self._failed(error)
            return
        self._written([lines])

    def _written(self, lines: Iterable[Lines]) -> None:
        lines = list(lines)
        self._written_paths = sum(part.paths for part in lines)
        self._written_octets = self._needed_octets = sum(len(part.octets) for part in lines)
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
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    if new:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        flags |= os.O_CREAT
    descriptor = os.open(path, flags, 0o644)
    try:
        atomic_file.write_all(descriptor, octets)
    finally:
        os.close(descriptor)
