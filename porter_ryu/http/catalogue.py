"""The paths of the HTTP interface in one list: the index at /v1, docs/openapi.yaml and the router
have the same, and a test compares them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Endpoint(NamedTuple):
    """A path, its method, what it is for, and the query parameters that it takes."""

    path: str
    method: str
    what: str
    parameters: tuple[str, ...] = ()


ENDPOINTS = (
    Endpoint("/healthz", "GET", "200 while the process works, else 503 and why"),
    Endpoint("/readyz", "GET", "200 while the instance is ready, else 503 and why"),
    Endpoint("/metrics", "GET", "metrics in the Prometheus text format"),
    Endpoint("/v1", "GET", "this list"),
    Endpoint("/v1/version", "GET", "versions, and when the process started"),
    Endpoint("/v1/config", "GET", "the settings in force, and what the files say otherwise"),
    Endpoint("/v1/status", "GET", "whether all is well, what hurts most, and what mends it"),
    Endpoint("/v1/peers", "GET", "the BGP sessions"),
    Endpoint("/v1/peers/{name}", "GET", "one BGP session"),
    Endpoint(
        "/v1/peers/{name}/routes",
        "GET",
        "what is announced to a peer now, or was last: ?prefix=, ?last=",
        ("prefix", "last"),
    ),
    Endpoint("/v1/switches", "GET", "the OpenFlow switches"),
    Endpoint("/v1/nodes", "GET", "the nodes as next hops"),
    Endpoint("/v1/nodes/{name}", "GET", "one node, and the Services that depend on it"),
    Endpoint(
        "/v1/services",
        "GET",
        "all Services: ?state=, ?q=, ?node=, ?limit=, ?after=",
        ("state", "q", "node", "limit", "after"),
    ),
    Endpoint("/v1/services/{namespace}/{name}", "GET", "one Service with all reasons"),
    Endpoint("/v1/addresses/{address}", "GET", "who has an address, or whether it is free"),
    Endpoint("/v1/eips", "GET", "the Eips and how full they are"),
    Endpoint(
        "/v1/plan",
        "GET",
        "the wanted state of everything, or what changes without nodes: ?without=, ?drain=",
        ("without", "drain"),
    ),
    Endpoint(
        "/v1/changes",
        "GET",
        "what changed, and why: ?since=, ?about=, ?seconds=, ?limit=",
        ("since", "about", "seconds", "limit"),
    ),
    Endpoint(
        "/v1/stream", "GET", "the same as server-sent events: ?since=, ?about=", ("since", "about")
    ),
    Endpoint(
        "/v1/stop", "POST", "ends the instance; needs the control token", ("withdraw", "stay")
    ),
    Endpoint("/", "GET", "the page for a browser"),
)


def index() -> list[dict[str, Any]]:
    """The list as JSON."""
    return [{"path": e.path, "method": e.method, "what": e.what} for e in ENDPOINTS]


_BY_ROUTE = {(endpoint.path, endpoint.method): endpoint for endpoint in ENDPOINTS}


def parameters(path: str, method: str) -> tuple[str, ...] | None:
    """The query parameters that a path of /v1 takes; None for any other path, which takes all."""
    endpoint = _BY_ROUTE.get((path, method)) if path.startswith("/v1") else None
    return None if endpoint is None else endpoint.parameters
