"""Turns the configuration into Settings, or into one line for each error in it.

`read` is the only entry point: the process uses it at start and at every reload, and so does every
command.  It returns a value, so a reload compares two values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, MODES, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.weights import UNWEIGHTED, WEIGHTS
from porter_ryu.domain.peering import PeerConfig, session_address
from porter_ryu.liveness.probes import LivenessSettings
from porter_ryu.openflow.config import OpenFlowSettings
from porter_ryu.options import PEER_PREFIX, RELOADED, WSAPI_HOST
from porter_ryu.settings_drain import QUALIFIED_NAME, read_drain
from porter_ryu.settings_file import BadConfigurationError, Fault, quoted_value
from porter_ryu.settings_http import read_http, read_http_names
from porter_ryu.settings_liveness import read_liveness
from porter_ryu.settings_names import check_names
from porter_ryu.settings_openflow import ControllerSettings, read_controller, read_openflow
from porter_ryu.settings_peers import HOLD_TIME_RULE, REFUSED_HOLD_TIMES, peer_names, read_peers
from porter_ryu.settings_reader import Reader, open_files
from porter_ryu.settings_remarks import remark

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - the user asks to listen on them
KERNEL_TABLES = (253, 254, 255)
_NEVER_EMPTY = (("porter", "annotation"), ("porter", "state_dir"), ("kubernetes", "namespace"))
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAMES = (
    ("porter", "annotation", QUALIFIED_NAME, "the key of an annotation"),
    ("porter", "load_balancer_class", QUALIFIED_NAME, "a name that a loadBalancerClass can have"),
    ("kubernetes", "namespace", _NAMESPACE, "the name of a namespace"),
)


class BgpSettings(Struct, frozen=True):
    """[bgp] and its peers.

    `router_id` is None for the IPv4 InternalIP of this host.  `listen_addresses` is None if the
    speaker must not listen, and empty for the local address towards each peer.  `restart_time` is
    in seconds, 0 without graceful restart.
    """

    enabled: bool
    local_as: int
    router_id: IPv4Address | None
    listen_addresses: tuple[Address, ...] | None
    listen_port: int
    next_hops: NextHopPolicy
    max_next_hops: int
    restart_time: int
    peers: tuple[PeerConfig, ...]


class Settings(Struct, frozen=True):
    """The whole configuration; names as in the configuration file.

    `fixed`: every key that needs a restart, by group and name, with its value.
    `remarks`: what is valid but cannot be meant, such as a group that nobody reads.
    `key_files`: files besides the configuration whose content is part of these settings.
    `http`: host and port of the HTTP interface, `controller` that of the switches, from Ryu's
    options.  `http_names`: names of this host that a reverse proxy asks by, in lower case.
    """

    annotation: str
    annotation_values: frozenset[str]
    load_balancer_class: str
    node_name: str
    allocate: bool
    state_dir: str
    resync_seconds: int
    kubeconfig: str
    manifests: str
    namespace: str
    panic_percent: int
    bgp: BgpSettings
    drain: DrainPolicy
    liveness: LivenessSettings
    openflow: OpenFlowSettings
    controller: ControllerSettings
    bind_mode: str
    interface: str
    table: int
    file: str = ""
    key_files: tuple[str, ...] = ()
    remarks: tuple[Fault, ...] = ()
    http: tuple[str, int] = (WSAPI_HOST, 8080)
    http_names: frozenset[str] = frozenset()
    fixed: Mapping[tuple[str, str], Any] = field(default_factory=dict)


def read(files: Sequence[str]) -> Settings:
    """The settings of these files, later ones overriding earlier ones; raises
    BadConfigurationError with all errors."""
    settings, _ = read_with_reader(files)
    return settings


def read_with_reader(files: Sequence[str]) -> tuple[Settings, Reader]:
    """The same, and the reader that knows where each value comes from."""
    reader = open_files(files)
    settings = _settings(reader)
    if reader.faults:
        raise BadConfigurationError(tuple(sorted(reader.faults, key=_place(reader))))
    remark(reader, settings.bgp.peers)
    remarks = tuple(sorted(reader.remarks, key=_place(reader)))
    return replace(settings, remarks=remarks), reader


def _place(reader: Reader) -> Callable[[Fault], tuple[int, int]]:
    """Sorts by file and line; what no line says comes first."""
    order = {document.path: number for number, document in enumerate(reader.documents)}
    return lambda fault: (order.get(fault.file, -1), fault.line)


def _settings(r: Reader) -> Settings:
    values = frozenset(r.get("porter", "annotation_values") or ())
    if not values or "" in values:
        r.fault("porter", "annotation_values", "must name at least one value")
    table = r.get("bound_ip", "table")
    if table in KERNEL_TABLES:
        r.fault("bound_ip", "table", f"{table} is reserved by the kernel")
    for key, exists, file_type in (
        ("kubeconfig", os.path.isfile, "file"),
        ("manifests", os.path.isdir, "directory"),
    ):
        path = r.get("kubernetes", key)
        if path and os.path.exists(path) and not exists(path):
            r.fault("kubernetes", key, f"{path} is no {file_type}")
        elif path and not exists(path):
            r.fault("kubernetes", key, f"there is no {file_type} {path}")
    for group, key in _NEVER_EMPTY:
        if r.get(group, key) == "":
            r.fault(group, key, "must not be empty")
    for group, key, names, what in _NAMES:
        name = r.get(group, key)
        if name and not names.fullmatch(name):
            r.fault(group, key, f"{quoted_value(name)} is not {what}")
    return Settings(
        annotation=r.get("porter", "annotation"),
        annotation_values=values,
        load_balancer_class=r.get("porter", "load_balancer_class"),
        node_name=r.get("porter", "node_name"),
        allocate=r.get("porter", "allocate"),
        state_dir=r.get("porter", "state_dir"),
        resync_seconds=r.get("porter", "resync_seconds"),
        kubeconfig=r.get("kubernetes", "kubeconfig"),
        manifests=r.get("kubernetes", "manifests"),
        namespace=r.get("kubernetes", "namespace"),
        panic_percent=r.get("kubernetes", "panic_percent"),
        bgp=_bgp(r),
        drain=read_drain(r),
        liveness=read_liveness(r),
        openflow=read_openflow(r),
        controller=read_controller(r),
        bind_mode=r.get("bound_ip", "mode"),
        interface=r.get("bound_ip", "interface"),
        table=table,
        file=r.documents[0].path if r.documents else "(no file)",
        key_files=tuple(r.key_files),
        http=read_http(r),
        http_names=frozenset(read_http_names(r)),
        fixed={
            (group, key): r.get(group, key)
            for (group, key), option in r.options.items()
            if not (group.startswith(PEER_PREFIX) or (group, key) in RELOADED or option.secret)
        },
    )


def _bgp(r: Reader) -> BgpSettings:
    names = peer_names(r)
    check_names(r, names)
    node_name = r.get("porter", "node_name")
    mode = MODES[r.get("bgp", "next_hops") or ENDPOINTS.name]
    if not mode.central and not node_name:
        r.fault("bgp", "next_hops", f"{mode.name} needs [porter] node_name")
    router_id = r.parse("bgp", "router_id", _router_id)
    if r.get("bgp", "hold_time") in REFUSED_HOLD_TIMES:
        r.fault("bgp", "hold_time", HOLD_TIME_RULE)
    networks = tuple(_networks(r))
    listen = _listen_addresses(r)
    peers = tuple(read_peers(r, names, never_listens=listen is None))
    return BgpSettings(
        enabled=r.get("bgp", "enabled"),
        local_as=r.get("bgp", "local_as"),
        router_id=router_id,
        listen_addresses=listen,
        listen_port=r.get("bgp", "listen_port"),
        next_hops=NextHopPolicy(
            mode,
            node_name,
            networks,
            ipv4_over_ipv6=any(peer.ipv4_over_ipv6 for peer in peers),
            weights=WEIGHTS[r.get("bgp", "weights") or UNWEIGHTED.name],
        ),
        max_next_hops=r.get("bgp", "max_next_hops"),
        restart_time=_restart_time(r, mode),
        peers=peers,
    )


def _restart_time(r: Reader, mode: NextHopMode) -> int:
    graceful_restart = r.get("bgp", "graceful_restart")
    single = r.get("porter", "single_instance") and mode.central
    if graceful_restart == "true" or (graceful_restart == "auto" and single):
        seconds: int = r.get("bgp", "restart_time")
        return seconds
    return 0


def _networks(r: Reader) -> Iterator[Network]:
    for text in r.get("bgp", "next_hop_networks") or ():
        try:
            yield ip_network(text)
        except ValueError:
            r.fault(
                "bgp", "next_hop_networks", f"{quoted_value(text)} is not a network like 10.0.0.0/8"
            )


def _listen_addresses(r: Reader) -> tuple[Address, ...] | None:
    texts = [text for text in r.get("bgp", "listen_addresses") or () if text]
    if texts == ["none"]:
        return None
    addresses = []
    for text in texts:
        try:
            addresses.append(_listen_address(text))
        except ValueError as error:
            r.fault("bgp", "listen_addresses", str(error))
    return tuple(addresses)


def _listen_address(text: str) -> Address:
    """Raises ValueError."""
    return ip_address(text) if text in _WILDCARDS else session_address(text)


def _router_id(text: str) -> IPv4Address:
    """Raises ValueError (RFC 6286, 2.1)."""
    try:
        router_id = IPv4Address(text)
    except ValueError:
        raise ValueError(f"{quoted_value(text)} is not an IPv4 address") from None
    if not int(router_id):
        raise ValueError("0.0.0.0 is not a BGP identifier")
    return router_id
