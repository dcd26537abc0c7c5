"""Opens and reads the files of the directory, in which a user may have put anything.

A FIFO would block, opening a device may have side effects, and a link may be broken.  So only
regular files of limited size are opened.  Symbolic links to them are followed, because a mounted
ConfigMap consists of links.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator

import eventlet
from eventlet.green import subprocess
from msgspec import Struct

from porter_ryu import regular_file
from porter_ryu.kube.directory import parser_process
from porter_ryu.kube.directory.parsing import Fault, Found, parse
from porter_ryu.kube.limits import FILE_OCTETS, MIB
from porter_ryu.log import reason_of

SMALL_OCTETS = MIB // 4  # parsing that many takes 0.2 s, in slices of 5 ms
_PARSE_SECONDS = 240.0
_WAKE_UP_SECONDS = 1.0
_CHUNK_OCTETS = 1 << 16


class UnreadableFileError(Exception):
    """A file exists and cannot be read; the message says why."""


class NoFileError(Exception):
    """The path does not exist or is a folder."""


class FileState(Struct, frozen=True):
    """The signature of a file, which changes with its content, or why it cannot be read."""

    signature: regular_file.Signature | None
    fault: str = ""


def state_of(path: str) -> FileState:
    """The current state of a file; raises NoFileError."""
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        if os.path.islink(path):
            return FileState(None, "is a broken link")
        raise NoFileError(path) from error
    except OSError as error:
        return FileState(None, f"cannot be read: {reason_of(error)}")
    except ValueError as error:
        return FileState(None, f"cannot be read: {error}")
    if stat.S_ISDIR(status.st_mode):
        raise NoFileError(path)
    if not stat.S_ISREG(status.st_mode):
        return FileState(None, "is not a regular file")
    if status.st_size > FILE_OCTETS:
        return FileState(None, f"is larger than {FILE_OCTETS // MIB} MiB")
    return FileState(regular_file.signature(status))


def is_large(path: str) -> bool:
    """Whether a file is parsed in a separate process."""
    try:
        return os.stat(path).st_size > SMALL_OCTETS
    except (OSError, ValueError):
        return False


def read(path: str, give_way: Callable[[], None]) -> Iterator[Found | Fault]:
    """The objects and faults in a file; a large one is parsed in a separate process.

    Raises UnreadableFileError or NoFileError; for a large file also after the first results.
    """
    descriptor, size = _open(path)
    try:
        if size > SMALL_OCTETS:
            yield from _parse_in_process(descriptor, give_way)
            return
        content = _content(descriptor)
    finally:
        os.close(descriptor)
    yield from parse(content, give_way)


def _content(descriptor: int) -> bytes:
    chunks, size = [], 0
    try:
        while chunk := os.read(descriptor, SMALL_OCTETS):
            chunks.append(chunk)
            size += len(chunk)
            if size > SMALL_OCTETS:
                raise UnreadableFileError("grows while it is read")
    except OSError as error:
        raise UnreadableFileError(f"cannot be read: {reason_of(error)}") from error
    return b"".join(chunks)


def _open(path: str) -> tuple[int, int]:
    """A descriptor of a regular file, open for reading, and its size; raises as `read` does."""
    state = state_of(path)
    if state.fault:
        raise UnreadableFileError(state.fault)
    try:
        descriptor, status = regular_file.opened(path, follow=True)
    except FileNotFoundError as error:
        raise NoFileError(path) from error
    except OSError as error:
        raise UnreadableFileError(f"cannot be read: {reason_of(error)}") from error
    except ValueError as error:
        raise UnreadableFileError(str(error)) from error
    return descriptor, status.st_size


def _parse_in_process(descriptor: int, give_way: Callable[[], None]) -> Iterator[Found | Fault]:
    argv = [sys.executable, "-m", "porter_ryu.kube.directory.parser_process"]
    try:
        # started in /, so that no module in a working directory can replace ours
        process = subprocess.Popen(argv, stdin=descriptor, stdout=subprocess.PIPE, cwd="/")
    except OSError as error:
        raise UnreadableFileError(
            f"its parser process cannot be started: {reason_of(error)}"
        ) from error
    complete = False
    try:
        for line in _lines(process.stdout.fileno(), give_way):
            result = parser_process.decode(line)
            if result is None:
                complete = True
                break
            yield result
    except TimeoutError as error:
        raise UnreadableFileError(f"takes more than {_PARSE_SECONDS:.0f} s to parse") from error
    except (OSError, parser_process.ProtocolError) as error:
        raise UnreadableFileError(
            f"the output of its parser process is invalid: {error}"
        ) from error
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
    if not complete:
        text = "takes too much time or memory to parse"
        if process.returncode < 0:
            text += f": its parser process was ended by signal {-process.returncode}"
        raise UnreadableFileError(text)


def _lines(descriptor: int, give_way: Callable[[], None]) -> Iterator[bytes]:
    """The complete lines from a pipe; raises TimeoutError."""
    incomplete: list[bytes] = []
    deadline = time.monotonic() + _PARSE_SECONDS
    while True:
        try:
            eventlet.hubs.trampoline(
                descriptor, read=True, timeout=_WAKE_UP_SECONDS, timeout_exc=TimeoutError
            )
        except TimeoutError:
            give_way()
            if time.monotonic() > deadline:
                raise
            continue
        octets = os.read(descriptor, _CHUNK_OCTETS)
        if not octets:
            return
        give_way()
        first, *more = octets.split(b"\n")
        incomplete.append(first)
        for line in more:
            yield b"".join(incomplete)
            incomplete = [line]
