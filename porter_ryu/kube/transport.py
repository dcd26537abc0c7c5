"""Requests to the API server, with the official client's configuration, credentials and TLS.

They go over connections of our own (`connection`).  The official client's own request path copies
and inspects every header, parameter and body, which takes longer than the request itself.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, urlencode

import urllib3
import yaml
from kubernetes import client as official
from kubernetes import config
from urllib3.connection import HTTPConnection
from urllib3.util import parse_url

from porter_ryu.kube.connection import Answer, Connection
from porter_ryu.kube.errors import ApiError

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


class Response:
    """The answer to a request, whose connection carries the next request after `close`."""

    def __init__(self, answer: Answer, connection: Connection, pool: _Pool) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self._answer = answer
        self._connection = connection
        self._pool = pool

    def stream(self) -> Iterator[bytes]:
        """The body as it arrives; raises OSError."""
        return self._answer.stream()

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
        configuration = _configuration(self._kubeconfig)
        # so that it is not looked up in the environment again for each token
        configuration.proxy = configuration.proxy
        api = official.ApiClient(configuration)
        manager = api.rest_client.pool_manager
        try:
            host = parse_url(configuration.host)
            opener: urllib3.HTTPConnectionPool = manager.connection_from_url(configuration.host)
        except urllib3.exceptions.HTTPError as error:
            name = self._kubeconfig or "the kubeconfig"
            text = f"no way to an API server: the URL of the server in {name} is invalid"
            raise ApiError(0, "NoConfiguration", text) from error
        self.server: str = host.netloc or ""
        self._configuration = configuration
        self._pool = _Pool(opener)
        # a proxy for plain HTTP needs the complete URL
        forwards = manager.proxy is not None and host.scheme != "https"
        self._root: str = configuration.host if forwards else host.path or ""
        self._fields = {
            "Host": self.server,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **api.default_headers,
            **(opener.proxy_headers if forwards else {}),
        }

    def send(
        self,
        method: str,
        path: str,
        read_timeout: float,
        query: Mapping[str, Any] = _NO_QUERY,
        body: Mapping[str, Any] | None = None,
        content_type: str = "",
    ) -> Response:
        """Sends a request and returns its answer, of any status, with an unread body.  Waits for
        the server `read_timeout` seconds at most each time.  Raises OSError and the exceptions of
        urllib3; ValueError where the token cannot be sent."""
        target = quote(f"{self._root}{path}", safe=_IN_A_TARGET)
        if query:
            target = f"{target}?{urlencode(query)}"
        fields, octets = self._headers(), b""
        if body is not None:
            octets = json.dumps(body, separators=(",", ":")).encode()
            fields["Content-Type"] = content_type
            fields["Content-Length"] = str(len(octets))
        header = "\r\n".join(f"{name}: {value}" for name, value in fields.items())
        request = f"{method} {target} HTTP/1.1\r\n{header}\r\n\r\n".encode("latin-1") + octets
        pool = self._pool
        connection = pool.take()
        try:
            return Response(connection.send(request, read_timeout), connection, pool)
        except BaseException:
            connection.close()
            raise

    def _headers(self) -> dict[str, str]:
        """The headers of a request; the official client replaces an expired token."""
        token = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token is None:
            return dict(self._fields)
        token = token.strip()
        if not token.isprintable():
            raise ValueError("the token has a character that no header may have")
        return {**self._fields, "Authorization": token}

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


def _configuration(kubeconfig: str) -> official.Configuration:
    """The official client's configuration by a kubeconfig; raises ApiError."""
    configuration = official.Configuration()
    try:
        if kubeconfig:
            config.load_kube_config(kubeconfig, client_configuration=configuration)
        else:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException:
                config.load_kube_config(client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        hint = "" if kubeconfig else "; set [kubernetes] kubeconfig, or manifests (a directory)"
        text = f"no way to an API server: {str(error).rstrip('.')}{hint}"
        raise ApiError(0, "NoConfiguration", text) from error
    except yaml.YAMLError as error:
        # its text quotes the file, so it may contain a token
        text = f"no way to an API server: {kubeconfig or 'the kubeconfig'} is not YAML"
        raise ApiError(0, "NoConfiguration", text) from error
    except Exception as error:
        name = kubeconfig or "the kubeconfig"
        text = f"no way to an API server: {name} is not one ({type(error).__name__})"
        raise ApiError(0, "NoConfiguration", text) from error
    configuration.retries = False
    configuration.connection_pool_maxsize = _CONNECTIONS
    configuration.socket_options = [*HTTPConnection.default_socket_options, *_KEEPALIVE]
    return configuration
