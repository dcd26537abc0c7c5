"""Many requests to the API server at once, as fast as any client can send them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from fabric import FabricError
from fabric.api_requests import Connection, Request

_CONNECTIONS = 8


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
