"""Parses a large file in a separate process, so that the main process does not wait for it.

libyaml and json hold Python's global lock while they parse, so a thread would not help.  The file
is standard input.  Each result is a line of standard output: a JSON header, a tab and the object.
The last line marks the end.
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
_END_LINE = b"end\t"


class ProtocolError(ValueError):
    """A line that no parser process writes."""


def encode(result: Found | Fault) -> bytes:
    """The line for a result."""
    if isinstance(result, Fault):
        return json.dumps([result.line, [result.reason, result.content]]).encode() + b"\t\n"
    kind, key = result.object_id
    header = json.dumps([result.line, kind.value, key.namespace, key.name])
    return header.encode() + b"\t" + result.text + b"\n"


def decode(line: bytes) -> Found | Fault | None:
    """The result in a line without its newline, None for the last line; raises ProtocolError."""
    if line == _END_LINE:
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
        yield encode(Fault(1, f"the file is larger than {FILE_OCTETS // MIB} MiB"))
    else:
        yield from map(encode, parse(content, lambda: None))
    yield _END_LINE + b"\n"


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
