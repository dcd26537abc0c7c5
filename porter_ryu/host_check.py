"""`porter-ryu check`: finds what on this host or at the API server would prevent operation.

It changes nothing, and sends nothing but access reviews to the API server.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from ipaddress import ip_address

from porter_ryu import state_dir
from porter_ryu.bgp import transport
from porter_ryu.domain.model import Address, Family, Kind
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.resources import RESOURCES
from porter_ryu.liveness import echo_socket
from porter_ryu.liveness.echo import MARK_OCTETS
from porter_ryu.liveness.probes import ProbeKind
from porter_ryu.log import reason_of
from porter_ryu.node.iproute import IpError, IpRoute
from porter_ryu.node.link_notices import open_socket
from porter_ryu.settings import Settings

_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_RP_FILTER_STRICT = "1"
_LOCAL_ADDRESS, _STATE, _INODE = 1, 3, 9  # columns of /proc/net/tcp
_STATE_LISTEN = "0A"
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


def findings(settings: Settings) -> Iterator[str]:
    """One sentence for each problem that these settings have on this host."""
    for group in settings.unused_peer_groups:
        yield f"[{group}] is not used: [bgp] peers does not list it"
    running = _Running(settings.state_dir)
    yield from _addresses(settings, running)
    yield from _http(settings, running)
    yield from _interface(settings)
    yield from _echo(settings)
    yield from _writable("[porter] state_dir", settings.state_dir)
    if settings.manifests and settings.allocate:
        yield from _writable("[kubernetes] manifests", os.path.join(settings.manifests, ".status"))
    yield from _api_server(settings)


def _addresses(settings: Settings, running: _Running) -> Iterator[str]:
    bgp = settings.bgp
    if not bgp.enabled:
        return
    try:
        own = IpRoute().host_addresses()
    except IpError as error:
        yield f"the addresses of this host cannot be read: {error}"
        return
    listens: set[Address] = set(bgp.listen_addresses or ())
    for peer in bgp.peers:
        if peer.local_address is not None and peer.local_address not in own:
            key = "local_addresses" if peer.fan_out else "local_address"
            yield f"[peer:{peer.peer}] {key}: this host does not have {peer.local_address}"
        local = peer.local_address or transport.source_address(peer.address)
        if local is None:
            yield f"[peer:{peer.name}] address: there is no route to {peer.address}"
        elif bgp.listen_addresses == ():
            listens.add(local)
    for address in sorted(listens, key=str):
        if str(address) not in _WILDCARDS and address not in own:
            if address in (bgp.listen_addresses or ()):
                yield f"[bgp] listen_addresses: this host does not have {address}"
            continue
        yield from _port("[bgp] listen_port", address, bgp.listen_port, running)


def _http(settings: Settings, running: _Running) -> Iterator[str]:
    host, port = settings.http
    try:
        address = ip_address(host or "0.0.0.0")  # noqa: S104 - the server listens there if it is empty
    except ValueError:
        return  # a host name
    yield from _port("[DEFAULT] wsapi_port", address, port, running)


class _Running:
    """The instance that runs with this state_dir; it may hold the ports."""

    def __init__(self, path: str) -> None:
        self._pid = state_dir.holder_of(path)

    def listens(self, port: int) -> bool:
        """Whether this instance listens on a TCP port."""
        if self._pid is None:
            return False
        sockets = {inode for family in ("tcp", "tcp6") for inode in _listening(family, port)}
        folder = f"/proc/{self._pid}/fd"
        try:
            return any(_link(f"{folder}/{name}") in sockets for name in os.listdir(folder))
        except OSError:
            return False


def _listening(family: str, port: int) -> Iterator[str]:
    """The sockets that listen on a port, as the links in /proc/PID/fd name them."""
    try:
        with open(f"/proc/net/{family}", encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return
    for row in rows:
        if row[_STATE] == _STATE_LISTEN and int(row[_LOCAL_ADDRESS].rpartition(":")[2], 16) == port:
            yield f"socket:[{row[_INODE]}]"


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _port(key: str, address: Address, port: int, running: _Running) -> Iterator[str]:
    try:
        transport.listen(address, port).close()
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        if in_use and running.listens(port):
            return
        reason = "another process listens there" if in_use else reason_of(error)
        yield f"{key}: cannot listen on {address} port {port}: {reason}"


def _interface(settings: Settings) -> Iterator[str]:
    if settings.bind_mode == "none":
        return
    name = settings.interface
    try:
        name = name or IpRoute().default_routes().interface or ""
    except IpError as error:
        yield f"[bound_ip] interface: {error}"
        return
    if not name:
        if settings.bind_mode == "address":
            yield "[bound_ip] interface: is empty, and this host has no default route"
        return
    if not os.path.isdir(f"/sys/class/net/{name}"):
        yield f"[bound_ip] interface: there is no interface {name}"
        return
    for scope in ("all", name):
        if _rp_filter(scope) == _RP_FILTER_STRICT:
            yield (
                f"net.ipv4.conf.{scope}.rp_filter is 1 (strict): the kernel drops a packet to an "
                "EIP if the reply would leave by another interface; use 2 (loose)"
            )
    if os.geteuid() != 0:
        yield f"[bound_ip] mode: {settings.bind_mode} needs NET_ADMIN, but this user is not root"
    elif settings.bind_mode == "address":
        yield from _link_notices()


def _link_notices() -> Iterator[str]:
    try:
        open_socket().close()
    except OSError as error:
        why = reason_of(error)
        yield f"[bound_ip] mode: neighbours on the link are not told of an EIP that is bound: {why}"


def _echo(settings: Settings) -> Iterator[str]:
    """Whether this process may send ICMP echo requests."""
    if not any(probe.kind is ProbeKind.ICMP for probe in settings.liveness.probes):
        return
    try:
        echo_socket.EchoSocket(Family.IPV4, bytes(MARK_OCTETS)).close()
    except OSError as error:
        yield f"[liveness] probes: icmp {echo_socket.NEEDS}: {reason_of(error)}"


def _rp_filter(scope: str) -> str:
    try:
        with open(f"/proc/sys/net/ipv4/conf/{scope}/rp_filter", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _writable(key: str, path: str) -> Iterator[str]:
    folder = os.path.abspath(path)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        yield f"{key}: {path} cannot be written"


def _api_server(settings: Settings) -> Iterator[str]:
    if settings.manifests:
        return
    try:
        client = Client(settings.kubeconfig)
        for attributes in _rights(settings):
            if not _allowed(client, attributes):
                names = (attributes["resource"], attributes["subresource"])
                resource = "/".join(name for name in names if name)
                namespace = f" in {attributes['namespace']}" if attributes["namespace"] else ""
                yield f"the API server does not allow: {attributes['verb']} {resource}{namespace}"
    except ApiError as error:
        yield f"the API server cannot be queried: {error}"


def _rights(settings: Settings) -> Iterator[dict[str, str]]:
    def right(verb: str, group: str, resource: str, **more: str) -> dict[str, str]:
        blank = {"subresource": "", "namespace": "", "name": ""}
        return {**blank, "verb": verb, "group": group, "resource": resource, **more}

    for kind, resource in RESOURCES.items():
        yield right("list", resource.group, kind.value)
        yield right("watch", resource.group, kind.value)
    if settings.allocate:
        for kind in (Kind.SERVICE, Kind.EIP):
            yield right("patch", RESOURCES[kind].group, kind.value, subresource="status")
        yield right("create", "", "events")
        yield right("patch", "", "events")
        for verb in ("get", "update"):
            lease = {"namespace": settings.namespace, "name": "porter-ryu"}
            yield right(verb, "coordination.k8s.io", "leases", **lease)


def _allowed(client: Client, attributes: dict[str, str]) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: text for key, text in attributes.items() if text}},
    }
    status = client.request("POST", _REVIEW, body=review).get("status")
    return isinstance(status, dict) and status.get("allowed") is True
