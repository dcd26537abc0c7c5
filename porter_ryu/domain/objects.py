"""What a source reports of an object, and the objects whose status this program writes."""

from __future__ import annotations

from msgspec import Struct

from porter_ryu.domain.model import (
    Address,
    Eip,
    EipStatus,
    EndpointSlice,
    Kind,
    Namespace,
    Node,
    ObjectKey,
    Service,
    ServiceStatus,
)

Object = Service | EndpointSlice | Node | Namespace | Eip
"""What is read; each object has its `kind`, and the `key` that identifies it among its kind."""


class Unreadable(Struct, frozen=True, gc=False):
    """An object that exists and cannot be understood, for `reason`.

    Its last good form stays in force.  `record` are the addresses in its status, which stay
    reserved for it although its spec is not known.  `record_unread`: it may have others, or these
    may be old, because its status cannot be read either.  `file` is the one to be corrected, in a
    directory of manifests; empty where there is none.
    """

    kind: Kind
    key: ObjectKey
    reason: str
    record: tuple[Address, ...] = ()
    file: str = ""
    record_unread: bool = False


Reading = Object | Unreadable
"""What a source reports."""

WithStatus = Service | Eip
"""The objects whose status this program writes."""

ObjectStatus = ServiceStatus | EipStatus
"""Their status, as it is or as it is wanted."""
