"""Records what each turn changed, after it was applied: nothing here delays what is sent.

The first turn is one change: how many routes are as before the restart.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable

from porter_ryu.domain.model import Address, ObjectKey
from porter_ryu.domain.turn import Turn
from porter_ryu.history import subject
from porter_ryu.history.causes import Causes
from porter_ryu.history.change import NO_DELIVERY, ChangeKind, Delivery
from porter_ryu.history.record import History
from porter_ryu.history.restart import Left, compare
from porter_ryu.history.routes import AnnouncedRoutes, RouteChange

_MAX_DELIVERIES = 64


class TurnRecorder:
    """A subscriber of the Reconciler.

    `holders` returns the Services that hold an address.  `give_way` lets other greenthreads run.
    """

    def __init__(
        self,
        history: History,
        causes: Causes,
        holders: Callable[[Address], Iterable[ObjectKey]],
        give_way: Callable[[], None],
    ) -> None:
        self._history = history
        self._causes = causes
        self._holders = holders
        self._give_way = give_way
        self._routes = AnnouncedRoutes()
        self._left: Left | None = {}
        self._every_path = True
        self._deliveries: collections.OrderedDict[float, Delivery] = collections.OrderedDict()

    def restarted(self, left: Left, every_path: bool) -> None:
        """What earlier runs left with the peers; `every_path`: a peer with ADD-PATH gets all paths
        of a prefix."""
        self._left, self._every_path = left, every_path

    def sent(self, read_at: float, seconds: float) -> None:
        """What followed from what was read at `read_at` was sent to all peers after this time."""
        self._delivery(read_at).seconds = seconds

    def record(self, turn: Turn) -> None:
        """Records what a turn changed."""
        if self._left is not None:
            self._record_start(turn, self._left)
            self._left = None
            return
        for change in self._routes.update(turn, self._give_way):
            self._give_way()
            self._record_route(change)

    def _record_start(self, turn: Turn, left: Left) -> None:
        self._routes.replace(turn)
        counts = compare(left, self._routes.known, self._every_path, self._give_way)
        self._history.add(
            ChangeKind.RESTART,
            "routes",
            f"{counts.before} announced by an earlier run" if counts.before else "",
            str(counts),
            "this process started",
        )

    def _record_route(self, change: RouteChange) -> None:
        prefix = change.prefix
        holders = tuple(self._holders(prefix)) if isinstance(prefix, Address) else ()
        name = subject.of_prefix(prefix)
        about = (
            name,
            *map(subject.of_service, holders),
            *map(subject.of_node, change.nodes),
        )
        current = self._causes.current
        read_at = current.read_at
        self._history.add(
            ChangeKind.ROUTE,
            name,
            change.before,
            change.after,
            current.of(holders, change.nodes),
            about,
            NO_DELIVERY if read_at is None else self._delivery(read_at),
        )

    def _delivery(self, read_at: float) -> Delivery:
        """The delivery of what follows from what was read at this time."""
        delivery = self._deliveries.get(read_at)
        if delivery is None:
            delivery = self._deliveries[read_at] = Delivery()
            if len(self._deliveries) > _MAX_DELIVERIES:
                self._deliveries.popitem(last=False)
        return delivery
