"""The interfaces between the packages: sources report the state of the cluster to an observer, and
targets get what is wanted.  Neither side imports the other."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import Protocol

from msgspec import Struct, field

from porter_ryu.domain.announcement import Announcements, Route
from porter_ryu.domain.model import Kind, Network, ObjectKey
from porter_ryu.domain.objects import ObjectStatus, Reading, WithStatus

NOT_KNOWN = "NotKnown"
"""In place of the reason why something is not there, while nothing was read; it is public API."""


class Role(enum.Enum):
    """The role of an instance among those that can assign addresses.

    UNKNOWN at first, and while the API server cannot be reached: then the instance assigns and
    writes nothing, and what it has bound stays.
    """

    LEADER = enum.auto()
    FOLLOWER = enum.auto()
    UNKNOWN = enum.auto()


class Observer(Protocol):
    """Gets the state of the cluster.

    `read_at` is time.monotonic() when the bytes were read, in seconds.  An object is good,
    Unreadable (its last good form and its record stay), or gone.
    """

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """A complete list of one kind; an object that is not in it is gone."""

    def put(self, obj: Reading, read_at: float) -> None:
        """One object was added or changed."""

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        """One object is gone."""


class SourceState(Struct, frozen=True):
    """Where the state of the cluster comes from, and how fresh it is.

    `what`: a URL or a directory, in words.  `last_event` and `last_list`: when something was heard
    of a kind, and when all of it was read, last; Unix times in seconds, without the kinds of which
    nothing was heard.  `trouble` as of the Source.  `last_watch`: when a watch was last begun.  The
    API server ends each within a minute, so this is recent also where nothing changes.
    `unreadable`: how many files cannot be read, or not all of them; `unreadable_first`: where and
    why, of the first of them; `unreadable_reasons`: why an object cannot be read that is in one of
    them, or may be.  `note`: what is no problem and should be known; empty: nothing.
    `mend`: what to do about `trouble`; empty: nothing special.
    """

    what: str
    last_event: Mapping[Kind, float]
    last_list: Mapping[Kind, float]
    trouble: str
    last_watch: Mapping[Kind, float] = field(default_factory=dict)
    unreadable: int = 0
    unreadable_first: tuple[str, ...] = ()
    unreadable_reasons: frozenset[str] = frozenset()
    note: str = ""
    mend: str = ""

    @property
    def unread(self) -> str:
        """Why nothing can be said of what is there or not; empty once every kind was listed."""
        if all(kind in self.last_list for kind in Kind):
            return ""
        text = f"it is not known: {self.what} has not been read"
        return f"{text}: {self.trouble}" if self.trouble else f"{text} yet"

    def on_absence(self, text: str) -> str:
        """A sentence that says that something is not there, with what makes that doubtful; while
        nothing was read, that it is not known."""
        return self.unread or f"{text}{self.doubt}"

    @property
    def doubt(self) -> str:
        """What to add where it is said that something is not there, as a part of a sentence: it may
        be in a file that cannot be read.  Empty where all can be read."""
        if not self.unreadable:
            return ""
        first = self.unreadable_first[0]
        if self.unreadable == 1:
            return f"; it may be in a file that cannot be read, or not all of it: {first}"
        return f"; it may be in one of {self.unreadable:,} files that cannot be read: {first}"


class Source(Protocol):
    """Reads objects of the five kinds and reports them to an Observer until it is stopped."""

    @property
    def state(self) -> SourceState:
        """Where it reads, and how fresh it is."""

    @property
    def trouble(self) -> str:
        """Why the source cannot be read now; empty while it can."""

    def start(self, observer: Observer) -> None:
        """Starts its greenthreads and returns."""

    def stop(self) -> None:
        """Stops them."""


class StatusTarget(Protocol):
    """Writes the wanted status of Services and Eips, on its own greenthreads."""

    def want(self, obj: WithStatus, status: ObjectStatus) -> None:
        """Sets the wanted status of an object; `obj` is its newest form.  Nothing is written if the
        status is as wanted."""

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """The object is gone: its pending write is dropped."""

    def drop(self) -> None:
        """This instance may not write any more: all pending writes are dropped."""


class RouteTarget(Protocol):
    """Announces routes."""

    def set_routes(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        """Sets the announcements of these prefixes (none: withdraw); other prefixes stay.
        `read_at` is when the oldest cause was read, for the latency histogram."""

    def announces(self, prefix: Network) -> bool:
        """Whether a prefix has announcements."""

    def complete(self) -> None:
        """All routes are set: End-of-RIB may be sent, and other routes in the journal are
        stale."""


class AddressTarget(Protocol):
    """Forwards by address and port: it knows no aggregates, and reads `paths` and `ports` of a
    Route."""

    def set_addresses(self, routes: Mapping[Network, Route], read_at: float | None) -> None:
        """Sets what is wanted for these addresses; others stay.  `read_at` as in `RouteTarget`."""

    def forwards(self, prefix: Network) -> bool:
        """Whether an address is wanted."""

    def complete(self) -> None:
        """All addresses are set: what is left of an earlier run is stale."""


class BindingTarget(Protocol):
    """Binds addresses on this host."""

    def bind(self, addresses: frozenset[Network]) -> None:
        """Adds addresses to those that must be bound.  Returns after the first attempt, at once
        where no address is new; failures are retried by the target."""

    def unbind(self, addresses: frozenset[Network]) -> None:
        """Removes addresses from those that must be bound; returns likewise."""

    def complete(self) -> None:
        """All wanted addresses are set: any other address of ours is unbound."""
