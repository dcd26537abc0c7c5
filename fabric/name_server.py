"""A server that answers with its name, as a program: over TCP to each line, over UDP to each
datagram, in both families.  `argv`: the name, and the ports."""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys

_BACKLOG = 4096
_BUFFER = 1 << 22


def main() -> None:
    """Serves until it is ended."""
    name, *ports = sys.argv[1:]
    loop = selectors.DefaultSelector()
    for port in map(int, ports):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            sock = socket.socket(socket.AF_INET6, kind)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("::", port))
            sock.setblocking(False)
            if kind == socket.SOCK_STREAM:
                sock.listen(_BACKLOG)
                loop.register(sock, selectors.EVENT_READ, _accept)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
                # so that the answer comes from the address that was asked
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                loop.register(sock, selectors.EVENT_READ, _answer_datagram)
    print("serving", flush=True)
    while True:
        for key, _ in loop.select():
            with contextlib.suppress(BlockingIOError):
                key.data(loop, key.fileobj, name.encode())


def _accept(loop: selectors.BaseSelector, listener: socket.socket, name: bytes) -> None:
    while True:
        sock, _ = listener.accept()
        sock.setblocking(False)
        loop.register(sock, selectors.EVENT_READ, _answer_line)


def _answer_line(loop: selectors.BaseSelector, sock: socket.socket, name: bytes) -> None:
    try:
        line = sock.recv(100)
        if line:
            sock.sendall(name + b" " + line)
            return
    except ConnectionError:
        pass
    loop.unregister(sock)
    sock.close()


def _answer_datagram(loop: selectors.BaseSelector, sock: socket.socket, name: bytes) -> None:
    while True:
        data, to_us, _, sender = sock.recvmsg(100, 100)
        # its interface is left open: the answer may have to leave by another
        told = [(level, kind, octets[:16] + bytes(4)) for level, kind, octets in to_us]
        with contextlib.suppress(OSError):
            sock.sendmsg([name + b" " + data], told, 0, sender)


if __name__ == "__main__":
    main()
