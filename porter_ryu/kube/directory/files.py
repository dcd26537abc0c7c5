"""Opens and reads the files of the directory; whoever can write there can put anything there.

A FIFO would block, a device may do anything when it is opened, a link may dangle: only regular
files are opened, at most so large, and links to them are followed, for a mounted ConfigMap is
made of links.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import eventlet
from eventlet.green import subprocess

from porter_ryu import regular_file
from porter_ryu.kube.directory import parser_process
from porter_ryu.kube.directory.parsing import Fault, Found, parse
from porter_ryu.kube.limits import FILE_OCTETS, MIB
from porter_ryu.log import reason_of

SMALL_OCTETS = MIB // 4  # what takes a fifth of a second in slices of 5 ms
_WALL_SECONDS = 240.0
_LOOK_UP = 1.0
_READ = 1 << 16


class UnreadableFileError(Exception):
    """A file that is there and cannot be read: the message says why."""


class NoFileError(Exception):
    """Nothing is there, or a folder."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in the directory: what tells one content from another, or why it has none."""

    signature: regular_file.Signature | None
    fault: str = ""


def look(path: str) -> Entry:
    """What is at a path now; raises NoFileError."""
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        if os.path.islink(path):
            return Entry(None, "is a link to nothing")
        raise NoFileError(path) from error
    except OSError as error:
        return Entry(None, f"cannot be read: {reason_of(error)}")
    except ValueError as error:
        return Entry(None, f"cannot be read: {error}")
    if stat.S_ISDIR(status.st_mode):
        raise NoFileError(path)
    if not stat.S_ISREG(status.st_mode):
        return Entry(None, "is not a regular file")
    if status.st_size > FILE_OCTETS:
        return Entry(None, f"is larger than {FILE_OCTETS // MIB} MiB")
    return Entry(regular_file.signature(status))


def is_large(path: str) -> bool:
    """Whether a file is parsed in a process of its own."""
    try:
        return os.stat(path).st_size > SMALL_OCTETS
    except (OSError, ValueError):
        return False


def read(path: str, pause: Callable[[], None]) -> Iterator[Found | Fault]:
    """What is in a file; a large one is parsed in a process of its own.

    Raises UnreadableFileError, NoFileError; for a large file also in the midst of it.
    """
    descriptor, size = _open(path)
    try:
        if size > SMALL_OCTETS:
            yield from _parsed_outside(descriptor, pause)
            return
        content = _content(descriptor)
    finally:
        os.close(descriptor)
    yield from parse(content, pause)


def _content(descriptor: int) -> bytes:
    pieces, size = [], 0
    try:
        while piece := os.read(descriptor, SMALL_OCTETS):
            pieces.append(piece)
            size += len(piece)
            if size > SMALL_OCTETS:
                raise UnreadableFileError("grows while it is read")
    except OSError as error:
        raise UnreadableFileError(f"cannot be read: {reason_of(error)}") from error
    return b"".join(pieces)


def _open(path: str) -> tuple[int, int]:
    """A regular file, open for reading, and its size; raises as `read` does."""
    found = look(path)
    if found.fault:
        raise UnreadableFileError(found.fault)
    try:
        descriptor, status = regular_file.opened(path, follow=True)
    except FileNotFoundError as error:
        raise NoFileError(path) from error
    except OSError as error:
        raise UnreadableFileError(f"cannot be read: {reason_of(error)}") from error
    except ValueError as error:
        raise UnreadableFileError(str(error)) from error
    return descriptor, status.st_size


def _parsed_outside(descriptor: int, pause: Callable[[], None]) -> Iterator[Found | Fault]:
    argv = [sys.executable, "-m", "porter_ryu.kube.directory.parser_process"]
    try:
        # from /: no module of a working directory may stand in for it
        process = subprocess.Popen(argv, stdin=descriptor, stdout=subprocess.PIPE, cwd="/")
    except OSError as error:
        raise UnreadableFileError(f"no process to parse it: {reason_of(error)}") from error
    whole = False
    try:
        for line in _lines(process.stdout.fileno(), pause):
            result = parser_process.decoded(line)
            if result is None:
                whole = True
                break
            yield result
    except TimeoutError as error:
        raise UnreadableFileError(f"takes more than {_WALL_SECONDS:.0f} s to parse") from error
    except (OSError, parser_process.ProtocolError) as error:
        raise UnreadableFileError(f"its parser cannot be understood: {error}") from error
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
    if not whole:
        ended = f"it was ended by signal {-process.returncode}" if process.returncode < 0 else ""
        raise UnreadableFileError(f"takes too much time or memory to parse {ended}".rstrip())


def _lines(descriptor: int, pause: Callable[[], None]) -> Iterator[bytes]:
    """The whole lines of a pipe; raises TimeoutError."""
    rest: list[bytes] = []
    until = time.monotonic() + _WALL_SECONDS
    while True:
        try:
            eventlet.hubs.trampoline(
                descriptor, read=True, timeout=_LOOK_UP, timeout_exc=TimeoutError
            )
        except TimeoutError:
            pause()
            if time.monotonic() > until:
                raise
            continue
        octets = os.read(descriptor, _READ)
        if not octets:
            return
        pause()
        first, *more = octets.split(b"\n")
        rest.append(first)
        for line in more:
            yield b"".join(rest)
            rest = [line]
