"""Which objects count in their last good form, because they cannot be read as they are now.

Whoever edits such an object sees no effect, so whatever explains a Service or a node names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import printable

_MAX_WHY_CHARACTERS = 1_000


class LastGood(Struct, frozen=True):
    """An object that counts in its last good form, and why it cannot be read; in a directory this
    begins with the file and the line.  `why` is printable."""

    kind: Kind
    key: ObjectKey
    why: str


def of_service(
    planner: Planner, key: ObjectKey, eips: Iterable[str], nodes: Iterable[str]
) -> tuple[LastGood, ...]:
    """Those that decide about a Service: itself, its EndpointSlices, its Namespace, and these Eips
    and nodes."""
    cluster = planner.cluster
    ids = [
        (Kind.SERVICE, key),
        *((Kind.ENDPOINT_SLICE, piece.key) for piece in cluster.slices_of(key)),
        (Kind.NAMESPACE, ObjectKey("", key.namespace)),
        *((Kind.NODE, ObjectKey("", name)) for name in sorted(set(nodes))),
    ]
    found = [*_unreadable(cluster, ids), *_of_eips(planner, sorted(set(eips)))]
    return tuple(found)


def of_node(planner: Planner, name: str) -> tuple[LastGood, ...]:
    """The Node of this name, if it is one of them."""
    return tuple(_unreadable(planner.cluster, [(Kind.NODE, ObjectKey("", name))]))


def _unreadable(cluster: Cluster, ids: Iterable[tuple[Kind, ObjectKey]]) -> Iterator[LastGood]:
    for kind, key in ids:
        why = cluster.why_unreadable(kind, key)
        if why and cluster.is_known(kind, key):
            yield LastGood(kind, key, printable(why, _MAX_WHY_CHARACTERS))


def _of_eips(planner: Planner, names: Iterable[str]) -> Iterator[LastGood]:
    """An Eip also serves on in its last good form if only its spec cannot be read."""
    for name in names:
        key, pool = ObjectKey("", name), planner.allocator.pools.get(name)
        eip = planner.cluster.eips.get(key)
        why = planner.cluster.why_unreadable(Kind.EIP, key) or (eip.invalid if eip else "")
        if why and pool is not None and pool.serves:
            yield LastGood(Kind.EIP, key, printable(why, _MAX_WHY_CHARACTERS))
