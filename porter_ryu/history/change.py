"""A change that the program made, as a value."""

from __future__ import annotations

import enum

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.history.subject import About


class ChangeKind(enum.Enum):
    """What changed; the values are public API.

    ADDRESS: the addresses of a Service.  ROUTE: the next hops of a prefix.  SESSION: with a peer.
    NODE: whether it can be a next hop.  POOL: how full an Eip is.  BINDING: an address on this
    host.  LEADER: whether this instance assigns addresses.  RELOAD: of the configuration.
    RESTART: the routes of an earlier run.
    """

    ADDRESS = "address"
    ROUTE = "route"
    SESSION = "session"
    NODE = "node"
    POOL = "pool"
    BINDING = "binding"
    LEADER = "leader"
    RELOAD = "reload"
    RESTART = "restart"


class Delivery:
    """How long it took from reading the cause of some changes until all peers were sent what
    follows, in seconds; None while that is not so, and where there is no such time."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds: float | None = None


class LaterDelivery:
    """The delivery of what follows from a cause that was read so many seconds `earlier` than what
    another delivery is measured from."""

    __slots__ = ("_earlier", "_of")

    def __init__(self, of: Delivery, earlier: float) -> None:
        self._of = of
        self._earlier = earlier

    @property
    def seconds(self) -> float | None:
        """As of a `Delivery`."""
        seconds = self._of.seconds
        return None if seconds is None else seconds + self._earlier


NO_DELIVERY = Delivery()


class Part(Struct, frozen=True, gc=False):
    """One of many things that changed at once and are one change, as `Change` tells it.  `cause`:
    that of this one; empty if it is the one of the change."""

    object: str
    before: str
    after: str
    about: tuple[str, ...]
    cause: str = ""


class Change(Struct, frozen=True, gc=False):
    """One change.

    `sequence` counts the changes of this process from 1.  `time` is Unix time, in seconds.
    `object`: which one of its kind.  `before` and `after` are texts, empty for nothing.  `cause`
    says what was read, or happened.  `about` are the subjects (`history.subject`) that it concerns.
    `parts` are the first of many things that changed at once.
    """

    sequence: int
    time: float
    kind: ChangeKind
    object: str
    before: str
    after: str
    cause: str
    about: tuple[str, ...] = ()
    delivery: Delivery | LaterDelivery = NO_DELIVERY
    parts: tuple[Part, ...] = ()

    def concerning(self, about: About) -> Change | None:
        """This change if it concerns a subject; if only parts of it do, with those alone, and with
        their cause if they have one in common."""
        if about.matches(self.about):
            return self
        parts = tuple(part for part in self.parts if about.matches(part.about))
        if not parts:
            return None
        causes = {part.cause or self.cause for part in parts}
        return replace(self, parts=parts, cause=causes.pop() if len(causes) == 1 else self.cause)
