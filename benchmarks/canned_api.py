"""An API server of canned answers, for sizes that no test machine holds: lists in pages, and
watches that tell of the EndpointSlices that are patched.

Run on a host of its own; `argv`: an address, how many Services, and whether their nodes are `many`
or `four`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from benchmarks.plan import FIRST, POOL, Table, large_table
from benchmarks.services import name_of
from fabric.objects import eip, node, service, slice_of

PORT = 8001
Json = dict[str, Any]
_TIME = "2026-01-01T00:00:00Z"


def lists(table: Table) -> dict[str, list[bytes]]:
    """The items of each list, as JSON, by the last word of its path."""
    names = [node_name(number) for number in range(len(table.nodes))]
    services, slices = [], []
    for number in range(table.services):
        name = name_of(number)
        on = [names[index] for index in table.nodes_of(number)]
        services.append(_item(_service(number)))
        slices.append(_item(slice_of(name, *on, name=name)))
    nodes = [_item(node(name, address)) for name, address in zip(names, table.nodes, strict=True)]
    default = {"metadata": {"name": "default"}}
    return {
        "services": services,
        "endpointslices": slices,
        "nodes": nodes,
        "namespaces": [_item(default)],
        "eips": [_item(eip("pool", POOL))],
    }


def node_name(number: int) -> str:
    """The name of a node."""
    return f"n{number:05}"


def _service(number: int) -> Json:
    """With all that an API server adds to it."""
    made = service(
        name_of(number),
        allocateLoadBalancerNodePorts=False,
        clusterIP=f"10.96.{number >> 8 & 255}.{number & 255}",
        clusterIPs=[f"10.96.{number >> 8 & 255}.{number & 255}"],
        externalTrafficPolicy="Cluster",
        internalTrafficPolicy="Cluster",
        ipFamilyPolicy="SingleStack",
        sessionAffinity="None",
    )
    conditions = [
        {
            "type": f"porter.kubesphere.io/{kind}",
            "status": "True",
            "reason": kind,
            "message": "as it is written by whoever allocates",
            "lastTransitionTime": _TIME,
        }
        for kind in ("Allocated", "Announced")
    ]
    ingress = [{"ip": str(ip_address(FIRST + number)), "ipMode": "VIP"}]
    made["status"] = {"loadBalancer": {"ingress": ingress}, "conditions": conditions}
    return made


def _item(made: Json, version: int = 1) -> bytes:
    """As it stands in a list: without kind, with what the server notes of it."""
    fields = {key: value for key, value in made.items() if key not in ("kind", "apiVersion")}
    managed = {
        "manager": "kubectl",
        "operation": "Update",
        "apiVersion": "v1",
        "time": _TIME,
        "fieldsType": "FieldsV1",
        "fieldsV1": _managed(fields),
    }
    fields["metadata"] = {
        **made["metadata"],
        "uid": "0b9a3a52-6c0b-4c5e-9b0e-3f1f7f0f6a11",
        "resourceVersion": str(version),
        "creationTimestamp": _TIME,
        "managedFields": [managed],
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def _managed(fields: Json) -> Json:
    return {f"f:{k}": _managed(v) if isinstance(v, dict) else {} for k, v in fields.items()}


class Answer(BaseHTTPRequestHandler):
    """One request; the server has the lists and the watches of EndpointSlices."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lists: dict[str, list[bytes]]
    watches: ClassVar[list[queue.SimpleQueue[bytes]]] = []
    versions = itertools.count(2)

    def do_GET(self) -> None:
        """A page of a list, or a watch."""
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        name = url.path.rpartition("/")[2]
        if "watch" in query:
            self._watch(name, float(query.get("timeoutSeconds", 60)))
            return
        items = self.lists[name]
        start = int(query.get("continue", 0))
        end = min(len(items), start + int(query.get("limit", len(items))))
        more = f',"continue":"{end}"' if end < len(items) else ""
        head = f'{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"1"{more}}},'
        self._answer(head.encode() + b'"items":[' + b",".join(items[start:end]) + b"]}")

    def do_PATCH(self) -> None:
        """New endpoints of an EndpointSlice; every watch is told after the answer, so that whoever
        waits for what follows has it first."""
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = urlsplit(self.path).path.rpartition("/")[2]
        made = {**slice_of(name, name=name), **given}
        kind = f'"kind":"{made["kind"]}","apiVersion":"{made["apiVersion"]}",'.encode()
        item = _item(made, next(self.versions))
        event = b'{"type":"MODIFIED","object":{' + kind + item[1:] + b"}\n"
        self._answer(event)
        for told in list(self.watches):
            told.put(event)

    def _watch(self, name: str, seconds: float) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        deadline = time.monotonic() + seconds
        with self._told(name) as events:
            while (left := deadline - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    event = events.get(timeout=left)
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[queue.SimpleQueue[bytes]]:
        events = queue.SimpleQueue[bytes]()
        if name == "endpointslices":
            self.watches.append(events)
        try:
            yield events
        finally:
            if events in self.watches:
                self.watches.remove(events)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True


def main() -> None:
    """Serves until it is ended."""
    address, services, nodes = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    Answer.lists = lists(Table(services) if nodes == "four" else large_table(services))
    Server((address, PORT), Answer).serve_forever()


if __name__ == "__main__":
    main()
