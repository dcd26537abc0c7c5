"""The default route in the table that our rules lead to, which carries our mark."""

from __future__ import annotations

from collections.abc import Iterable

from porter_ryu.node.iproute import IpRoute, Place
from porter_ryu.node.process import RefusedError

DEFAULT_OF = {"rule": "local", "blackhole": "blackhole"}


def keep_defaults(ip: IpRoute, place: Place, versions: Iterable[int]) -> None:
    """Has the default route of a mode in a table, for these IP versions; raises IpError, also
    where a foreign one stands in its place."""
    kind = DEFAULT_OF[place.mode]
    for version in versions:
        there = ip.defaults(place.where, version)
        if kind in (kind_there for kind_there, _ in there):
            continue
        if not all(marked for _, marked in there):
            raise RefusedError(f"table {place.where} has a foreign default route, left alone")
        for mode, kind_of_mode in DEFAULT_OF.items():  # of an earlier run in another mode
            if (kind_of_mode, True) in there:
                ip.remove_default(mode, place.where, version)
        ip.add_default(place.mode, place.where, version)


def drop_defaults(ip: IpRoute, places: Iterable[Place]) -> None:
    """Takes back our default routes of places that are not used any more; raises IpError."""
    for place in places:
        if place.mode == "address":
            continue
        for version in (4, 6):
            if (DEFAULT_OF[place.mode], True) in ip.defaults(place.where, version):
                ip.remove_default(place.mode, place.where, version)
