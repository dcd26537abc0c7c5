"""Reads the [peer:NAME] groups into values, and reports the errors in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from porter_ryu.domain.announcement import PathAttributes
from porter_ryu.domain.communities import CommunityError, parse_communities
from porter_ryu.domain.eip_advertisements import MAX_COMMUNITIES
from porter_ryu.domain.labels import LabelSelector, SelectorError, parse_selector
from porter_ryu.domain.model import Address, Family
from porter_ryu.domain.nodes.next_hop_modes import MODES
from porter_ryu.domain.peering import (
    BgpRole,
    ConnectMode,
    PeerConfig,
    Secret,
    session_address,
)
from porter_ryu.log import reason_of
from porter_ryu.options import NO_ROLE, PEER, PEER_PREFIX
from porter_ryu.settings_file import quoted_value, read_octets
from porter_ryu.settings_reader import Reader

FAMILIES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
MAX_SESSIONS = 32  # of a peer with fan-out
MD5_KEY_MAX = 80  # octets: TCP_MD5SIG_MAXKEYLEN of Linux
_MAX_KEY_FILE_OCTETS = 1 << 16
REFUSED_HOLD_TIMES = (1, 2)  # seconds
HOLD_TIME_RULE = "must be 0 or at least 3 (RFC 4271, 4.2)"
# the name is also a file name, a metric label and part of a group name
PEER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}")
PEER_NAME_RULE = (
    "is not a valid peer name: 1 to 63 letters, digits, '.', '_', ':' and '-', starting with a "
    "letter or digit"
)


def peer_names(r: Reader) -> list[str]:
    """The names in [bgp] peers, once each, in order."""
    names = r.get("bgp", "peers") or []
    found: dict[str, str] = {}
    for name in names:
        if not name:
            r.fault("bgp", "peers", "has an empty entry")
        elif not PEER_NAME.fullmatch(name):
            r.fault("bgp", "peers", f"{quoted_value(name)} {PEER_NAME_RULE}")
        elif name in found.values():
            r.fault("bgp", "peers", f"{name} is listed twice")
        elif name.lower() in found:
            other = found[name.lower()]
            r.fault(
                "bgp", "peers", f"{name} and {other} differ only in case, which oslo.config ignores"
            )
        else:
            found[name.lower()] = name
    return list(found.values())


def read_peers(r: Reader, names: list[str], never_listens: bool) -> Iterator[PeerConfig]:
    """The sessions that are wanted with the peers with these names whose groups have no error."""
    is_set = any("peers" in document.groups.get("bgp", {}) for document in r.documents)
    groups = [group for d in r.documents for group, keys in d.groups.items() if keys]
    written = sorted(group for group in groups if group.startswith(PEER_PREFIX))
    if not names and written and not is_set:
        # a truncated file, or one that lost its [bgp] group: it does not mean "drop all sessions"
        r.fault("bgp", "peers", f"is not set, but there is a group [{written[0]}]")
    seen: dict[Address, str] = {}
    listed = {PEER_PREFIX + name for name in names}
    for name in names:
        group = PEER_PREFIX + name
        if group not in r.groups:
            near = difflib.get_close_matches(group, {*r.groups}, 1)
            hint = f"; did you mean [{near[0]}]?" if near and near[0] not in listed else ""
            r.fault("bgp", "peers", f"{name} is listed, but there is no group [{group}]{hint}")
            continue
        r.register(group, PEER)
        before = len(r.faults)
        peer = _peer(r, name, group)
        if never_listens and r.get(group, "mode") == "passive":
            r.fault(group, "mode", "passive needs a listener, but [bgp] listen_addresses is none")
        if peer is None:
            continue
        if peer.address in seen:
            r.fault(group, "address", f"is also the address of [{PEER_PREFIX}{seen[peer.address]}]")
        seen.setdefault(peer.address, name)
        fan_out = _fan_out(r, group, peer)
        if len(r.faults) == before:
            yield from _sessions(peer, fan_out)


def _fan_out(r: Reader, group: str, peer: PeerConfig) -> tuple[Address, ...]:
    """The addresses of this host from which a peer has sessions; empty without fan-out."""
    key = "local_addresses"
    found: list[Address] = []
    for text in r.get(group, key) or ():
        try:
            local = session_address(text)
        except ValueError as error:
            r.fault(group, key, str(error))
            continue
        if local in found:
            r.fault(group, key, f"{local} is listed twice")
        elif local.version != peer.address.version:
            r.fault(group, key, f"{local} is not of the same family as address {peer.address}")
        elif local == peer.address:
            r.fault(group, key, f"{local} is also the address of the peer")
        found.append(local)
    if not found:
        return ()
    if len(found) > MAX_SESSIONS:
        r.fault(group, key, f"has {len(found)} addresses, but a peer may have {MAX_SESSIONS}")
    if r.get(group, "local_address"):
        r.fault(group, key, "excludes local_address, which is also set")
    mode = MODES.get(r.get("bgp", "next_hops"))
    if mode is not None and not mode.central:
        text = f"is for a central instance, but [bgp] next_hops is {mode.name}"
        r.fault(group, key, text)
    return tuple(sorted(found, key=int))


def _sessions(peer: PeerConfig, fan_out: tuple[Address, ...]) -> Iterator[PeerConfig]:
    """The one session of a peer, or one from each address in `fan_out`, without ADD-PATH."""
    if not fan_out:
        yield peer
    for local in fan_out:
        name = f"{peer.name}@{local}"
        yield replace(peer, name=name, local_address=local, fan_out=fan_out, add_path=False)


def _peer(r: Reader, name: str, group: str) -> PeerConfig | None:
    address, remote_as = _address(r, group), _remote_as(r, group)
    local = r.parse(group, "local_address", session_address)
    if local is not None and address is not None:
        if local.version != address.version:
            r.fault(group, "local_address", f"is not of the same family as address {address}")
        elif local == address:
            r.fault(group, "local_address", "is also the address of the peer")
    hold_time = r.get(group, "hold_time")
    if hold_time in REFUSED_HOLD_TIMES:
        r.fault(group, "hold_time", HOLD_TIME_RULE)
    if hold_time is None:
        hold_time = r.get("bgp", "hold_time")
    if r.get(group, "bfd") and (r.get(group, "multihop_ttl") or 1) > 1:
        r.fault(group, "bfd", "is for a single hop only (RFC 5881), but multihop_ttl is above 1")
    local_pref = r.get(group, "local_pref")
    if local_pref is not None and remote_as not in (None, r.get("bgp", "local_as")):
        text = "is for internal peers only (RFC 4271, 5.1.5), but remote_as is not [bgp] local_as"
        r.fault(group, "local_pref", text)
    if r.get(group, "as_path_prepend") and remote_as == r.get("bgp", "local_as"):
        text = "is for external peers only (RFC 4271, 5.1.2), but remote_as is [bgp] local_as"
        r.fault(group, "as_path_prepend", text)
    role = _role(r, group, remote_as)
    families = _families(r, group)
    standard, large = _communities(r, group)
    selector = _selector(r, group)
    password = _password(r, group)
    rest: dict[str, Any] = {key: r.get(group, key) for key in _UNCHANGED_KEYS}
    if address is None:
        return None
    return PeerConfig(
        name=name,
        address=address,
        remote_as=remote_as,
        mode=ConnectMode(r.get(group, "mode") or "both"),
        local_address=local,
        password=password,
        hold_time=hold_time,
        families=families,
        node_selector=selector,
        role=role,
        attributes=PathAttributes(
            standard, large, local_pref, r.get(group, "med"), r.get(group, "as_path_prepend") or 0
        ),
        **rest,
    )


_UNCHANGED_KEYS = (
    "port",
    "ttl_security",
    "multihop_ttl",
    "connect_retry",
    "add_path",
    "bfd",
    "bfd_interval_ms",
    "bfd_multiplier",
)


def _address(r: Reader, group: str) -> Address | None:
    before = len(r.faults)
    address = r.parse(group, "address", session_address)
    if address is None and len(r.faults) == before:
        r.fault(group, "address", "is required")
    return address


def _remote_as(r: Reader, group: str) -> Any:
    before = len(r.faults)
    remote_as = r.get(group, "remote_as")
    if remote_as is None and len(r.faults) == before:
        r.fault(group, "remote_as", "is required")
    return remote_as


def _role(r: Reader, group: str, remote_as: Any) -> BgpRole | None:
    name = r.get(group, "role") or NO_ROLE
    if name == NO_ROLE:
        return None
    if remote_as is not None and remote_as == r.get("bgp", "local_as"):
        text = "is for external peers only (RFC 9234), but remote_as is [bgp] local_as"
        r.fault(group, "role", text)
    return BgpRole(name)


def _families(r: Reader, group: str) -> frozenset[Family]:
    families = r.get(group, "families") or ()
    for text in families:
        if text not in FAMILIES:
            r.fault(group, "families", f"{quoted_value(text)} is neither ipv4 nor ipv6")
    if not families:
        r.fault(group, "families", "must name ipv4, ipv6 or both")
    return frozenset(FAMILIES[text] for text in families if text in FAMILIES)


def _communities(r: Reader, group: str) -> tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]:
    try:
        found = parse_communities(r.get(group, "communities") or ())
    except CommunityError as error:
        r.fault(group, "communities", str(error))
        return (), ()
    if found.size > MAX_COMMUNITIES:
        text = f"has {found.size} communities, but a peer may have {MAX_COMMUNITIES}"
        r.fault(group, "communities", text)
    return found


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
    r.key_files.append(path)
    try:
        key = read_octets(path, _MAX_KEY_FILE_OCTETS).rstrip(b"\r\n")
    except (OSError, ValueError) as error:
        r.fault(group, "password_file", f"cannot read {path}: {reason_of(error)}")
        return None
    if not 0 < len(key) <= MD5_KEY_MAX:
        r.fault(group, "password_file", f"{path} must hold 1 to {MD5_KEY_MAX} bytes")
        return None
    return Secret(key)
