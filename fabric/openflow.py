"""A network whose leaf is Open vSwitch: a client, four nodes with servers that answer with their
name, and the host of the program, which the switch reaches by a link of its own.

    porter ── switch ─┬─ client
                      └─ n1, n2, n3, n4
"""

from __future__ import annotations

import sys

from fabric import Fabric, FabricError, Host, wait_for
from fabric.connections import Target, answers
from fabric.objects import Json, eip, node, service, slice_of
from fabric.openvswitch import PORT, OpenVSwitch
from fabric.program import Program

NODES = {f"n{number}": f"192.168.7.1{number}" for number in range(1, 5)}
NODES6 = {f"n{number}": f"fd00:7::1{number}" for number in range(1, 5)}
CLIENT, CLIENT6 = "192.168.7.101", "fd00:7::101"
CONTROLLER = "192.168.9.1"
# EIPs behind the gateway, which need a route, and on the network of the client, which need none
POOL, POOL6 = "203.0.113.0/24", "2001:db8::/120"
ON_LINK, ON_LINK6 = "192.168.7.192/28", "fd00:7::c0/124"
GATEWAY, GATEWAY6 = "192.168.7.254", "fd00:7::254"
VIRTUAL_MAC = "02:50:52:59:55:01"
PORTS = (80, 81)
_FLOWS = range(30_000, 30_080)
_SECONDS, _PATIENCE = 30.0, 1.0
_HOST_STATE = ("-s neigh show", "address show", "maddress show")


class OpenFlowNetwork:
    """The hosts; the switch runs, with `nice`, and the program does not."""

    def __init__(self, fabric: Fabric, datapath_id: int = 1, name: str = "", nice: int = 0) -> None:
        self.fabric = fabric
        self.porter = fabric.hosts.get("porter") or fabric.host("porter")
        control = fabric.host(f"switch{name}")
        control.nice = nice
        self.controller = f"192.168.{8 + datapath_id}.1"
        fabric.link(
            self.porter, control, [f"{self.controller}/24"], [f"{self.controller[:-1]}2/24"]
        )
        self.switch = OpenVSwitch(control, datapath_id, self.controller).start()
        self.client = self._plug(f"client{name}", CLIENT, CLIENT6)
        self.client.run(f"ip route add {POOL} via {GATEWAY}")
        self.client.run(f"ip -6 route add {POOL6} via {GATEWAY6}")
        self.nodes = {
            each: self._node(each, f"{each}{name}", address, NODES6[each])
            for each, address in NODES.items()
        }

    def device(self, host: Host) -> str:
        """The interface of a host to the switch."""
        return self.switch.ports[host.name].removesuffix("b") + "a"

    def served(
        self,
        address: str,
        *names: str,
        port: int = 80,
        client: Host | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        """Waits until new flows of a client are served by exactly these nodes (NO_ANSWER for
        none), and the switch does the same with all flows; raises FabricError after `seconds`, with
        all that may have to do with it."""
        here, target = client or self.client, Target(address, port)
        try:
            wait_for(
                lambda: set(answers(here, target, _FLOWS, _PATIENCE).values()),
                lambda seen: seen == set(names),
                seconds,
                f"{address} by {names}",
            )
        except FabricError as error:
            raise FabricError(f"{error}\n{self.state()}") from error
        self.switch.settle()

    def state(self) -> str:
        """What the program says of the switches, what is in the switch, and what the hosts know of
        their neighbours."""
        looks = [
            (self.porter, "curl -s -m 5 http://127.0.0.1:8080/v1/switches"),
            *((self.client, f"ip {each}") for each in _HOST_STATE),
            *((host, f"ip {each}") for host in self.nodes.values() for each in _HOST_STATE),
        ]
        parts = [f"{host.name}: {what}\n{host.run(what, check=False)}" for host, what in looks]
        for command in ("dump-flows", "dump-groups", "dump-ports", "meter-stats"):
            parts.append(f"{command}\n{self.switch.ofctl(command)}")
        parts.append(f"datapath\n{self.switch.appctl('dpctl/dump-flows', '-m')}")
        return "\n".join(parts)

    def _plug(self, name: str, *addresses: str) -> Host:
        host = self.fabric.host(name)
        lengths = [f"{each}/{64 if ':' in each else 24}" for each in addresses]
        self.switch.plug(self.fabric, host, lengths)
        return host

    def _node(self, name: str, host_name: str, *addresses: str) -> Host:
        """A node that takes what is sent to an EIP, as kube-proxy does, and answers no ARP for
        it."""
        host = self._plug(host_name, *addresses)
        host.ip(*(f"route add local {each} dev lo" for each in (POOL, ON_LINK, POOL6, ON_LINK6)))
        host.sysctl({
            "net.ipv4.conf.all.arp_ignore": 1,
            "net.ipv4.conf.all.arp_announce": 2,
            "net.ipv4.ip_nonlocal_bind": 1,
            "net.ipv6.ip_nonlocal_bind": 1,
        })  # fmt: skip
        server = [sys.executable, "-m", "fabric.name_server", name, *map(str, PORTS)]
        host.spawn(server, "server.log")
        return host


def sections(**more: dict[str, object]) -> dict[str, dict[str, object]]:
    """The configuration groups of a program that is the controller and speaks no BGP; `more` is
    added to them, group by group.  A busy machine that wakes the switch late by a second makes it
    lose no node."""
    groups: dict[str, dict[str, object]] = {
        "DEFAULT": {"ofp_listen_host": CONTROLLER, "ofp_tcp_listen_port": PORT},
        "bgp": {"enabled": "false"},
        "bound_ip": {"mode": "none"},
        "openflow": {
            "enabled": "true",
            "gateways": f"{GATEWAY}, {GATEWAY6}",
            "probe_ms": 1000,
        },
    }
    for name, group in more.items():
        groups[name] = {**groups.get(name, {}), **group}
    return groups


def cluster_node(name: str, **more: object) -> Json:
    """One of the four nodes."""
    return node(name, NODES[name], NODES6[name], **more)  # type: ignore[arg-type]


def install(program: Program) -> None:
    """The nodes and the pools."""
    program.put("nodes", *map(cluster_node, NODES))
    program.put("pools", eip("pool", POOL), eip("pool6", POOL6))
    on_link = {"autoAssign": False}
    program.put("on-link", eip("link", ON_LINK, **on_link), eip("link6", ON_LINK6, **on_link))


def web(program: Program, name: str, address: str, *nodes: str, **spec: object) -> None:
    """A Service at this address, with TCP and UDP at both ports, and an endpoint on each of these
    nodes."""
    family = "IPv6" if ":" in address else "IPv4"
    ports = [
        {"name": f"{protocol}-{port}".lower(), "port": port, "protocol": protocol}
        for port in PORTS
        for protocol in ("TCP", "UDP")
    ]
    request = {"eip.porter.kubesphere.io/v1alpha1": address}
    made = service(name, annotations=request, families=[family], ports=ports)
    made["spec"] |= spec
    program.put(name, made, slice_of(name, *nodes, family=family))
