"""Requests to an API server by bare HTTPS connections: what any client can have of it at most.

Only the socket is of the namespace of a host.  kubectl takes twenty times as much of a processor; a
test that is about what its user sees runs it.
"""

from __future__ import annotations

import ssl
from http import HTTPStatus
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from fabric import FabricError, Host, inside

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
JSON_MERGE = "application/merge-patch+json"


class Request(NamedTuple):
    """One request, with its body as octets."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = JSON


class RefusedError(FabricError):
    """The API server refused a request; `status` is that of HTTP."""

    def __init__(self, request: Request, status: int, text: str) -> None:
        super().__init__(f"{request.method} {request.path}: {status} {text}")
        self.status = status


class Connection:
    """One connection from a host (None: from here), by a token; not for two threads at once."""

    def __init__(self, host: Host | None, url: str, token: str, authority: Path) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        context = ssl.create_default_context(cafile=authority)
        self._http = HTTPSConnection(address.hostname, address.port, timeout=60, context=context)
        self._headers = {"Authorization": f"Bearer {token}"}
        if host is None:
            self._http.connect()
        else:
            with inside(host):
                self._http.connect()

    def open(self, request: Request) -> HTTPResponse:
        """Sends a request and returns its answer to be read; raises RefusedError where it is
        refused."""
        headers = {**self._headers, "Content-Type": request.content_type}
        self._http.request(request.method, request.path, request.body or None, headers)
        answer = self._http.getresponse()
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            text = answer.read().decode(errors="replace")
            raise RefusedError(request, answer.status, text)
        return answer

    def send(self, request: Request) -> bytes:
        """Sends a request and returns the whole answer; raises RefusedError where it is refused."""
        return self.open(request).read()

    def close(self) -> None:
        """Ends it."""
        self._http.close()
