"""The TCP connection of one session: reads in chunks, writes without blocking, buffers the rest.

eventlet's recv() and send() do not yield while the socket is ready, so one peer that sends without
end would starve all others.  Here every chunk of 16 kB that is read, or 256 kB that is written, is
followed by a turn of the other greenthreads, and smaller ones after five milliseconds of them.
"""

from __future__ import annotations

import collections
import fcntl
import socket
import struct
import termios
import time

from eventlet import hubs
from ryu.lib import hub

from porter_ryu.bgp.protocol import wire
from porter_ryu.log import reason_of

READ_MAX_OCTETS = 16 * 1024
_WRITE_MAX_OCTETS = 256 * 1024
_LINGER_SECONDS = 2.0
_LINGERING_MAX = 64
_INT = struct.Struct("=i")


class BrokenConnectionError(Exception):
    """The connection ended with an error; the text names it."""


class Connection:
    """One TCP connection.  Only the greenthread that calls `read` closes it, by `linger`."""

    _lingering = 0

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._fd = sock.fd  # type: ignore[attr-defined] # the socket below eventlet never blocks
        self._output: collections.deque[bytes] = collections.deque()
        self._offset = 0
        self._ended = False
        self.octets_read = 0
        self.octets_written = 0

    @property
    def local_name(self) -> tuple[str, int]:
        """Local address and port."""
        name = self._sock.getsockname()
        return str(name[0]), int(name[1])

    @property
    def output_waits(self) -> bool:
        """Whether output waits because the send buffer of the kernel is full."""
        return bool(self._output)

    @property
    def unread(self) -> int:
        """Octets in the receive buffer of the kernel (SIOCINQ); 0 if that is not known."""
        try:
            answer = fcntl.ioctl(self._fd.fileno(), termios.FIONREAD, _INT.pack(0))
        except (OSError, ValueError):
            return 0
        return int(_INT.unpack(answer)[0])

    @property
    def is_closed_by_peer(self) -> bool:
        """Whether the peer has closed the connection and nothing is left to read."""
        try:
            octet = self._fd.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return not octet

    # -- reading --------------------------------------------------------------------------------

    def read(self) -> bytes:
        """Waits for octets and returns at most 16 kB; empty at the end of the stream.  Raises
        BrokenConnectionError."""
        while not self._ended:
            try:
                octets = bytes(self._fd.recv(READ_MAX_OCTETS))
            except BlockingIOError:
                self._wait(read=True)
                continue
            except OSError as error:
                raise BrokenConnectionError(reason_of(error)) from error
            self.octets_read += len(octets)
            return octets
        return b""

    def _wait(self, read: bool = False, timeout: float | None = None) -> None:
        """Waits until the socket is readable, or writable, or `end` is called, or the timeout (in
        seconds)."""
        try:
            hubs.trampoline(
                self._fd, read=read, write=not read, timeout=timeout, timeout_exc=TimeoutError
            )
        except (hubs.IOClosed, TimeoutError):
            return

    # -- writing --------------------------------------------------------------------------------

    def write(self, messages: bytes) -> bool:
        """Writes whole messages without blocking; what the kernel does not accept is buffered.
        Returns True if output begins to wait: the caller must then run `flush`."""
        idle = not self._output
        if messages and not self._ended:
            self._output.append(messages)
            if idle:
                self._write_without_waiting()
        return idle and bool(self._output)

    def flush(self) -> bool:
        """Waits until the kernel accepts buffered output; returns whether it accepted any."""
        if self._ended or not self._output:
            return False
        self._wait()
        return not self._ended and self._write_without_waiting() > 0

    def _write_without_waiting(self) -> int:
        """Writes what the kernel accepts now; returns the number of octets.  Errors are left to
        `read`, which meets them as well."""
        written = 0
        while self._output and written < _WRITE_MAX_OCTETS:
            chunk = memoryview(self._output[0])[self._offset : self._offset + _WRITE_MAX_OCTETS]
            try:
                accepted = self._fd.send(chunk)
            except OSError:
                break
            written += accepted
            self._offset += accepted
            if self._offset == len(self._output[0]):
                self._output.popleft()
                self._offset = 0
        self.octets_written += written
        return written

    # -- the end --------------------------------------------------------------------------------

    def end(self, last_message: bytes) -> None:
        """Replaces all output that waits by the rest of a message that is partly written and
        `last_message`; drops all of it if `last_message` is empty.  Ends every wait."""
        if last_message and not self._ended:
            rest = self._rest_of_message()
            self._output.clear()
            self._output.append(rest + last_message)
            self._offset = 0
            self._write_without_waiting()
        else:
            self._output.clear()
        self._ended = True
        hubs.notify_opened(self._fd.fileno())  # eventlet's way to end every wait on a descriptor

    def _rest_of_message(self) -> bytes:
        """The rest of a message of which the kernel has accepted a part."""
        if not self._offset:
            return b""
        data, start = self._output[0], 0
        while start < self._offset:
            _, length, _ = wire.HEADER.unpack_from(data, start)
            start += length
        return data[self._offset : start]

    def linger(self) -> None:
        """Closes the socket; first writes the last output and reads what is unread, for at most two
        seconds.  Closing a socket with unread octets would send a RST, and the peer could lose the
        last message."""
        if (self._output or self.unread) and Connection._lingering < _LINGERING_MAX:
            Connection._lingering += 1
            try:
                self._write_and_read_rest(time.monotonic() + _LINGER_SECONDS)
            finally:
                Connection._lingering -= 1
        self._output.clear()
        try:
            self._fd.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the connection is closed already
        self._sock.close()

    def _write_and_read_rest(self, deadline: float) -> None:
        while self._output and (left := deadline - time.monotonic()) > 0:
            self._wait(timeout=left)
            if not self._write_without_waiting():
                break
        try:
            self._fd.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                try:
                    if not self._fd.recv(READ_MAX_OCTETS):
                        return
                    hub.sleep(0)
                except BlockingIOError:
                    self._wait(read=True, timeout=left)
        except OSError:
            return
