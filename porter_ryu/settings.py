"""Turns the configuration into Settings, or into one line for each thing wrong with it.

`load` is the only reader of oslo.config here; what it returns is a value, so that a reload is a
comparison of two of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from oslo_config import cfg

from porter_ryu.domain.communities import CommunityError, parse_communities
from porter_ryu.domain.labels import LabelSelector, SelectorError, parse_selector
from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.domain.nodes.next_hops import NextHopMode, NextHopPolicy
from porter_ryu.domain.peering import ConnectMode, PeerConfig, Secret
from porter_ryu.options import GROUPS, PEER, RELOADED
from porter_ryu.settings_reader import BadConfigurationError, Reader, files_of

FAMILIES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
MD5_KEY_MAX = 80  # TCP_MD5SIG_MAXKEYLEN of Linux
REFUSED_HOLD_TIMES = (1, 2)
HOLD_TIME_RULE = "1 and 2 are not allowed (RFC 4271, 4.2): 0, or at least 3"
KERNEL_TABLES = (253, 254, 255)


@dataclass(frozen=True, slots=True)
class BgpSettings:
    """[bgp] and its peers; `router_id` None: this host's own InternalIPv4."""

    enabled: bool
    local_as: int
    router_id: IPv4Address | None
    listen_addresses: tuple[Address, ...] | None
    listen_port: int
    next_hops: NextHopPolicy
    max_next_hops: int
    restart_time: int
    peers: tuple[PeerConfig, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the program is told; names as in the configuration file.

    `fixed`: every key that needs a restart, by group and name, with its value as it was read.
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
    bind_mode: str
    interface: str
    table: int
    file: str = ""
    fixed: Mapping[tuple[str, str], Any] = field(default_factory=dict)


def load(conf: cfg.ConfigOpts) -> Settings:
    """Registers our options on a parsed `conf` and reads them; raises BadConfigurationError."""
    for group, options in GROUPS.items():
        conf.register_opts(options, group=group)
    reader = Reader(conf)
    reader.check_keys()
    settings = _settings(reader)
    if reader.faults:
        raise BadConfigurationError(tuple(reader.faults))
    return settings


def _settings(r: Reader) -> Settings:
    values = frozenset(r.get("porter", "annotation_values") or ())
    if not values or "" in values:
        r.fault("porter", "annotation_values", "must name at least one value")
    table = r.get("bound_ip", "table")
    if table in KERNEL_TABLES:
        r.fault("bound_ip", "table", f"{table} is one of the kernel's own tables")
    for key, exists, what in (
        ("kubeconfig", os.path.isfile, "file"),
        ("manifests", os.path.isdir, "directory"),
    ):
        path = r.get("kubernetes", key)
        if path and not exists(path):
            r.fault("kubernetes", key, f"there is no {what} {path}")
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
        bind_mode=r.get("bound_ip", "mode"),
        interface=r.get("bound_ip", "interface"),
        table=table,
        file=next(iter(files_of(r.conf)), "(no file)"),
        fixed={
            (group, option.name): r.get(group, option.name)
            for group, options in GROUPS.items()
            for option in options
            if (group, option.name) not in RELOADED
        },
    )


def _bgp(r: Reader) -> BgpSettings:
    node_name = r.get("porter", "node_name")
    mode = NextHopMode(r.get("bgp", "next_hops") or "endpoints")
    if mode is NextHopMode.SELF and not node_name:
        r.fault("bgp", "next_hops", "self needs [porter] node_name")
    router_id = r.parse("bgp", "router_id", IPv4Address, "an IPv4 address")
    if router_id is not None and not int(router_id):
        r.fault("bgp", "router_id", "0.0.0.0 is not a BGP identifier")
    if r.get("bgp", "hold_time") in REFUSED_HOLD_TIMES:
        r.fault("bgp", "hold_time", HOLD_TIME_RULE)
    networks = tuple(_networks(r))
    listen = _listen_addresses(r)
    peers = tuple(_peers(r, never_listens=listen is None))
    return BgpSettings(
        enabled=r.get("bgp", "enabled"),
        local_as=r.get("bgp", "local_as"),
        router_id=router_id,
        listen_addresses=listen,
        listen_port=r.get("bgp", "listen_port"),
        next_hops=NextHopPolicy(
            mode, node_name, networks, any(peer.ipv4_over_ipv6 for peer in peers)
        ),
        max_next_hops=r.get("bgp", "max_next_hops"),
        restart_time=_restart_time(r, mode),
        peers=peers,
    )


def _restart_time(r: Reader, mode: NextHopMode) -> int:
    wanted = r.get("bgp", "graceful_restart")
    alone = r.get("porter", "single_instance") and mode is not NextHopMode.SELF
    on = wanted == "true" or (wanted == "auto" and alone)
    return r.get("bgp", "restart_time") if on else 0


def _networks(r: Reader) -> Iterator[Network]:
    for text in r.get("bgp", "next_hop_networks") or ():
        try:
            yield ip_network(text)
        except ValueError:
            r.fault("bgp", "next_hop_networks", f"{text!r} is not a network like 10.0.0.0/8")


def _listen_addresses(r: Reader) -> tuple[Address, ...] | None:
    texts = [text for text in r.get("bgp", "listen_addresses") or () if text]
    if texts == ["none"]:
        return None
    addresses = []
    for text in texts:
        try:
            addresses.append(ip_address(text))
        except ValueError:
            r.fault("bgp", "listen_addresses", f"{text!r} is not an IP address")
    return tuple(addresses)


def _peers(r: Reader, never_listens: bool) -> Iterator[PeerConfig]:
    seen: dict[Address, str] = {}
    names = [name for name in r.get("bgp", "peers") or () if name]
    for name in dict.fromkeys(names):
        group = f"peer:{name}"
        if group not in r.groups:
            r.fault("bgp", "peers", f"{name} is named but there is no group [{group}]")
            continue
        r.conf.register_opts(PEER, group=group)
        before = len(r.faults)
        address = r.parse(group, "address", ip_address, "an IP address")
        if address is None and len(r.faults) == before:
            r.fault(group, "address", "is required")
        if r.get(group, "remote_as") is None and len(r.faults) == before:
            r.fault(group, "remote_as", "is required")
        if address in seen:
            r.fault(group, "address", f"is also that of [peer:{seen[address]}]")
        if never_listens and r.get(group, "mode") == "passive":
            r.fault(group, "mode", "passive needs a listener: [bgp] listen_addresses is none")
        peer = _peer(r, name, group, address)
        if peer is not None and len(r.faults) == before:
            seen[peer.address] = name
            yield peer


def _peer(r: Reader, name: str, group: str, address: Address | None) -> PeerConfig | None:
    local = r.parse(group, "local_address", ip_address, "an IP address")
    if local is not None and address is not None and local.version != address.version:
        r.fault(group, "local_address", f"is not of the family of address {address}")
    hold_time = r.get(group, "hold_time")
    if hold_time in REFUSED_HOLD_TIMES:
        r.fault(group, "hold_time", HOLD_TIME_RULE)
    if hold_time is None:
        hold_time = r.get("bgp", "hold_time")
    if r.get(group, "bfd") and (r.get(group, "multihop_ttl") or 1) > 1:
        r.fault(group, "bfd", "is for a single hop (RFC 5881): multihop_ttl is above 1")
    families = r.get(group, "families") or ()
    for text in families:
        if text not in FAMILIES:
            r.fault(group, "families", f"{text!r} is neither ipv4 nor ipv6")
    if not families:
        r.fault(group, "families", "must name ipv4, ipv6 or both")
    standard, large = _communities(r, group)
    selector = _selector(r, group)
    password = _password(r, group)
    if address is None:
        return None
    return PeerConfig(
        name=name,
        address=address,
        remote_as=r.get(group, "remote_as"),
        port=r.get(group, "port"),
        mode=ConnectMode(r.get(group, "mode") or "both"),
        local_address=local,
        password=password,
        ttl_security=r.get(group, "ttl_security"),
        multihop_ttl=r.get(group, "multihop_ttl"),
        hold_time=hold_time,
        connect_retry=r.get(group, "connect_retry"),
        add_path=r.get(group, "add_path"),
        families=frozenset(FAMILIES[text] for text in families if text in FAMILIES),
        node_selector=selector,
        communities=standard,
        large_communities=large,
        local_pref=r.get(group, "local_pref"),
        med=r.get(group, "med"),
        as_path_prepend=r.get(group, "as_path_prepend"),
        bfd=r.get(group, "bfd"),
        bfd_interval_ms=r.get(group, "bfd_interval_ms"),
        bfd_multiplier=r.get(group, "bfd_multiplier"),
    )


def _communities(r: Reader, group: str) -> tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]:
    try:
        return parse_communities(r.get(group, "communities") or ())
    except CommunityError as error:
        r.fault(group, "communities", str(error))
        return (), ()


def _selector(r: Reader, group: str) -> LabelSelector:
    try:
        return parse_selector(r.get(group, "node_selector") or "")
    except SelectorError as error:
        r.fault(group, "node_selector", str(error))
        return LabelSelector()


def _password(r: Reader, group: str) -> Secret | None:
    path = r.get(group, "password_file")
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            key = file.read().rstrip(b"\r\n")
    except OSError as error:
        r.fault(group, "password_file", f"cannot read {path}: {error.strerror}")
        return None
    if not 0 < len(key) <= MD5_KEY_MAX:
        r.fault(group, "password_file", f"{path} must hold 1 to {MD5_KEY_MAX} bytes")
        return None
    return Secret(key)
