"""Finds settings that are valid one by one but cannot be meant together.

The program does what such a file says, so none of them is an error: `check` reports them, and the
log names them at each start and reload.  Only a value that differs from its default counts as
"set": a file may have every default.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from ipaddress import IPv4Address, ip_address, ip_network

from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.nodes.next_hop_modes import MODES
from porter_ryu.domain.peering import ConnectMode, PeerConfig
from porter_ryu.domain.special_purpose import never_next_hops
from porter_ryu.options import OPENFLOW, PEER_PREFIX
from porter_ryu.settings_file import quoted_value
from porter_ryu.settings_reader import DEFAULT, Reader

WEIGHT_ANNOTATION = "porter.kubesphere.io/weight"
_RESERVED_AS = {23456: "AS_TRANS (RFC 6793)", 65535: "reserved (RFC 7300)"}
_REMOVE = "remove the line"


def remark(r: Reader, peers: Iterable[PeerConfig]) -> None:
    """Records a remark for each setting without effect, and for each that contradicts another.
    Every value has been read without an error."""
    sessions = tuple(peers)
    _bgp(r, sessions)
    _without_effect(r, _unused(r))
    _drain(r, sessions)
    _paths(r)
    _lists(r)
    for peer in {session.peer: session for session in sessions}.values():
        _peer(r, peer, PEER_PREFIX + peer.peer)


def is_routing(r: Reader) -> bool:
    """Whether routes go anywhere: to peers, or to switches."""
    return bool(r.get("bgp", "enabled") or r.get("openflow", "enabled"))


# -- what has no effect ---------------------------------------------------------------------------

_Rule = tuple[str, str, bool, str]  # group, key, whether it has no effect, and why


def _unused(r: Reader) -> list[_Rule]:
    """The settings that another setting makes useless."""

    def value(group: str, key: str) -> object:
        return r.get(group, key)

    bgp, routing = bool(value("bgp", "enabled")), is_routing(r)
    central = MODES[r.get("bgp", "next_hops")].central
    mode, manifests = value("bound_ip", "mode"), bool(value("kubernetes", "manifests"))
    own = "next_hops is self: this host is the only next hop"
    restart = "graceful restart is off"
    drains = any(value("drain", key) for key in ("annotation", "taints", "cordoned"))
    probes = bool(value("liveness", "probes"))
    no_routes = "nobody gets a route: [bgp] enabled is false"
    graceful = value("bgp", "graceful_restart")
    single = bool(value("porter", "single_instance")) and central
    restarts = graceful == "true" or (graceful == "auto" and single)
    switches = bool(value("openflow", "enabled"))
    of_switches = [key for of_group, key in r.options if (of_group, key[:4]) == (DEFAULT, "ofp_")]
    of_switches += ["ctl_privkey", "ctl_cert", "ca_certs"]
    off = [(key, not bgp) for key in ("listen_addresses", "listen_port", "router_id", "hold_time")]
    return [
        ("bgp", "peers", not bgp, "[bgp] enabled is false"),
        *(("bgp", key, wrong, "[bgp] enabled is false") for key, wrong in off),
        ("bgp", "max_next_hops", bgp and not central, own),
        ("bgp", "next_hop_networks", bgp and not central, f"{own}, by the address of each session"),
        ("bgp", "restart_time", bgp and not restarts, restart),
        ("bgp", "listen_port", bgp and _never_listens(r), "listen_addresses is none"),
        ("kubernetes", "kubeconfig", manifests, "manifests is set"),
        ("kubernetes", "namespace", manifests, "manifests is set, so there is no Lease"),
        ("bound_ip", "interface", mode == "none", "mode is none"),
        ("bound_ip", "table", mode in ("address", "none"), f"mode is {mode}"),
        *(("openflow", o.dest, not switches, "enabled is false") for o in OPENFLOW),
        *((DEFAULT, key, not switches, "[openflow] enabled is false") for key in of_switches),
        ("liveness", "probes", not routing, no_routes),
        ("liveness", "interval_ms", not probes, "probes is empty"),
        ("liveness", "multiplier", not probes, "probes is empty"),
        ("drain", "seconds", not drains, "nothing drains a node"),
        ("drain", "med", not drains, "nothing drains a node"),
    ]


def _without_effect(r: Reader, rules: Iterable[_Rule]) -> None:
    for group, key, is_unused, why in rules:
        if is_unused and r.is_changed(group, key):
            r.remark(group, key, f"has no effect: {why}", _REMOVE)


def _never_listens(r: Reader) -> bool:
    return [text for text in r.get("bgp", "listen_addresses") if text] == ["none"]


# -- what contradicts something -------------------------------------------------------------------


def _bgp(r: Reader, peers: tuple[PeerConfig, ...]) -> None:
    if not r.get("bgp", "enabled"):
        works = is_routing(r) or r.get("porter", "allocate")
        if not works and r.get("bound_ip", "mode") == "none":
            text = "is false, [porter] allocate too, and nothing is bound: nothing is done"
            r.remark("bgp", "enabled", text, "set one of them")
        return
    if not peers:
        add = "add a [peer:NAME] group for each router and its name here, or set enabled = false"
        r.remark("bgp", "peers", "is empty, so no router gets a route", add)
    for group, key in [("bgp", "local_as"), *((_group(peer), "remote_as") for peer in peers)]:
        number = r.get(group, key)
        if number in _RESERVED_AS:
            text = f"{number} is {_RESERVED_AS[number]}, which no router uses as its own"
            r.remark(group, key, text, "use the AS number of the network")
    _router_id(r, peers)
    _listening(r, peers)
    for text in r.get("bgp", "next_hop_networks"):
        what = never_next_hops(ip_network(text))
        if what:
            wrong = f"{text} is {what}: none of its addresses can be a next hop"
            r.remark("bgp", "next_hop_networks", wrong, "use a network of the nodes")


def _router_id(r: Reader, peers: tuple[PeerConfig, ...]) -> None:
    text = r.get("bgp", "router_id")
    if not text:
        return
    router_id, mend = IPv4Address(text), "use an address of this host"
    for peer in peers:
        if peer.address == router_id:
            wrong = f"{text} is the address of [{_group(peer)}], which may have it as its own"
            r.remark("bgp", "router_id", wrong, mend)
    if _is_nobody(router_id):
        wrong = f"{text} is no address of one host, but must be unique in the network"
        r.remark("bgp", "router_id", wrong, mend)


def _is_nobody(address: IPv4Address) -> bool:
    return address.is_loopback or address.is_multicast or address.is_reserved


def _listening(r: Reader, peers: tuple[PeerConfig, ...]) -> None:
    texts = r.get("bgp", "listen_addresses")
    if not texts or _never_listens(r):
        return
    listens = {ip_address(text) for text in texts if text}
    everywhere = {address.version for address in listens if address.is_unspecified}
    for address in sorted(listens, key=str):
        if address.version in everywhere and not address.is_unspecified:
            wildcard = "0.0.0.0" if address.version == IPv4Address(0).version else "::"  # noqa: S104
            text = f"{address} cannot be listened on beside {wildcard}, which contains it"
            r.remark("bgp", "listen_addresses", text, f"leave out {address} or {wildcard}")
    for peer in peers:
        local, version = peer.local_address, peer.address.version
        if peer.mode is ConnectMode.ACTIVE or version in everywhere:
            continue
        if local is not None and local not in listens:
            text = f"does not contain {local}, at which [{_group(peer)}] calls"
            r.remark("bgp", "listen_addresses", text, f"add {local}")
        elif not any(address.version == version for address in listens):
            text = f"has no IPv{version} address, but [{_group(peer)}] has {peer.address}"
            r.remark("bgp", "listen_addresses", text, f"add an IPv{version} address of this host")


def _group(peer: PeerConfig) -> str:
    return PEER_PREFIX + peer.peer


def _peer(r: Reader, peer: PeerConfig, group: str) -> None:
    internal = peer.remote_as == r.get("bgp", "local_as")
    passive = peer.mode is ConnectMode.PASSIVE
    _without_effect(
        r,
        [
            (group, "bfd_interval_ms", not peer.bfd, "bfd is false"),
            (group, "bfd_multiplier", not peer.bfd, "bfd is false"),
            (group, "connect_retry", passive, "mode is passive: the peer connects"),
            (group, "port", passive, "mode is passive: the peer connects"),
            (
                group,
                "multihop_ttl",
                internal and not peer.ttl_security,
                "it is for external peers, and for ttl_security; remote_as is [bgp] local_as",
            ),
        ],
    )
    contradiction = _contradiction(peer.node_selector)
    if contradiction:
        text = f"matches no node: {contradiction}"
        r.remark(group, "node_selector", text, "write a list of values as: rack in (a, b)")


def _contradiction(selector: LabelSelector) -> str:
    """Why no labels can match a selector; '' if some can."""
    for key in sorted({requirement.key for requirement in selector.requirements}):
        parts = [part for part in selector.requirements if part.key == key]
        allowed = [part.values for part in parts if part.operator == "In"]
        denied = frozenset[str]().union(*(p.values for p in parts if p.operator == "NotIn"))
        operators = {part.operator for part in parts}
        if "DoesNotExist" in operators and operators & {"In", "Exists"}:
            return f"the label {key} would have to be there and not be there"
        if allowed and not frozenset.intersection(*allowed):
            values = ", ".join(sorted(frozenset[str]().union(*allowed)))
            return f"the label {key} would need several values at once ({values})"
        if allowed and not frozenset.intersection(*allowed) - denied:
            return f"the label {key} would need a value that is also excluded"
    return ""


def _drain(r: Reader, peers: tuple[PeerConfig, ...]) -> None:
    annotation = r.get("drain", "annotation")
    if annotation == WEIGHT_ANNOTATION:
        text = f"{annotation} is also the weight of a node: every node with a weight is drained"
        r.remark("drain", "annotation", text, "use another annotation")
    med = r.get("drain", "med")
    for peer in peers:
        if peer.attributes.med is not None and med <= peer.attributes.med:
            text = f"{med} is not above the med of [{_group(peer)}], so a drained node is no worse"
            r.remark("drain", "med", text, f"use more than {peer.attributes.med}")


def _paths(r: Reader) -> None:
    state_dir, manifests = r.get("porter", "state_dir"), r.get("kubernetes", "manifests")
    for group, key in (("porter", "state_dir"), ("kubernetes", "manifests")):
        path = r.get(group, key)
        if path and not os.path.isabs(path):
            text = f"{quoted_value(path)} depends on the directory in which the program is started"
            r.remark(group, key, text, "use a path that begins with /")
    if manifests and os.path.realpath(state_dir) == os.path.realpath(manifests):
        text = f"is also [kubernetes] manifests: {manifests}; its journals are no manifests"
        r.remark("porter", "state_dir", text, "use another directory")


def _lists(r: Reader) -> None:
    for text in r.get("porter", "annotation_values"):
        if " " in text.strip():
            wrong = f"{quoted_value(text)} is one value: commas separate values"
            r.remark("porter", "annotation_values", wrong, "put a comma between the values")
