"""What a Planner is told once, and what it answers each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from porter_ryu.domain.announcement import Route
from porter_ryu.domain.model import Address, ObjectStatus, WithStatus
from porter_ryu.domain.nodes.health import OF_A_CLUSTER, Patience
from porter_ryu.domain.nodes.next_hops import NextHopPolicy


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules that stand in the configuration; `announce` is [bgp] enabled, `panic_percent`
    (100: never) and `patience` are what `NodeHealth` takes."""

    next_hops: NextHopPolicy = field(default_factory=NextHopPolicy)
    announce: bool = True
    panic_percent: int = 100
    patience: Patience = OF_A_CLUSTER


@dataclass(frozen=True, slots=True)
class Turn:
    """What is wanted of the keys that this turn looked at; nothing is said of any other.

    `statuses` has each object as it was read, and what its status should say.
    `oddities` are sentences about objects that cannot be used as they are.  `nodes_doubted`: so
    many nodes were lost at once that it is not believed.
    """

    statuses: Sequence[tuple[WithStatus, ObjectStatus]] = ()
    routes: Mapping[Address, Route] = field(default_factory=dict)
    oddities: tuple[str, ...] = ()
    nodes_doubted: bool = False
