"""The API server by bare HTTPS connections: what any client can have of it at most."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from fabric import FabricError, Host, inside

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
JSON_MERGE = "application/merge-patch+json"
_CONNECTIONS = 8


class Request(NamedTuple):
    """One request, with its body as octets."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"


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
        """Sends a request and returns its answer to be read; raises FabricError where it is
        refused."""
        headers = {**self._headers, "Content-Type": request.content_type}
        self._http.request(request.method, request.path, request.body or None, headers)
        answer = self._http.getresponse()
        if answer.status >= 300:
            text = answer.read().decode(errors="replace")
            raise FabricError(f"{request.method} {request.path}: {answer.status} {text}")
        return answer

    def send(self, request: Request) -> bytes:
        """Sends a request and returns the whole answer; raises FabricError where it is refused."""
        return self.open(request).read()

    def close(self) -> None:
        """Ends it."""
        self._http.close()


def spread(connect: Callable[[], Connection], requests: Iterator[Request]) -> float:
    """Sends all requests over eight connections, in their order; returns the seconds it took.
    Raises FabricError where one is refused."""
    connections = [connect() for _ in range(_CONNECTIONS)]
    lock, errors = threading.Lock(), list[Exception]()

    def work(connection: Connection) -> None:
        try:
            while not errors:
                with lock:
                    request = next(requests, None)
                if request is None:
                    return
                connection.send(request)
        except (OSError, FabricError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in connections]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    for connection in connections:
        connection.close()
    if errors:
        raise FabricError(f"{errors[0]}") from errors[0]
    return took
