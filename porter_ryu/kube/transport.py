"""Requests to the API server, over connections of our own (`connection`).

The official client's request path copies and inspects every header, parameter and body, which takes
longer than the request itself.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode
from urllib.request import getproxies

import msgspec
import urllib3
from urllib3.connection import HTTPConnection
from urllib3.util import parse_url

from porter_ryu.kube.access import Access, access, bypasses
from porter_ryu.kube.connection import Answer, Connection, UnansweredError
from porter_ryu.kube.content_coding import decoded
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.kubeconfig import KubeconfigError

_CONNECT_SECONDS = 5.0
# a server that does not acknowledge for this long is lost, even if a watch is idle for longer
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 12_000),
)
# the writers, the watches, the Lease and Events
_CONNECTIONS = 32
_NO_QUERY: Mapping[str, Any] = {}
_IN_A_TARGET = "/:?#[]@!$&'()*+,;=%~"


class Asked:
    """A request that was sent."""

    def __init__(self, request: bytes, timeout: float, pool: _Pool, repeatable: bool) -> None:
        """Sends a request.  `repeatable`: it may be sent again if the server closed the connection
        without an answer (RFC 9110, 9.2.2).  Raises OSError and the exceptions of urllib3."""
        self._request = request
        self._timeout = timeout
        self._pool = pool
        self._repeatable = repeatable
        self._unanswered = True
        self._connection = pool.take()
        try:
            self._send()
        except ConnectionError:
            if not self._may_send_again:
                raise
            self._send_again()

    @property
    def _may_send_again(self) -> bool:
        """Whether the server may just have closed a connection that carried an answer before, and
        the request may arrive twice."""
        return self._repeatable and self._connection.used

    def _send_again(self) -> None:
        self._connection.close()
        self._connection = self._pool.open()
        self._send()

    def _send(self) -> None:
        try:
            self._connection.send(self._request, self._timeout)
        except BaseException:
            self._connection.close()
            raise

    def answer(self) -> Response:
        """Waits for the header of the answer, of any status; the body is unread.  Raises OSError
        and the exceptions of urllib3, and closes the connection."""
        try:
            try:
                answer = self._connection.answer()
            except UnansweredError:
                if not self._may_send_again:
                    raise
                self._send_again()
                answer = self._connection.answer()
        except BaseException:
            self.drop()
            raise
        self._unanswered = False
        return Response(answer, self._connection, self._pool)

    def drop(self) -> None:
        """Closes the connection if nobody asked for the answer."""
        if self._unanswered:
            self._connection.close()


class Response:
    """The answer to a request, whose connection carries the next request after `close`."""

    def __init__(self, answer: Answer, connection: Connection, pool: _Pool) -> None:
        self.status = answer.status
        self._answer = answer
        self._connection = connection
        self._pool = pool

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields of the header, by their names in lower case."""
        return self._answer.headers

    def stream(self) -> Iterator[bytes]:
        """The body as it arrives, without its content coding; raises OSError and ApiError."""
        return decoded(self.headers.get("content-encoding", ""), self._answer.stream())

    def close(self) -> None:
        """Gives the connection back if the answer was read to its end, otherwise closes it."""
        self._pool.give_back(self._connection, self._answer.reusable)


class _Pool:
    """Connections to one server; those that are not in use are kept."""

    def __init__(self, opener: urllib3.HTTPConnectionPool) -> None:
        self._opener = opener
        self._free: list[Connection] = []
        self._closed = False

    def take(self) -> Connection:
        """A connection that carries no request; raises OSError and the exceptions of urllib3."""
        while self._free:
            connection = self._free.pop()
            if connection.fresh:
                return connection
            connection.close()
        return self.open()

    def open(self) -> Connection:
        """A new connection; raises OSError and the exceptions of urllib3."""
        opened = cast(HTTPConnection, self._opener._new_conn())
        opened.timeout = _CONNECT_SECONDS
        if self._opener.proxy is not None and self._opener.scheme == "https":
            self._opener._prepare_proxy(opened)
        else:
            opened.connect()
        return Connection(opened)

    def give_back(self, connection: Connection, reusable: bool) -> None:
        """Keeps a connection for the next request, or closes it."""
        if reusable and not self._closed and len(self._free) < _CONNECTIONS:
            self._free.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Closes the connections, those in use when they are given back."""
        self._closed = True
        while self._free:
            self._free.pop().close()


class Transport:
    """Sends requests to one API server over persistent connections."""

    def __init__(self, kubeconfig: str) -> None:
        """From a kubeconfig file, or (empty) from inside the cluster, else from the default
        kubeconfig.  Raises ApiError where none of them can be read."""
        self._kubeconfig = kubeconfig
        self._connect()

    def _connect(self) -> None:
        access = _access(self._kubeconfig)
        try:
            host = parse_url(access.url)
            manager = _manager(access)
            opener: urllib3.HTTPConnectionPool = manager.connection_from_url(access.url)
        except urllib3.exceptions.HTTPError as error:
            name = self._kubeconfig or "the kubeconfig"
            raise _no_way(f"the URL of the server in {name} is invalid") from error
        self.server: str = host.netloc or ""
        self.url = f"{host.scheme}://{self.server}"  # without what may be secret in it
        self._authorization = access.authorization
        self._pool = _Pool(opener)
        # a proxy for plain HTTP needs the complete URL
        forwards = manager.proxy is not None and host.scheme != "https"
        self._root: str = access.url if forwards else host.path or ""
        fields = {
            "Host": self.server,
            "User-Agent": "porter-ryu",
            "Accept": "application/json",
            **(opener.proxy_headers if forwards else {}),
        }
        self._header = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._shown, self._authorized = "", self._header

    def send(
        self,
        method: str,
        path: str,
        read_timeout: float,
        query: Mapping[str, Any] = _NO_QUERY,
        body: Mapping[str, Any] | None = None,
        content_type: str = "",
        coding: str = "identity",
    ) -> Asked:
        """Sends a request.  Its answer waits for the server `read_timeout` seconds at most each
        time, and may have this content coding.  Raises OSError and the exceptions of urllib3;
        ValueError where the token cannot be sent."""
        target = quote(f"{self._root}{path}", safe=_IN_A_TARGET)
        if query:
            target = f"{target}?{urlencode(query)}"
        header, octets = f"{self._authorized_header()}Accept-Encoding: {coding}\r\n", b""
        if body is not None:
            octets = _json(body)
            header += f"Content-Type: {content_type}\r\nContent-Length: {len(octets)}\r\n"
        request = f"{method} {target} HTTP/1.1\r\n{header}\r\n".encode("latin-1") + octets
        return Asked(request, read_timeout, self._pool, repeatable=method == "GET")

    def _authorized_header(self) -> str:
        """The header of a request without a body."""
        text = self._authorization()
        if text != self._shown:
            if not text.isprintable():
                raise ValueError("the token has a character that no header may have")
            field = f"Authorization: {text}\r\n" if text else ""
            self._shown, self._authorized = text, f"{self._header}{field}"
        return self._authorized

    def renew(self) -> str:
        """Reads the credential again, if possible; returns a description of it."""
        pool = self._pool
        try:
            self._connect()
        except ApiError as error:
            return f"the credential, which cannot be read again: {error}"
        pool.close()
        where = self._kubeconfig or "the service account, or the default kubeconfig"
        return f"the credential of {where}"


def _json(body: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        # half of a surrogate pair, for which JSON has an escape and UTF-8 nothing
        return json.dumps(body).encode()


def _access(kubeconfig: str) -> Access:
    try:
        return access(kubeconfig)
    except KubeconfigError as error:
        hint = "" if kubeconfig else "; set [kubernetes] kubeconfig, or manifests (a directory)"
        raise _no_way(f"{error}{hint}") from error
    except ssl.SSLError as error:
        name = kubeconfig or "the kubeconfig"
        raise _no_way(f"a certificate or key in {name} cannot be read") from error
    except Exception as error:
        name = kubeconfig or "the kubeconfig"
        raise _no_way(f"{name} is not one ({type(error).__name__})") from error


def _no_way(why: str) -> ApiError:
    return ApiError(0, "NoConfiguration", f"no way to an API server: {why}")


def _manager(access: Access) -> urllib3.PoolManager:
    """What opens connections; raises the exceptions of urllib3 where the proxy is not one."""
    more: dict[str, Any] = {
        "ssl_context": access.tls,
        "cert_reqs": access.tls.verify_mode,
        "socket_options": [*HTTPConnection.default_socket_options, *_KEEPALIVE],
    }
    if access.server_name:
        more["server_hostname"] = access.server_name
    proxies = getproxies()
    scheme = parse_url(access.url).scheme or "http"
    proxy = access.proxy or proxies.get(scheme) or proxies.get("all", "")
    if not proxy or bypasses(access.url, proxies.get("no", "")):
        return urllib3.PoolManager(**more)
    return urllib3.ProxyManager(proxy, **more)
