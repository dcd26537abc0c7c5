"""The shapes by which the rooms meet: who reports what Kubernetes says, and who is told what is
wanted.  Nobody here knows who stands on the other side."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from typing import Protocol

from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import (
    Kind,
    Network,
    ObjectKey,
    ObjectStatus,
    Reading,
    WithStatus,
)


class Standing(enum.Enum):
    """What an instance knows of who leads among those that could assign addresses.

    UNKNOWN at first, and when the API server cannot be asked: then it assigns and writes nothing,
    and what it has bound stays.
    """

    LEADS = enum.auto()
    FOLLOWS = enum.auto()
    UNKNOWN = enum.auto()


class Observer(Protocol):
    """Is told what the cluster looks like.  `read_at` is time.monotonic() at which the bytes
    were read, in seconds.

    An object is good, Unreadable (its last good form and its record stay), or gone.
    """

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """A complete list of one kind: whatever is not in it is gone."""

    def put(self, obj: Reading, read_at: float) -> None:
        """One object is there, or is there in another form."""

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        """One object is gone."""


class Source(Protocol):
    """Reads the five kinds for as long as it runs and tells an Observer."""

    @property
    def trouble(self) -> str:
        """Why the source cannot be read at present; empty while it can."""

    def start(self, observer: Observer) -> None:
        """Spawns its greenthreads and returns."""

    def stop(self) -> None:
        """Ends them."""


class StatusTarget(Protocol):
    """Brings status of Services and Eips to what is wanted, on its own greenthreads."""

    def want(self, obj: WithStatus, status: ObjectStatus) -> None:
        """`obj` is the newest form known; nothing is written where nothing differs."""

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """The object is gone: a write that waits for it is dropped."""

    def drop(self) -> None:
        """This instance may write no more: every write that waits is dropped."""


class RouteTarget(Protocol):
    """Announces."""

    def set_routes(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        """Sets what is announced of these prefixes (nothing: withdraw); others stay as they are.
        `read_at`: when the oldest cause of this was read, for the latency histogram."""

    def announces(self, prefix: Network) -> bool:
        """Whether something is announced of a prefix."""

    def complete(self) -> None:
        """Everything known is set: End-of-RIB may be sent, and what the journal says beyond
        it is stale."""


class BindingTarget(Protocol):
    """Binds addresses on this host."""

    def bind(self, addresses: frozenset[Network]) -> None:
        """Adds to what must be bound.  Returns once it was tried, at once where nothing is new;
        a failure is retried inside."""

    def unbind(self, addresses: frozenset[Network]) -> None:
        """Takes from what must be bound, likewise."""

    def complete(self) -> None:
        """All that must be bound is known: what is ours beyond it is scrubbed."""
