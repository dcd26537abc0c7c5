"""Connections to the API server, with the official client's configuration, credentials and TLS.

Requests go directly to its connection pool.  The official client's own request path copies and
inspects every header, parameter and body, which takes longer than the request itself.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import client as official
from kubernetes import config
from urllib3.connection import HTTPConnection
from urllib3.util import parse_url

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
_NO_RETRIES = urllib3.Retry(False)
_NO_QUERY: Mapping[str, Any] = {}


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
            pool: urllib3.HTTPConnectionPool = manager.connection_from_url(configuration.host)
        except urllib3.exceptions.HTTPError as error:
            name = self._kubeconfig or "the kubeconfig"
            text = f"no way to an API server: the URL of the server in {name} is invalid"
            raise ApiError(0, "NoConfiguration", text) from error
        self.server: str = host.netloc or ""
        self._configuration = configuration
        self._agent: dict[str, str] = api.default_headers
        self._pool = pool
        # a proxy for plain HTTP needs the complete URL
        forwards = manager.proxy is not None and host.scheme != "https"
        self._root: str = configuration.host if forwards else host.path or ""

    def send(
        self,
        method: str,
        path: str,
        read_timeout: float,
        query: Mapping[str, Any] = _NO_QUERY,
        body: Mapping[str, Any] | None = None,
        content_type: str = "",
    ) -> urllib3.BaseHTTPResponse:
        """Sends a request and returns its answer, of any status, with an unread body.  Waits for
        the server `read_timeout` seconds at most each time.  Raises the exceptions of urllib3."""
        headers = self._headers()
        octets = None
        if body is not None:
            headers["Content-Type"] = content_type
            octets = json.dumps(body, separators=(",", ":")).encode()
        return self._pool.urlopen(
            method,
            f"{self._root}{path}?{urlencode(query)}" if query else f"{self._root}{path}",
            octets,
            headers,
            _NO_RETRIES,
            redirect=False,
            assert_same_host=False,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_timeout),
            preload_content=False,
        )

    def _headers(self) -> dict[str, str]:
        """The headers of a request; the official client replaces an expired token."""
        headers = {**self._agent, "Accept": "application/json"}
        token = self._configuration.auth_settings().get("BearerToken")
        if token is not None:
            headers[token["key"]] = token["value"]
        return headers

    def renew(self) -> str:
        """Reads the credential again, if possible; returns a description of it."""
        try:
            self._connect()
        except ApiError as error:
            return f"the credential, which cannot be read again: {error}"
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
