"""Checks the keys about the HTTP interface: those of Ryu's in [DEFAULT] that say where to listen,
and the names that it answers to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from porter_ryu.domain.model import Address
from porter_ryu.settings_file import quoted_value
from porter_ryu.settings_reader import DEFAULT, Reader

_MAX_PORT = 65535
_HOSTS = ("wsapi_host", "ofp_listen_host")
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_EVERYWHERE = ip_address("0.0.0.0")  # noqa: S104 - the server listens there if the host is empty


def read_http(r: Reader) -> tuple[str, int]:
    """Host and port of the HTTP interface."""
    port = r.get(DEFAULT, "wsapi_port")
    if port is not None and not 0 < port <= _MAX_PORT:
        r.fault(DEFAULT, "wsapi_port", f"{port} is not a port number")
    for key in _HOSTS:
        host = r.get(DEFAULT, key)
        if host and _address(host) is None and not _is_name(host):
            text = f"{quoted_value(host)} is neither an IP address nor the name of a host"
            r.fault(DEFAULT, key, text)
    host = r.get(DEFAULT, "wsapi_host") or ""
    same_port = r.get("bgp", "enabled") and port == r.get("bgp", "listen_port")
    if same_port and _meets_bgp(r, _address(host) if host else _EVERYWHERE):
        r.fault("bgp", "listen_port", f"{port} is also [DEFAULT] wsapi_port, on the same address")
    return host, port


def read_http_names(r: Reader) -> Iterator[str]:
    """The names by which a reverse proxy asks for the HTTP interface, and `wsapi_host`, in lower
    case."""
    names = r.get("porter", "http_names") or ()
    for name in names:
        if not _is_name(name):
            text = f"{quoted_value(name)} is not the name of a host, without a port"
            r.fault("porter", "http_names", text)
    for name in (*names, r.get(DEFAULT, "wsapi_host") or ""):
        yield name.lower().removesuffix(".")


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    """A name whose last part is a number is a wrong IPv4 address (RFC 3696, 2)."""
    last = text.rstrip(".").rpartition(".")[2]
    return _HOST_NAME.fullmatch(text) is not None and not last.isdecimal()


def _meets_bgp(r: Reader, http: Address | None) -> bool:
    """Whether BGP would listen on the address of the HTTP interface."""
    texts = [text for text in r.get("bgp", "listen_addresses") or () if text]
    if http is None or texts == ["none"]:
        return False
    if not texts:
        return http.is_unspecified  # it listens on the address towards each peer
    listens = [address for address in map(_address, texts) if address is not None]
    same = [address for address in listens if address.version == http.version]
    return http in same or any(a.is_unspecified or http.is_unspecified for a in same)
