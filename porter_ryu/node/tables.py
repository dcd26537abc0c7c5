"""The default route in the table that our policy rules lead to; it carries our protocol number."""

from __future__ import annotations

from collections.abc import Iterable

from porter_ryu.node.command import RefusedError
from porter_ryu.node.iproute import IpRoute, Place

ROUTE_TYPE = {"rule": "local", "blackhole": "blackhole"}
"""The type of the default route by mode."""


def ensure_default_routes(ip: IpRoute, place: Place, versions: Iterable[int]) -> None:
    """Adds the default route of a mode to its table, for these IP versions, if it is missing.
    Raises IpError, also if the table has a foreign default route."""
    wanted = ROUTE_TYPE[place.mode]
    for version in versions:
        routes = ip.default_routes_in(place.where, version)
        if wanted in (route_type for route_type, _ in routes):
            continue
        if not all(is_ours for _, is_ours in routes):
            raise RefusedError(f"table {place.where} has a foreign default route, left alone")
        for mode, route_type in ROUTE_TYPE.items():  # left by an earlier run in another mode
            if (route_type, True) in routes:
                ip.remove_default_route(mode, place.where, version)
        ip.add_default_route(place.mode, place.where, version)


def remove_default_routes(ip: IpRoute, places: Iterable[Place]) -> None:
    """Removes our default routes from the tables of places that are no longer used; raises
    IpError."""
    for place in places:
        if place.mode == "address":
            continue
        for version in (4, 6):
            if (ROUTE_TYPE[place.mode], True) in ip.default_routes_in(place.where, version):
                ip.remove_default_route(place.mode, place.where, version)
