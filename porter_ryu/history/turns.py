"""Records what each turn changed, after it was applied: nothing here delays what is sent.

The routes of the first turn, and of those that go on with it, are one change: how many are as
before the restart.
"""

from __future__ import annotations

import collections
import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from porter_ryu.domain.address_changes import AddressChange
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Address, EipStatus, Network, ObjectKey
from porter_ryu.domain.nodes.node_changes import NodeChange
from porter_ryu.domain.turn import Turn
from porter_ryu.history import subject
from porter_ryu.history.causes import STARTED, Carried, Causes
from porter_ryu.history.change import NO_DELIVERY, ChangeKind, Delivery, LaterDelivery, Part
from porter_ryu.history.record import History
from porter_ryu.history.restart import MAX_NAMED, Earlier, RestartCauses, compare, to_come
from porter_ryu.history.routes import AnnouncedRoutes, Prefix, RouteChange

LOG = logging.getLogger(__name__)

_MAX_DELIVERIES = 64


class _Moved(Struct, frozen=True):
    """A Service whose addresses changed, because of what, and why."""

    key: ObjectKey
    cause: str
    why: str


_Moves = Mapping[Address, _Moved]  # by each address that it has or had
_USABLE = ("usable", "draining", "drained")  # so begins what is said of a node that serves


class Cluster(Struct, frozen=True):
    """What the recorder asks: the Services that hold an address, the names of all Eips, the
    reason why a Service is not announced, empty if it is, the names of the nodes by their
    addresses, and whether a Service that is not known may have an address that none holds."""

    holders: Callable[[Address], Iterable[ObjectKey]]
    eips: Callable[[], Collection[str]]
    why_not: Callable[[ObjectKey], str]
    node_names: Callable[[], Mapping[Address, str]]
    holder_unknown: Callable[[Address], bool]


class TurnRecorder:
    """A subscriber of the Reconciler.  `give_way` lets other greenthreads run."""

    def __init__(
        self, history: History, causes: Causes, cluster: Cluster, give_way: Callable[[], None]
    ) -> None:
        self._history = history
        self._causes = causes
        self._cluster = cluster
        self._give_way = give_way
        self._routes = AnnouncedRoutes()
        self._pools: dict[str, str] = {}
        self._earlier: Earlier | None = Earlier()
        self._start: list[Turn] = []
        self._pool_causes: dict[str, dict[str, None]] = {}
        self._deliveries: collections.OrderedDict[float, Delivery] = collections.OrderedDict()

    @property
    def routes(self) -> Mapping[Prefix, Announcements]:
        """What is announced of each address and aggregate, as the targets have it."""
        return self._routes.known

    def restarted(self, earlier: Earlier) -> None:
        """What earlier runs left with the peers."""
        self._earlier = earlier

    def sent(self, read_at: float, seconds: float) -> None:
        """What followed from what was read at `read_at` was sent to all peers after this time."""
        self._delivery(read_at).seconds = seconds

    def bound(self, networks: Collection[Network], is_bound: bool, why: str) -> None:
        """These addresses were bound on this host, or unbound; `why` is empty if a turn wanted
        it."""
        before, after = ("", "bound") if is_bound else ("bound", "")
        current = self._causes.current
        if len(networks) > MAX_NAMED:
            parts = []
            for network in itertools.islice(networks, MAX_NAMED):
                name, _, about = self._of_prefix(network)
                parts.append(Part(name, before, after, about))
            name, cause = f"{len(networks)} addresses", _of_many(why or current.of(), len(networks))
            self._history.add(ChangeKind.BINDING, name, before, after, cause, parts=tuple(parts))
            return
        for network in sorted(networks, key=lambda n: (n.version, int(n.network_address))):
            name, holders, about = self._of_prefix(network)
            carried = current.carried.get(network.network_address)
            cause = why or (current.of(holders) if carried is None else carried.cause)
            self._history.add(ChangeKind.BINDING, name, before, after, cause, about)

    def _of_prefix(
        self, prefix: Prefix, more: Iterable[ObjectKey] = ()
    ) -> tuple[str, tuple[ObjectKey, ...], tuple[str, ...]]:
        """The name of an address or a prefix, the Services that hold it (and `more` that did), and
        the subjects that it concerns."""
        name, holders = subject.of_prefix(prefix), dict.fromkeys(more)
        if isinstance(prefix, Address) or prefix.prefixlen == prefix.max_prefixlen:
            address = prefix if isinstance(prefix, Address) else prefix.network_address
            holders = {**dict.fromkeys(self._cluster.holders(address)), **holders}
        return name, tuple(holders), (name, *map(subject.of_service, holders))

    def record(self, turn: Turn) -> None:
        """Records what a turn changed.  An unexpected error is logged: it must not make the turn
        fail, which was applied."""
        if self._earlier is not None:
            self._start.append(turn)
            if turn.unfinished:
                return
            turn, self._start = _joined(self._start), []
        try:
            self._record(turn)
        except Exception:
            LOG.exception("what a turn changed is not recorded completely")
        finally:
            self._earlier = None
            if not turn.unfinished:
                self._pool_causes.clear()

    def _record(self, turn: Turn) -> None:
        moves = self._record_addresses(turn.addresses)
        if self._earlier is not None:
            self._record_start(turn, self._earlier, moves)
        else:
            for name, node in turn.nodes.items():
                self._record_node(name, node)
            for change in self._routes.update(turn, self._give_way):
                self._give_way()
                self._record_route(change, moves)
        self._record_pools(turn)

    def _record_start(self, turn: Turn, earlier: Earlier, moves: _Moves) -> None:
        self._routes.replace(turn)
        names = self._cluster.node_names()
        found = compare(earlier.left, self._routes.known, earlier.every_path, names, self._give_way)
        before = f"{found.before} announced by an earlier run" if found.before else ""
        said = {name: node.after for name, node in turn.nodes.items()}
        cluster = self._cluster
        causes = RestartCauses(
            earlier, found, said, cluster.holders, cluster.why_not, cluster.holder_unknown
        )
        parts = []
        for change in found.changes:
            self._give_way()
            moved = moves.get(change.prefix) if isinstance(change.prefix, Address) else None
            name, _, about = self._of_prefix(change.prefix, [] if moved is None else [moved.key])
            about = (*about, *map(subject.of_node, change.nodes))
            cause = causes.of_route(change)
            parts.append(Part(name, change.before, change.after, about, cause))
        self._history.add(
            ChangeKind.RESTART,
            "routes",
            before,
            f"{found}{to_come(turn.addresses, self._routes.known)}",
            _of_many(causes.of_all(), found.others),
            (subject.RESTART,),
            parts=tuple(parts),
        )

    def _record_route(self, change: RouteChange, moves: _Moves) -> None:
        prefix, moved, carried = change.prefix, None, None
        current = self._causes.current
        if isinstance(prefix, Address):
            moved, carried = moves.get(prefix), current.carried.get(prefix)
        name, holders, about = self._of_prefix(prefix, [] if moved is None else [moved.key])
        if carried is not None and change.after:
            cause = carried.cause
        elif moved is not None and not change.after:
            cause = moved.cause
        else:
            cause = current.of(holders, change.nodes)
        if not change.after:
            reasons = dict.fromkeys(filter(None, map(self._cluster.why_not, holders)))
            if moved is not None and moved.why:
                reasons.setdefault(moved.why)
            cause = ": ".join((cause, ", ".join(reasons))) if reasons else cause
        restart = (subject.RESTART,) if carried is not None and carried.cause == STARTED else ()
        self._history.add(
            ChangeKind.ROUTE,
            name,
            change.before,
            change.after,
            cause,
            (*about, *map(subject.of_node, change.nodes), *restart),
            self._delivery_after(carried),
        )

    def _record_addresses(self, changes: Mapping[ObjectKey, AddressChange]) -> _Moves:
        """Records which Services have other addresses, and remembers what their routes follow
        from."""
        current, at_start = self._causes.current, self._earlier is not None
        moves = {}
        for key, change in changes.items():
            self._give_way()
            is_new = not change.before
            cause = STARTED if at_start else current.of_address(key, change.eips, is_new)
            self._causes.gave(key, change.held, change.new, cause)
            moves.update(dict.fromkeys(change.addresses, _Moved(key, cause, change.why)))
            for eip in change.eips:
                self._pool_causes.setdefault(eip, {})[cause] = None
            if not at_start or len(changes) <= MAX_NAMED:
                part = _address_part(key, change, at_start)
                told = f"{cause}: {change.why}" if change.why else cause
                kind = ChangeKind.ADDRESS
                self._history.add(kind, part.object, part.before, part.after, told, part.about)
        if at_start and len(changes) > MAX_NAMED:
            some = itertools.islice(changes.items(), MAX_NAMED)
            parts = tuple(_address_part(key, change, at_start) for key, change in some)
            was_on_record = any(change.before for change in changes.values())
            name = f"{len(changes)} Services"
            after = "other addresses than on record" if was_on_record else "new addresses"
            cause = _of_many(STARTED, len(changes))
            self._history.add(ChangeKind.ADDRESS, name, "", after, cause, parts=parts)
        return moves

    def _record_node(self, name: str, change: NodeChange) -> None:
        lost = change.before.startswith(_USABLE) and not change.after.startswith(_USABLE)
        self._history.add(
            ChangeKind.NODE,
            name,
            change.before,
            change.after,
            self._causes.current.of(nodes=(name,)),
            (subject.of_node(name),),
            level=logging.WARNING if lost else logging.INFO,
        )

    def _record_pools(self, turn: Turn) -> None:
        """Records Eips that are filled otherwise, that serve or do not, or are gone."""
        present = self._cluster.eips()
        after = {name: "" for name in self._pools if name not in present}
        for obj, status in turn.statuses:
            if isinstance(status, EipStatus):
                name = obj.key.name
                after[name] = _fill(status)
                if name not in self._pools and isinstance(obj.status, EipStatus):
                    self._pools[name] = _fill(obj.status)
        for name, fill in after.items():
            before = self._pools.get(name, "")
            if fill:
                self._pools[name] = fill
            else:
                self._pools.pop(name, None)
            if fill != before:
                causes = self._pool_causes.get(name, ())
                cause = self._causes.current.of_pool(name, causes)
                about = (subject.of_eip(name),)
                self._history.add(ChangeKind.POOL, name, before, fill, cause, about)

    def _delivery_after(self, carried: Carried | None) -> Delivery | LaterDelivery:
        """The delivery of what follows from what the present turn read, or from an earlier
        cause."""
        read_at = self._causes.current.read_at
        if read_at is None:
            return NO_DELIVERY
        delivery = self._delivery(read_at)
        if carried is None:
            return delivery
        if carried.read_at is None:
            return NO_DELIVERY
        return LaterDelivery(delivery, read_at - carried.read_at)

    def _delivery(self, read_at: float) -> Delivery:
        """The delivery of what follows from what was read at this time."""
        delivery = self._deliveries.get(read_at)
        if delivery is None:
            delivery = self._deliveries[read_at] = Delivery()
            if len(self._deliveries) > _MAX_DELIVERIES:
                self._deliveries.popitem(last=False)
        return delivery


def _joined(turns: Sequence[Turn]) -> Turn:
    """What several turns changed, as one."""
    return Turn(
        statuses=[status for turn in turns for status in turn.statuses],
        routes={address: route for turn in turns for address, route in turn.routes.items()},
        aggregates={prefix: paths for turn in turns for prefix, paths in turn.aggregates.items()},
        addresses={key: change for turn in turns for key, change in turn.addresses.items()},
        nodes={name: change for turn in turns for name, change in turn.nodes.items()},
    )


def _of_many(cause: str, number: int) -> str:
    """A cause of so many things at once, of which not all are named."""
    return f"{cause}; the first {MAX_NAMED} are named" if number > MAX_NAMED else cause


def _address_part(key: ObjectKey, change: AddressChange, at_start: bool) -> Part:
    name = subject.of_service(key)
    restart = (subject.RESTART,) if at_start else ()
    about = (name, *map(subject.of_prefix, change.addresses), *restart)
    return Part(name, change.before, change.after, about)


def _fill(status: EipStatus) -> str:
    """How full an Eip is, and why it does not serve, if so."""
    text = f"{status.usage} of {status.pool_size} used"
    return text if status.ready else f"{text}, {status.reason.value}"
