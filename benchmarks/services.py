"""The Services of the benchmarks in a real API server, each with an EndpointSlice on four nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from typing import Any

from benchmarks.plan import FIRST, NODES, POOL
from benchmarks.raw_api import spread
from fabric import Host
from fabric.api_requests import JSON_MERGE, STRATEGIC_MERGE, Connection, Request
from fabric.control_plane import ADMIN, ControlPlane
from fabric.objects import eip, node, service, slice_of

Json = dict[str, Any]
_SERVICES = "/api/v1/namespaces/default/services"
_NODES = "/api/v1/nodes"
_SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def name_of(number: int) -> str:
    """The name of a Service, and of its EndpointSlice."""
    return f"s{number:06}"


def change_of(number: int, *nodes: str) -> Request:
    """The request after which a Service has endpoints on these nodes."""
    endpoints = slice_of(name_of(number), *nodes)["endpoints"]
    body = json.dumps({"endpoints": endpoints}).encode()
    return Request("PATCH", f"{_SLICES}/{name_of(number)}", body, JSON_MERGE)


class Services:
    """All of them; `host`: from where the API server is asked."""

    def __init__(self, api: ControlPlane, host: Host) -> None:
        self._api = api
        self.connect = partial(Connection, host, api.url, ADMIN, api.authority)
        self.count = 0
        self.recorded = False
        self._status: Json = {}

    def begin(self) -> None:
        """Creates the pool, the nodes and the first Service."""
        nodes = [node(name, address) for name, address in NODES.items()]
        self._api.apply(eip("pool", POOL), *nodes)
        self.grow(1)

    def learn(self) -> bool:
        """Whether the program has given the first Service its address and status by now, which is
        what it would write for all."""
        found = json.loads(self._ask(Request("GET", f"{_SERVICES}/{name_of(0)}")))["status"]
        if len(found.get("conditions", ())) < 2 or not found["loadBalancer"].get("ingress"):
            return False
        self._status = found
        self.recorded = True
        return True

    def grow(self, count: int) -> None:
        """Creates Services until there are so many; with records, if the others have them."""
        missing = range(self.count, count)
        spread(self.connect, (request for i in missing for request in _creation(i)))
        self.count = max(count, self.count)
        if self.recorded:
            spread(self.connect, self._records(missing))

    def record(self) -> float:
        """Gives every Service the status that the program would, by raw patches over eight
        connections; returns the seconds it took."""
        took = spread(self.connect, self._records(range(self.count)))
        self.recorded = True
        return took

    def forget(self) -> None:
        """Takes the status of every Service away."""
        body = json.dumps({"status": {"loadBalancer": None, "conditions": None}}).encode()
        paths = (f"{_SERVICES}/{name_of(i)}/status" for i in range(self.count))
        spread(self.connect, (Request("PATCH", path, body, JSON_MERGE) for path in paths))
        self.recorded = False

    def addresses(self) -> list[int]:
        """The address on record of each Service, by its number."""
        items = json.loads(self._ask(Request("GET", _SERVICES)))["items"]
        records = {
            item["metadata"]["name"]: item["status"]["loadBalancer"]["ingress"][0]["ip"]
            for item in items
            if item["metadata"]["name"].startswith("s")
        }
        return [int(ip_address(records[name_of(i)])) for i in range(self.count)]

    def version(self) -> str:
        """The resourceVersion of the EndpointSlices."""
        listed = json.loads(self._ask(Request("GET", f"{_SLICES}?limit=1")))
        version: str = listed["metadata"]["resourceVersion"]
        return version

    def lose_node(self, name: str) -> None:
        """Deletes a node; its endpoints stay in their slices."""
        self._ask(Request("DELETE", f"{_NODES}/{name}"))

    def return_node(self, name: str) -> None:
        """Creates a node again."""
        made = node(name, NODES[name])
        self._ask(Request("POST", _NODES, json.dumps(made).encode()))
        body = json.dumps({"status": made["status"]}).encode()
        self._ask(Request("PATCH", f"{_NODES}/{name}/status", body, JSON_MERGE))

    def _records(self, numbers: range) -> Iterator[Request]:
        told = self._status["loadBalancer"]["ingress"][0]["ip"]
        status = json.dumps({"status": self._status})
        for number in numbers:
            body = status.replace(told, str(ip_address(FIRST + number))).encode()
            path = f"{_SERVICES}/{name_of(number)}/status"
            yield Request("PATCH", path, body, STRATEGIC_MERGE)

    def _ask(self, request: Request) -> bytes:
        connection = self.connect()
        try:
            return connection.send(request)
        finally:
            connection.close()


def _creation(number: int) -> Iterator[Request]:
    name = name_of(number)
    made = service(name, allocateLoadBalancerNodePorts=False)
    yield Request("POST", _SERVICES, json.dumps(made).encode())
    yield Request("POST", _SLICES, json.dumps(slice_of(name, *NODES, name=name)).encode())
