"""The network of the demo: a client, a leaf, three nodes with web servers, and the program.

client --- leaf (BIRD) --- switch --- porter (central instance)
                              |------ n1, n2, n3 (web server, node instance)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fabric import Fabric, Host
from fabric.leaves import Bird, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program

NODES = {"n1": "192.168.0.11", "n2": "192.168.0.12", "n3": "192.168.0.13"}
LEAF, PORTER, CLIENT = "192.168.0.1", "192.168.0.5", "198.51.100.2"
POOL = "203.0.113.8/29"
_SERVER = (
    "import http.server, sys\n"
    "class Page(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers()\n"
    "        self.wfile.write(sys.argv[1].encode())\n"
    "    def log_message(self, *_): pass\n"
    "http.server.ThreadingHTTPServer(('', 8000), Page).serve_forever()\n"
)


@dataclass
class Network:
    """The hosts and programs of the demo."""

    fabric: Fabric
    client: Host
    leaf: Bird
    central: Program
    nodes: dict[str, Host] = field(default_factory=dict)
    instances: list[Program] = field(default_factory=list)

    def fetch(self, address: str, count: int) -> list[str]:
        """Sends requests from the client; returns the node that answered each ('' for none)."""
        line = f"curl -s -m 2 http://{address}/ || echo -n; echo"
        out = self.client.run(["sh", "-c", f"for i in $(seq {count}); do {line}; done"])
        return out.splitlines()

    def cluster(self) -> None:
        """Creates the initial objects: three nodes, a pool, one Service with three endpoints."""
        for name, address in NODES.items():
            self.central.put(name, node(name, address))
        self.central.put("pool", eip("pool", POOL))
        self.central.put("web", service("web"))
        self.central.put("web-endpoints", slice_of("web", *NODES))


def build(fabric: Fabric) -> Network:
    """Creates the hosts and links, and starts everything except the program."""
    switch, client, leaf = fabric.switch("switch"), fabric.host("client"), fabric.host("leaf")
    fabric.link(client, leaf, [f"{CLIENT}/24"], ["198.51.100.1/24"])
    client.run("ip route add default via 198.51.100.1")
    fabric.link(leaf, switch, [f"{LEAF}/24"], [])
    porter = fabric.host("porter")
    _plug(fabric, porter, switch, PORTER)
    neighbour = Neighbour(PORTER, 65000)
    bird = Bird(leaf, 65001, LEAF, [neighbour]).start()
    central = Program(
        porter,
        {
            "bgp": {"local_as": 65000, "router_id": PORTER, "peers": "leaf1"},
            "peer:leaf1": {"address": LEAF, "remote_as": 65001, "connect_retry": 1},
        },
    )
    network = Network(fabric, client, bird, central)
    for name, address in NODES.items():
        network.nodes[name] = _node(fabric, switch, name, address)
    return network


def _plug(fabric: Fabric, host: Host, switch: Host, address: str) -> None:
    fabric.link(host, switch, [f"{address}/24"], [])
    host.run(f"ip route add default via {LEAF}")


def _node(fabric: Fabric, switch: Host, name: str, address: str) -> Host:
    host = fabric.host(name)
    _plug(fabric, host, switch, address)
    host.spawn(["python3", "-c", _SERVER, name], "web.log")
    # one DNAT rule replaces kube-proxy
    host.run(
        f"iptables -t nat -A PREROUTING -d {POOL} -p tcp --dport 80 -j DNAT --to {address}:8000"
    )
    return host


def start(network: Network) -> None:
    """Starts the central instance and one instance on every node, with the same manifests."""
    network.cluster()
    network.central.start(ready=False)
    for name, host in network.nodes.items():
        instance = Program(
            host,
            {
                "porter": {"node_name": name, "allocate": "false"},
                "bgp": {"enabled": "false"},
                "bound_ip": {"mode": "rule"},
            },
            manifests=network.central.manifests,
        )
        network.instances.append(instance.start(ready=False))
