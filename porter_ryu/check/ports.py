"""Whether the TCP ports that the program listens on are free, or are held by its own instance."""

from __future__ import annotations

import errno
from ipaddress import ip_address

from porter_ryu.bgp import transport
from porter_ryu.check.finding import Finding, Results
from porter_ryu.check.running import Running
from porter_ryu.domain.model import Address
from porter_ryu.log import reason_of
from porter_ryu.settings import Settings

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - the server listens there if its host is empty


def http_port(settings: Settings, running: Running) -> Results:
    """The port of the HTTP interface."""
    host, port = settings.http
    try:
        address = ip_address(host or _EVERYWHERE)
    except ValueError:
        return  # a host name
    yield from port_is_free("[DEFAULT] wsapi_port", address, port, running)


def controller_port(settings: Settings, running: Running) -> Results:
    """The port of the OpenFlow controller, if there is one."""
    where = settings.controller
    if not settings.openflow.enabled:
        return
    try:
        address = ip_address(where.host or _EVERYWHERE)
    except ValueError:
        return  # a host name
    tls = where.private_key and where.certificate
    key = "ofp_ssl_listen_port" if tls else "ofp_tcp_listen_port"
    yield from port_is_free(f"[DEFAULT] {key}", address, where.port, running)


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
