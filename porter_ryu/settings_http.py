"""Checks the keys about the HTTP interface: those of Ryu's in [DEFAULT] that say where to listen,
and the names that it answers to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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
    if same_port and _meets_bgp(r, _listens(host)):
        r.fault("bgp", "listen_port", _also(port, f"{DEFAULT}] wsapi_port"))
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


def check_controller_port(r: Reader, key: str, port: int) -> None:
    """Whether the port of the OpenFlow controller, which `key` sets, is free of BGP and HTTP."""
    here = _listens(r.get(DEFAULT, "ofp_listen_host") or "")
    http = _listens(r.get(DEFAULT, "wsapi_host") or "")
    both = here is not None and http is not None and _meets(here, [http])
    if both and port == r.get(DEFAULT, "wsapi_port"):
        r.fault(DEFAULT, key, _also(port, f"{DEFAULT}] wsapi_port"))
    if r.get("bgp", "enabled") and port == r.get("bgp", "listen_port") and _meets_bgp(r, here):
        r.fault(DEFAULT, key, _also(port, "bgp] listen_port"))


def _also(port: int, where: str) -> str:
    return f"{port} is also [{where}, on the same address"


def _listens(host: str) -> Address | None:
    """The address that a server listens on; None for the name of a host."""
    return _address(host) if host else _EVERYWHERE


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    """A name whose last part is a number is a wrong IPv4 address (RFC 3696, 2)."""
    last = text.rstrip(".").rpartition(".")[2]
    return _HOST_NAME.fullmatch(text) is not None and not last.isdecimal()


def _meets_bgp(r: Reader, address: Address | None) -> bool:
    """Whether BGP would listen on the address of another server."""
    texts = [text for text in r.get("bgp", "listen_addresses") or () if text]
    if address is None or texts == ["none"]:
        return False
    if not texts:
        return address.is_unspecified  # it listens on the address towards each peer
    return _meets(address, [found for found in map(_address, texts) if found is not None])


def _meets(address: Address, others: Iterable[Address]) -> bool:
    """Whether two servers with one port could not listen on an address and on one of others."""
    same = [other for other in others if other.version == address.version]
    return address in same or any(a.is_unspecified or address.is_unspecified for a in same)
