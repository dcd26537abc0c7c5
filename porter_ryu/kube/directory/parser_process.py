"""Parses a large file in a process of its own, so that nobody in the program waits for it.

libyaml and json hold Python's lock for as long as they work, so a thread would not do.  The file
is standard input; each result is a line of standard output, a JSON header, a tab and the object,
and the last line says that it was all.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterable, Iterator

from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.kube.directory.parsing import Fault, Found, parse
from porter_ryu.kube.limits import FILE_OCTETS, MIB

CPU_SECONDS = 120
_MEMORY_OCTETS = 1024 * MIB
_END = b"end\t"


class ProtocolError(ValueError):
    """Not what a parser process writes."""


def encoded(result: Found | Fault) -> bytes:
    """One result as a line."""
    if isinstance(result, Fault):
        return json.dumps([result.line, [result.reason, result.content]]).encode() + b"\t\n"
    kind, key = result.entry
    header = json.dumps([result.line, kind.value, key.namespace, key.name])
    return header.encode() + b"\t" + result.text + b"\n"


def decoded(line: bytes) -> Found | Fault | None:
    """A result of a line without its end, None for the last; raises ProtocolError."""
    if line == _END:
        return None
    header, _, text = line.partition(b"\t")
    try:
        number, *rest = json.loads(header)
        if len(rest) == 1:
            return Fault(number, *rest[0])
        kind, namespace, name = rest
        return Found(number, (Kind(kind), ObjectKey(namespace, name)), text)
    except ValueError as error:
        raise ProtocolError(f"{line[:80]!r}") from error


def _content() -> bytes:
    with os.fdopen(0, "rb", closefd=False) as file:
        return file.read(FILE_OCTETS + 1)


def _lines(content: bytes) -> Iterator[bytes]:
    if len(content) > FILE_OCTETS:
        yield encoded(Fault(1, f"the file is larger than {FILE_OCTETS // MIB} MiB"))
    else:
        yield from map(encoded, parse(content, lambda: None))
    yield _END + b"\n"


def _write(lines: Iterable[bytes]) -> None:
    with os.fdopen(1, "wb", closefd=False) as output:
        output.writelines(lines)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_OCTETS, _MEMORY_OCTETS))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)
    try:
        _write(_lines(_content()))
    except BrokenPipeError:
        sys.exit(1)
