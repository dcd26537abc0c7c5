"""The socket of one session: reads in pieces, sends what the kernel takes and keeps the rest.

eventlet's own recv() and send() return without giving way for as long as there is something to
take, so one peer that talks without end would starve every other.  Here each piece of at most 16 kB
that is read or 256 kB that is sent is followed by a turn of everybody else.
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

READ_MOST = 16 * 1024
_SEND_AT_ONCE = 256 * 1024
_LINGER = 2.0
_LINGERING_MOST = 64
_INT = struct.Struct("=i")


class BrokenConnectionError(Exception):
    """The connection ended with an error; its text says which."""


class Connection:
    """One TCP connection; whoever calls `read` and `linger` is the only one who closes it."""

    _lingering = 0

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._fd = sock.fd  # type: ignore[attr-defined] # below eventlet: never waits
        self._out: collections.deque[bytes] = collections.deque()
        self._offset = 0
        self._ended = False
        self.taken = 0
        self.handed_over = 0

    @property
    def local_name(self) -> tuple[str, int]:
        """Local address and port."""
        name = self._sock.getsockname()
        return str(name[0]), int(name[1])

    @property
    def waiting(self) -> bool:
        """Whether the kernel has not yet taken all that was written."""
        return bool(self._out)

    @property
    def unread(self) -> int:
        """Octets that have arrived and were not read (SIOCINQ), 0 when that is not known."""
        try:
            answer = fcntl.ioctl(self._fd.fileno(), termios.FIONREAD, _INT.pack(0))
        except (OSError, ValueError):
            return 0
        return int(_INT.unpack(answer)[0])

    @property
    def is_dead(self) -> bool:
        """Whether the peer has ended the connection and we have not read that yet."""
        try:
            waiting = self._fd.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return not waiting

    # -- reading --------------------------------------------------------------------------------

    def read(self) -> bytes:
        """Waits for octets and returns at most 16 kB of them, none at the end of the stream.
        Raises BrokenConnectionError."""
        while not self._ended:
            try:
                octets = bytes(self._fd.recv(READ_MOST))
            except BlockingIOError:
                self._wait(read=True)
                continue
            except OSError as error:
                raise BrokenConnectionError(reason_of(error)) from error
            self.taken += len(octets)
            return octets
        return b""

    def _wait(self, read: bool = False, timeout: float | None = None) -> None:
        """Until the socket can be read or written, or `end` or the timeout ends the wait."""
        try:
            hubs.trampoline(
                self._fd, read=read, write=not read, timeout=timeout, timeout_exc=TimeoutError
            )
        except (hubs.IOClosed, TimeoutError):
            return

    # -- writing --------------------------------------------------------------------------------

    def write(self, messages: bytes) -> bool:
        """Hands whole messages to the kernel, now where it takes them, else by `flush`, which has
        to be run when this returns True."""
        idle = not self._out
        if messages and not self._ended:
            self._out.append(messages)
            if idle:
                self._push()
        return idle and bool(self._out)

    def flush(self) -> bool:
        """Waits until the kernel takes some of what waits; returns whether it took anything."""
        if self._ended or not self._out:
            return False
        self._wait()
        return not self._ended and self._push() > 0

    def _push(self) -> int:
        """What the kernel takes now, without waiting; an error is found by the reader."""
        done = 0
        while self._out and done < _SEND_AT_ONCE:
            piece = memoryview(self._out[0])[self._offset : self._offset + _SEND_AT_ONCE]
            try:
                taken = self._fd.send(piece)
            except OSError:
                break
            done += taken
            self._offset += taken
            if self._offset == len(self._out[0]):
                self._out.popleft()
                self._offset = 0
        self.handed_over += done
        return done

    # -- the end --------------------------------------------------------------------------------

    def end(self, last: bytes) -> None:
        """Writes no more but the rest of the message that is half sent, and `last`; ends every
        wait on the connection.  Without `last` nothing more is sent at all."""
        if last and not self._ended:
            rest = self._rest_of_message()
            self._out.clear()
            self._out.append(rest + last)
            self._offset = 0
            self._push()
        else:
            self._out.clear()
        self._ended = True
        hubs.notify_opened(self._fd.fileno())  # eventlet's way to end every wait on a descriptor

    def _rest_of_message(self) -> bytes:
        """What is missing of the message of which the kernel has taken a part."""
        if not self._offset:
            return b""
        data, start = self._out[0], 0
        while start < self._offset:
            _, length, _ = wire.HEADER.unpack_from(data, start)
            start += length
        return data[self._offset : start]

    def linger(self) -> None:
        """Closes the socket, at once where all is said and read: else what is left gets two
        seconds to go, because a close with unread octets is a reset, and takes it along."""
        if (self._out or self.unread) and Connection._lingering < _LINGERING_MOST:
            Connection._lingering += 1
            try:
                self._say_the_rest(time.monotonic() + _LINGER)
            finally:
                Connection._lingering -= 1
        self._out.clear()
        try:
            self._fd.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was down before
        self._sock.close()

    def _say_the_rest(self, until: float) -> None:
        while self._out and (left := until - time.monotonic()) > 0:
            self._wait(timeout=left)
            if not self._push():
                break
        try:
            self._fd.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                try:
                    if not self._fd.recv(READ_MOST):
                        return
                    hub.sleep(0)
                except BlockingIOError:
                    self._wait(read=True, timeout=left)
        except OSError:
            return
