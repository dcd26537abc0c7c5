"""The settings of a Planner, and the result of one of its turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from porter_ryu.domain.address_changes import AddressChange
from porter_ryu.domain.announcement import Announcements, Route
from porter_ryu.domain.editing import Editing
from porter_ryu.domain.model import Address, Network, ObjectKey
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.health import API_SERVER_DELAYS, LossDelays
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.node_changes import NodeChange
from porter_ryu.domain.objects import ObjectStatus, WithStatus


class Policy(Struct, frozen=True):
    """What the configuration decides.

    `announce`: there are routers or switches; `by_port`: there are switches, which tell the ports
    of an address apart.  `panic_percent` (100: never) and `loss_delays` are for `NodeHealth`,
    `drain` for `NodeDrains`, and `probing` (nodes are probed) for `ProbedNodes`.  `editing` is for
    what is said to mend something.
    """

    next_hops: NextHopPolicy = field(default_factory=NextHopPolicy)
    announce: bool = True
    panic_percent: int = 100
    loss_delays: LossDelays = API_SERVER_DELAYS
    drain: DrainPolicy = field(default_factory=DrainPolicy)
    probing: bool = False
    by_port: bool = False
    editing: Editing = field(default_factory=Editing)


class Turn(Struct, frozen=True, gc=False):
    """What is wanted of the objects that this turn decided, and of no others.

    `statuses` has each object as it was read, and its wanted status.  `warnings` are sentences
    about objects that cannot be used as they are.  `nodes_doubted`: so many nodes were lost at once
    that their loss is not believed.  `notices` are sentences about drains that began or ended.
    `aggregates` has the announcements of prefixes that stand for the addresses in them; nothing of
    them is bound.  `eip_problems` are sentences, by name, about Eips that are not Ready or have a
    problem; None if nothing was decided.  `addresses` are the Services that hold other addresses
    than before, `nodes` the nodes, by name, of which something else is said than before.
    `unfinished`: there was too much for one turn, and the next one goes on with it.
    """

    statuses: Sequence[tuple[WithStatus, ObjectStatus]] = ()
    routes: Mapping[Address, Route] = {}
    warnings: tuple[str, ...] = ()
    nodes_doubted: bool = False
    notices: tuple[str, ...] = ()
    aggregates: Mapping[Network, Announcements] = {}
    eip_problems: Mapping[str, str] | None = None
    addresses: Mapping[ObjectKey, AddressChange] = {}
    nodes: Mapping[str, NodeChange] = {}
    unfinished: bool = False
