"""The API server by the official client's configuration, authentication and transport.

Answers are parsed as plain JSON: the generated models would cost more time than all else here.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import urllib3
from kubernetes import client as official
from kubernetes import config
from kubernetes.client.exceptions import ApiException
from urllib3.connection import HTTPConnection

from porter_ryu.domain.model import Kind
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.fields import Json

PATHS = {
    Kind.SERVICE: "/api/v1/services",
    Kind.ENDPOINT_SLICE: "/apis/discovery.k8s.io/v1/endpointslices",
    Kind.NODE: "/api/v1/nodes",
    Kind.NAMESPACE: "/api/v1/namespaces",
    Kind.EIP: "/apis/network.kubesphere.io/v1alpha2/eips",
}
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
JSON_MERGE = "application/merge-patch+json"
_CONNECT, _READ = 5.0, 30.0
_WATCH_SECONDS, _WATCH_READ = 40, 50.0
_PAGE = 500
_OK, _MULTIPLE, _UNAUTHORIZED = 200, 300, 401
# a peer that is silent for this long is gone, though the watch has nothing to say for longer
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 12_000),
)
_CHUNK = 1 << 16
_PARALLEL = 20


class Client:
    """Requests as this program makes them; every failure is an ApiError."""

    def __init__(self, kubeconfig: str) -> None:
        """From a kubeconfig file, or (empty) from inside the cluster, else from the default
        kubeconfig.  Raises ApiError where none of them can be read."""
        self._kubeconfig = kubeconfig
        self._api = _connect(kubeconfig)

    def list(self, kind: Kind) -> tuple[list[Json], str]:
        """All objects of a kind and the resourceVersion of the list; raises ApiError."""
        items: list[Json] = []
        query: dict[str, Any] = {"limit": _PAGE}
        while True:
            page = self.request("GET", PATHS[kind], query)
            entries, meta = page.get("items"), page.get("metadata")
            if not isinstance(meta, dict) or not isinstance(entries, list | None):
                raise ApiError(0, "BadAnswer", f"the list of {kind.value} is not a list")
            items += [entry for entry in entries or () if isinstance(entry, dict)]
            if not meta.get("continue"):
                return items, str(meta.get("resourceVersion", ""))
            query["continue"] = meta["continue"]

    def version(self, kind: Kind) -> str:
        """The resourceVersion that a list of a kind would have now; raises ApiError."""
        meta = self.request("GET", PATHS[kind], {"limit": 1}).get("metadata")
        return str(meta.get("resourceVersion", "")) if isinstance(meta, dict) else ""

    def watch(self, kind: Kind, resource_version: str) -> Iterator[Json]:
        """Events from a resourceVersion on, until the server ends the watch; raises ApiError,
        for a connection that is silent for 50 s as well."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": _WATCH_SECONDS,
        }
        answer = self._send("GET", PATHS[kind], query, None, "", _WATCH_READ)
        buffer = b""
        try:
            for piece in answer.stream(_CHUNK):
                *lines, buffer = (buffer + piece).split(b"\n")
                yield from (_parse(line) for line in lines if line)
        except (urllib3.exceptions.HTTPError, OSError, ssl.SSLError) as error:
            raise ApiError(0, type(error).__name__, f"watch of {kind.value} broke") from error
        finally:
            answer.close()

    def request(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """One request and its answer; raises ApiError."""
        answer = self._send(method, path, query or {}, body, content_type, _READ)
        try:
            return _parse(answer.read())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, type(error).__name__, f"{method} {path}: cut off") from error
        finally:
            answer.release_conn()

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        body: Json | None,
        content_type: str,
        read_timeout: float,
    ) -> urllib3.HTTPResponse:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        request = self._api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._api.call_api(*request, _request_timeout=(_CONNECT, read_timeout))
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, type(error).__name__, f"{method} {path}: no answer") from error
        response: urllib3.HTTPResponse = answer.response
        if response.status == _UNAUTHORIZED:
            # a token that was replaced on disk: what is tried again, is tried with the new one
            self._api = _connect(self._kubeconfig)
        if not _OK <= response.status < _MULTIPLE:
            raise _refused(method, path, response)
        return response


def _connect(kubeconfig: str) -> official.ApiClient:
    """The official client by a kubeconfig; raises ApiError."""
    configuration = official.Configuration()
    try:
        if kubeconfig:
            config.load_kube_config(kubeconfig, client_configuration=configuration)
        else:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException:
                config.load_kube_config(client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError, TypeError) as error:
        raise ApiError(0, "NoConfiguration", f"no way to an API server: {error}") from error
    configuration.retries = False
    configuration.connection_pool_maxsize = _PARALLEL
    configuration.socket_options = [*HTTPConnection.default_socket_options, *_KEEPALIVE]
    return official.ApiClient(configuration)


def _refused(method: str, path: str, response: urllib3.HTTPResponse) -> ApiError:
    after = response.headers.get("Retry-After", "")
    try:
        status = json.loads(response.read())
        reason, message = str(status["reason"]), str(status["message"])
    except (ValueError, KeyError, TypeError, urllib3.exceptions.HTTPError, OSError):
        reason, message = "Status", f"{method} {path}"
    finally:
        response.release_conn()
    return ApiError(response.status, reason, message, float(after) if after.isdigit() else None)


def _parse(text: bytes) -> Json:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ApiError(0, "NotJson", "the answer of the API server is not JSON") from error
    if not isinstance(parsed, dict):
        raise ApiError(0, "NotJson", "the answer of the API server is not an object")
    return parsed
