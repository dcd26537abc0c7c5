"""Answers every connection to a port with a good HTTP response, on every address of this host."""

from __future__ import annotations

import contextlib
import select
import socket
import sys

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_BACKLOG, _ACCEPTS_AT_ONCE = 4096, 256


def main() -> None:
    """Serves `argv[1]` until it is ended."""
    listener = socket.create_server(("", int(sys.argv[1])), backlog=_BACKLOG)
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener.fileno(), select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == listener.fileno():
                with contextlib.suppress(BlockingIOError):
                    for _ in range(_ACCEPTS_AT_ONCE):
                        connection, _ = listener.accept()
                        connection.setblocking(False)
                        connections[connection.fileno()] = connection
                        poller.register(connection.fileno(), select.EPOLLIN)
                continue
            connection = connections[descriptor]
            with contextlib.suppress(OSError):
                if connection.recv(1024):
                    connection.send(_ANSWER)
                    continue
            del connections[descriptor]
            connection.close()


if __name__ == "__main__":
    main()
