"""Whether the TCP ports that the program listens on are free, or are held by its own instance."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

from porter_ryu.bgp import transport
from porter_ryu.check.finding import Finding, Results
from porter_ryu.check.running import Running
from porter_ryu.domain.model import Address
from porter_ryu.domain.text import quoted
from porter_ryu.log import reason_of
from porter_ryu.settings import Settings

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - the server listens there if its host is empty


def http_port(settings: Settings, running: Running) -> Results:
    """The port of the HTTP interface."""
    host, port = settings.http
    yield from _port_of_a_host("wsapi_host", "wsapi_port", host, port, running)


def controller_port(settings: Settings, running: Running) -> Results:
    """The port of the OpenFlow controller, if there is one."""
    if settings.openflow.enabled:
        where = settings.controller
        host, port, key = where.host, where.port, where.port_key
        yield from _port_of_a_host("ofp_listen_host", key, host, port, running)


def _port_of_a_host(
    host_key: str, port_key: str, host: str, port: int, running: Running
) -> Results:
    """The port on an address, or on that of a name."""
    try:
        address = _address(host or _EVERYWHERE)
    except (OSError, UnicodeError) as error:
        what = f"{quoted(host)} has no IPv4 address: {reason_of(error)}"
        yield Finding(f"[DEFAULT] {host_key}", what, f"use an address, or see: getent hosts {host}")
        return
    yield from port_is_free(f"[DEFAULT] {port_key}", address, port, running)


def _address(host: str) -> Address:
    """The address of a host as the servers find it: of a name the first one of IPv4."""
    try:
        return ip_address(host)
    except ValueError:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
        return ip_address(found[0][4][0])


def port_is_free(where: str, address: Address, port: int, running: Running) -> Results:
    """Opens the port for a moment."""
    try:
        transport.listen(address, port).close()
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        if in_use and running.listens(port):
            return
        reason = "another process listens there" if in_use else reason_of(error)
        what = f"cannot listen on {address} port {port}: {reason}"
        yield Finding(where, what, _mend(error.errno, port))


def _mend(number: int | None, port: int) -> str:
    if number == errno.EADDRINUSE:
        return f"ss -ltnp 'sport = :{port}' shows which; end it, or use another port"
    if number in (errno.EACCES, errno.EPERM):
        return "run it as root, or with the capability CAP_NET_BIND_SERVICE"
    return "use an address that `ip -br address` shows"
