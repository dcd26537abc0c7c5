"""The floor of one change: a bare watch of EndpointSlices that answers each line with one UPDATE.

Run on the host of the program, in its place; `argv` is the URL of the API server, its certificate,
a token, the resourceVersion to watch from, and a file with the addresses of all Services.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from benchmarks import raw_bgp
from benchmarks.plan import NODES, OUR_AS
from fabric.api_requests import Connection, Request
from fabric.raw_peer import KEEPALIVE, message, open_message


def main() -> None:
    """Waits for one peer and follows the watch until it is ended."""
    url, authority, token, version, file = sys.argv[1:]
    addresses = json.loads(Path(file).read_text())
    peer = _peer()
    peer.sendall(raw_bgp.announce(addresses, list(NODES.values()), OUR_AS))
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    query = f"?watch=true&resourceVersion={version}&timeoutSeconds=3600"
    connection = Connection(None, url, token, Path(authority))
    known: dict[int, frozenset[str]] = {}
    everywhere = frozenset(NODES)
    for line in connection.open(Request("GET", f"{path}{query}")):
        changed = json.loads(line)["object"]
        number = int(changed["metadata"]["name"][1:])
        nodes = frozenset(endpoint["nodeName"] for endpoint in changed["endpoints"])
        before = known.get(number, everywhere)
        known[number] = nodes
        prefix = [addresses[number]]
        octets = [raw_bgp.withdraw(prefix, NODES[name]) for name in before - nodes]
        new = [NODES[name] for name in nodes - before]
        peer.sendall(b"".join([raw_bgp.announce(prefix, new, OUR_AS), *octets]))


def _peer() -> socket.socket:
    """The session with the observer, which calls."""
    listener = socket.create_server(("", 179))
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ours = open_message(asn=OUR_AS, identifier="192.168.7.5", hold_time=600, add_path=2)
    sock.sendall(ours + message(KEEPALIVE))
    return sock


if __name__ == "__main__":
    main()
