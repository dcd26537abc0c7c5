"""A whole cluster in network namespaces: control plane, four nodes with kube-proxy, a leaf that
runs FRR, and a client behind it.

    client ── leaf ──┬── control   etcd, kube-apiserver, kube-controller-manager
    10.99.0.2        ├── porter, second   instances of the program
    fd99::2          └── n1 … n4   kube-proxy (nftables), a kubelet of the tests, Pods

Nodes, Pods and Services have IPv4 and IPv6.  Everything is real but the kubelets.  It stands in
some seconds, and leaving the `with` ends all.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import yaml

from fabric import Fabric, FabricError, Host, end, wait_for
from fabric.control_plane import ADMIN, ControlPlane, Json
from fabric.http_get import get
from fabric.leaves import Frr, Neighbour
from fabric.objects import service
from fabric.program import Program
from fabric.watchers import no_route_lost, stay_bound

LEAF, CONTROL, OURS, SECOND = (f"192.168.7.{n}" for n in (1, 10, 5, 6))
LEAF6 = "fd07::1"
NODES = {f"n{i}": f"192.168.7.2{i}" for i in range(1, 5)}
NODES6 = {f"n{i}": f"fd07::2{i}" for i in range(1, 5)}
CLIENT, CLIENT6 = "10.99.0.2", "fd99::2"
PROXY_PORT = 7443
# where an instance may run; the leaf expects a session from the first two
_SPEAKERS = {"porter": OURS, "second": SECOND}
_ADDRESSES = {**_SPEAKERS, "control": CONTROL}
_LAST_PORT = 32767  # below those that the kernel chooses
_HERE = Path(__file__).parent


class Worker:
    """A node: kube-proxy and a kubelet."""

    def __init__(self, fabric: Fabric, name: str, control: ControlPlane) -> None:
        self.name, self.address = name, NODES[name]
        self.host = fabric.hosts[name]
        self._control = control
        self._kubelet: subprocess.Popen[bytes]
        self._proxy: subprocess.Popen[bytes]

    def start(self) -> None:
        """Starts both."""
        self.start_proxy()
        number = self.name[1:]
        self._kubelet = self.host.spawn(
            f"{sys.executable} {_HERE}/kubelet.py --url {self._control.url} --token {ADMIN} "
            f"--node {self.name} --addresses {self.address} {NODES6[self.name]} "
            f"--pods 10.244.{number}. fd44:{number}::",
            "kubelet.log",
        )

    def start_proxy(self) -> None:
        """Starts kube-proxy."""
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": self.name,
            "clusterCIDR": "10.244.0.0/16,fd44::/16",
            "bindAddress": self.address,
            "clientConnection": {"kubeconfig": str(self._control.admin)},
            "conntrack": {
                "maxPerCore": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            "nftables": {"minSyncPeriod": "50ms"},
        }
        path = self.host.folder / "kube-proxy.yaml"
        path.write_text(yaml.safe_dump(config))
        self._proxy = self.host.spawn(
            f"{self._control.binaries}/kube-proxy --config {path}", "kube-proxy.log"
        )

    def kill_proxy(self) -> None:
        """Ends kube-proxy by SIGKILL; its rules stay in the kernel."""
        self._proxy.kill()
        self._proxy.wait()

    def fall_silent(self) -> None:
        """The kubelet reports nothing any more; its Pods go on serving."""
        self._kubelet.send_signal(signal.SIGUSR1)

    def speak(self) -> None:
        """The kubelet reports again."""
        self._kubelet.send_signal(signal.SIGUSR2)


class Cluster:
    """All of it; `api` is the control plane."""

    def __init__(self, fabric: Fabric, binaries: Path) -> None:
        self.fabric = fabric
        self._programs: list[Program] = []
        self._unused_port = 1024
        self._build_network()
        self.api = ControlPlane(fabric.hosts["control"], CONTROL, binaries)
        self.client = fabric.hosts["client"]
        neighbours = [Neighbour(address, 65000) for address in _SPEAKERS.values()]
        self.leaf = Frr(fabric, fabric.hosts["leaf"], 65001, LEAF, neighbours)
        self.workers = {name: Worker(fabric, name, self.api) for name in NODES}

    def _build_network(self) -> None:
        switch = self.fabric.switch("switch")
        hosts = {"leaf": LEAF, "control": CONTROL, "porter": OURS, "second": SECOND, **NODES}
        for name, address in hosts.items():
            host = self.fabric.host(name)
            # other clusters stand beside: who has to be in time comes before what only has to work
            host.nice = 0 if name == "control" else -20
            six = f"fd07::{address.rpartition('.')[2]}"
            self.fabric.link(host, switch, [f"{address}/24", f"{six}/64"], [])
            if name != "leaf":
                host.run(f"ip route add default via {LEAF}")
                host.run(f"ip route add default via {LEAF6}")
            for other in NODES.keys() - {name}:
                number = other[1:]
                host.run(f"ip route add 10.244.{number}.0/24 via {NODES[other]}")
                host.run(f"ip route add fd44:{number}::/64 via {NODES6[other]}")
        client, leaf = self.fabric.host("client"), self.fabric.hosts["leaf"]
        client.nice = -20
        ours, theirs = [f"{CLIENT}/24", f"{CLIENT6}/64"], ["10.99.0.1/24", "fd99::1/64"]
        self.fabric.link(client, leaf, ours, theirs)
        client.run("ip route add default via 10.99.0.1")
        client.run("ip route add default via fd99::1")

    def start(self) -> Cluster:
        """Starts it, with the shipped manifests applied and the nodes Ready."""
        self.leaf.start()
        self.api.start()
        self.api.install()
        nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": n}} for n in NODES]
        self.api.apply(*nodes)
        for worker in self.workers.values():
            worker.start()
        self.api.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s")
        return self

    # -- what runs on it ---------------------------------------------------------------------------

    def instance(
        self, host: str = "porter", kubeconfig: Path | None = None, **more: Json
    ) -> Program:
        """The program on a host, with the token of its ServiceAccount."""
        address = _ADDRESSES[host]
        sections: dict[str, Json] = {
            "porter": {},
            "kubernetes": {
                "kubeconfig": kubeconfig or self.api.service_account("porter-ryu"),
                "manifests": "",
            },
            "bgp": {"local_as": 65000, "router_id": address, "peers": "leaf"},
            "peer:leaf": {"address": LEAF, "remote_as": 65001, "connect_retry": 1},
            "bound_ip": {"mode": "address"},
        }
        for group, keys in more.items():
            sections[group] = {**sections.get(group, {}), **keys}
        name = f"porter{len(self._programs)}"
        self._programs.append(Program(self.fabric.hosts[host], sections, name=name))
        return self._programs[-1]

    @contextlib.contextmanager
    def running(
        self, host: str = "porter", kubeconfig: Path | None = None, **more: Json
    ) -> Iterator[Program]:
        """An instance for as long as the `with` lasts; its routes are gone after it."""
        program = self.instance(host, kubeconfig, **more).start()
        try:
            yield program
        finally:
            killed = program.process.poll() is not None
            with contextlib.suppress(Exception):
                program.end_for_good()
            program.process.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(30)
            end(program.process)
            if killed and host in _SPEAKERS:
                self.leaf.forget(_SPEAKERS[host])

    def pod(
        self, name: str, node: str, app: str = "web", grace: int = 2, **annotations: str
    ) -> Json:
        """A Pod on a node."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": app}},
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": grace,
                "containers": [{"name": "c", "image": "none"}],
                "tolerations": [{"operator": "Exists"}],
            },
        }

    # -- what is seen of it ------------------------------------------------------------------------

    def routed(self, address: str, *nodes: str, within: float = 10) -> None:
        """The leaf's kernel comes to have exactly these nodes as next hops of an address or a
        prefix."""
        version = ip_interface(address).version
        want = frozenset((NODES if version == 4 else NODES6)[name] for name in nodes)
        try:
            wait_for(
                lambda: self.leaf.routes(version).get(address, frozenset()),
                lambda seen: seen == want,
                within,
                f"{address} by {nodes}",
            )
        except FabricError as error:
            raise FabricError(f"{error}\n{self.description()}") from error

    def proxied(self, eip: str, pod: str, node: str, within: float = 20) -> None:
        """kube-proxy on a node comes to send requests for an EIP to a Pod.  Until it knows the EIP,
        it sends them back to the leaf; until it knows a first Pod of the Service, it drops them."""
        address = self.api.get("pod", pod)["status"]["podIP"]
        wait_for(
            lambda: self.workers[node].host.run("nft list table ip kube-proxy"),
            lambda rules: (
                f" {eip} . tcp . 80 : goto " in rules
                and (f" {address}:" in rules or f" {address} " in rules)
            ),
            within,
            f"kube-proxy on {node} to know {eip} and {pod}",
        )

    def description(self) -> str:
        """What there is, for whoever reads a failure."""
        kinds = "pods,endpointslices,services,eips,nodes"
        text = self.api.kubectl("get", kinds, "-A", "-o", "wide", check=False)
        tails = (f"{program.log}: {program.tail()}" for program in self._programs[-2:])
        return "\n".join([text, *tails])

    def ask(self, address: str) -> list[str]:
        """Who answered and whom it saw, as the client asks once; empty where nobody does."""
        try:
            return get(self.client, "/", 2, 80, address).text.split()
        except FabricError:
            return []

    def record(self, service: str, namespace: str = "default") -> list[str]:
        """The addresses in a Service's status."""
        status = self.api.get("service", service, namespace)["status"]
        return [entry["ip"] for entry in status["loadBalancer"].get("ingress", ())]

    def used(self, pool: str, addresses: int, within: float = 10) -> Json:
        """An Eip comes to say that so many of its addresses are held; its status.  It is written
        once a second at most."""
        return wait_for(
            lambda: self.api.get("eip", pool).get("status", {}),
            lambda status: status.get("usage", 0) == addresses,
            within,
            f"Eip {pool} to say that {addresses} are held",
        )

    def free(self, pool: str) -> None:
        """An Eip comes to say that none of its addresses is held."""
        self.used(pool, 0, 60)

    @contextlib.contextmanager
    def load(self, address: str, rate: int = 100) -> Iterator[Json]:
        """Requests at a steady rate for as long as the `with` lasts; then the value is what the
        client counted."""
        name = f"load-{address}.json"
        (self.client.folder / name).unlink(missing_ok=True)
        argv = [sys.executable, f"{_HERE}/load.py", address, str(rate), str(self._unused_port)]
        process = self.client.spawn(argv, name)
        seen: Json = {}
        try:
            yield seen
        finally:
            end(process)
            seen.update(json.loads(self.client.log(name)))
            self._unused_port += seen["asked"]
            if self._unused_port > _LAST_PORT:
                raise FabricError("the client has used every source port that is not ephemeral")

    @contextlib.contextmanager
    def no_route_lost(self, *addresses: str) -> Iterator[None]:
        """Fails where the leaf's kernel lost one of these routes (default: all that it has), or a
        next hop, meanwhile."""
        before = self.leaf.routes()
        before = {address: before[address] for address in addresses or before}
        try:
            with no_route_lost(self.leaf.host, before):
                yield
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.description()}") from error


def stays_bound(host: Host, address: str) -> contextlib.AbstractContextManager[None]:
    """Fails where an address is not bound on a host, or was not for a moment meanwhile."""
    return stay_bound(host, frozenset([address]))


@contextlib.contextmanager
def standing(binaries: Path) -> Iterator[Cluster]:
    """A cluster for as long as the `with` lasts."""
    with Fabric() as fabric:
        cluster = Cluster(fabric, binaries)
        try:
            yield cluster.start()
        finally:
            cluster.api.stop()


def web(name: str = "web", policy: str = "Cluster", app: str = "web", **more: Any) -> Json:
    """A Service of ours over the Pods of an app."""
    ports = [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return service(name, selector={"app": app}, ports=ports, externalTrafficPolicy=policy, **more)


def silence(host: Host, address: str) -> None:
    """Every packet between a host and an address is lost from now on."""
    host.run(f"iptables -I INPUT -s {address} -j DROP")
    host.run(f"iptables -I OUTPUT -d {address} -j DROP")


def end_silence(host: Host, address: str) -> None:
    """Packets pass again."""
    host.run(f"iptables -D INPUT -s {address} -j DROP")
    host.run(f"iptables -D OUTPUT -d {address} -j DROP")
