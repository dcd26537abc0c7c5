"""Reads the [openflow] group, and reports the errors in it."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from ipaddress import ip_address

from msgspec import Struct

from porter_ryu.domain.model import Address
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, MODES
from porter_ryu.domain.special_purpose import never_a_next_hop
from porter_ryu.log import reason_of
from porter_ryu.openflow.config import Affinity, Base, OpenFlowSettings
from porter_ryu.settings_file import quoted_value
from porter_ryu.settings_http import check_controller_port
from porter_ryu.settings_reader import DEFAULT, Reader

_MILLISECONDS = 1000
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_DATAPATH = re.compile(r"(0[xX])?[0-9A-Fa-f]{1,16}")
_GROUP_BIT = 1
_DEFAULT_PORT = 6653
_MAX_PORT = 65535


class ControllerSettings(Struct, frozen=True):
    """Ryu's own options for its controller, in [DEFAULT]; the files are those of TLS (empty:
    none).  `port_key` is the option of the port."""

    host: str
    port: int
    private_key: str
    certificate: str
    authorities: str
    port_key: str = "ofp_tcp_listen_port"


def read_openflow(r: Reader) -> OpenFlowSettings:
    """What the switches are told."""
    enabled = bool(r.get("openflow", "enabled"))
    mode = MODES[r.get("bgp", "next_hops") or ENDPOINTS.name]
    if enabled and not mode.central:
        text = f"is for a central instance, but [bgp] next_hops is {mode.name}"
        r.fault("openflow", "enabled", text)
    return OpenFlowSettings(
        enabled=enabled,
        datapaths=frozenset(_datapaths(r)),
        virtual_mac=_mac(r),
        gateways=tuple(dict.fromkeys(_gateways(r))),
        base=Base(r.get("openflow", "base") or Base.NORMAL.value),
        buckets=r.get("openflow", "buckets"),
        affinity=Affinity(r.get("openflow", "affinity") or Affinity.NONE.value),
        probe_seconds=(r.get("openflow", "probe_ms") or _MILLISECONDS) / _MILLISECONDS,
        panic_percent=r.get("kubernetes", "panic_percent"),
        max_next_hops=r.get("bgp", "max_next_hops"),
    )


def read_controller(r: Reader) -> ControllerSettings:
    """Where the controller listens; with a key and a certificate it speaks TLS only, as Ryu's."""
    key, certificate = r.get(DEFAULT, "ctl_privkey") or "", r.get(DEFAULT, "ctl_cert") or ""
    name = "ofp_ssl_listen_port" if key and certificate else "ofp_tcp_listen_port"
    port = r.get(DEFAULT, name)
    authorities = r.get(DEFAULT, "ca_certs") or ""
    if port is not None and not 0 < port <= _MAX_PORT:
        r.fault(DEFAULT, name, f"{port} is not a port number")
    elif r.get("openflow", "enabled"):
        check_controller_port(r, name, port or _DEFAULT_PORT)
        _check_tls(r, key, certificate, authorities)
    host = r.get(DEFAULT, "ofp_listen_host") or ""
    return ControllerSettings(host, port or _DEFAULT_PORT, key, certificate, authorities, name)


def _check_tls(r: Reader, key: str, certificate: str, authorities: str) -> None:
    """Reports files for TLS that cannot be used, and those without which there would be no TLS."""
    files = {"ctl_privkey": key, "ctl_cert": certificate, "ca_certs": authorities}
    given = [name for name, path in files.items() if path]
    if given and not (key and certificate):
        missing = "ctl_cert" if key else "ctl_privkey"
        r.fault(DEFAULT, given[0], f"is for TLS, which needs {missing} as well")
        return
    gone = [name for name in given if not os.path.isfile(files[name])]
    for name in gone:
        r.fault(DEFAULT, name, f"there is no file {files[name]}")
    if gone or not given:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except (OSError, ValueError) as error:
        text = f"{certificate} cannot be used with the key {key}: {reason_of(error)}"
        r.fault(DEFAULT, "ctl_cert", text)
    try:
        if authorities:
            context.load_verify_locations(authorities)
    except (OSError, ValueError) as error:
        r.fault(DEFAULT, "ca_certs", f"{authorities} cannot be used: {reason_of(error)}")


def _no_password() -> str:
    """Instead of a question at the terminal."""
    raise ValueError("the key has a password")


def _datapaths(r: Reader) -> Iterator[int]:
    for text in r.get("openflow", "datapaths") or ():
        if not _DATAPATH.fullmatch(text):
            example = "a datapath like 00000000000000a1"
            r.fault("openflow", "datapaths", f"{quoted_value(text)} is not {example}")
        else:
            yield int(text, 16)


def _mac(r: Reader) -> bytes:
    text = r.get("openflow", "virtual_mac") or ""
    mac = bytes.fromhex(text.replace(":", "")) if _MAC.fullmatch(text) else b""
    if not mac:
        text = f"{quoted_value(text)} is not a MAC like 02:50:52:59:55:01"
        r.fault("openflow", "virtual_mac", text)
    elif mac[0] & _GROUP_BIT or not any(mac):
        r.fault("openflow", "virtual_mac", f"{text} is not the MAC of a single host")
    return mac or bytes(6)


def _gateways(r: Reader) -> Iterator[Address]:
    for text in r.get("openflow", "gateways") or ():
        try:
            address = ip_address(text)
        except ValueError:
            r.fault("openflow", "gateways", f"{quoted_value(text)} is not an IP address")
            continue
        purpose = never_a_next_hop(address)
        if purpose and not address.is_link_local:
            r.fault("openflow", "gateways", f"{address} is {purpose}")
        yield address
