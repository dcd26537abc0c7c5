"""A strict parser for the head of an HTTP request (RFC 9112), with limits on its size.

It uses no socket and no clock: octets in; a Head, or a RefusedError with a status code, out.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from msgspec import Struct

from porter_ryu.domain.text import quoted

MAX_HEAD_OCTETS = 16_384
MAX_BODY_OCTETS = 65_536
_MAX_LINE_OCTETS = 8_192
_MAX_FIELDS = 100
_REQUEST_LINE_PARTS = 3

_END = re.compile(rb"\r?\n\r?\n")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(r"[0-9]+")
_MAX_DIGITS = 15
_TLS_HANDSHAKE = b"\x16"  # RFC 8446, 5.1
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([^#]*)", re.IGNORECASE)


class RefusedError(Exception):
    """A request that is refused: the status code of the response, and the reason."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Head(Struct, frozen=True):
    """Request line and fields; `host` is the authority in the request, '' if it has none, and
    `length` the number of octets of the body."""

    method: str
    path: str
    query: str
    version: str
    host: str
    fields: tuple[tuple[str, str], ...]
    length: int

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a field, by its lower-case name."""
        return tuple(value for key, value in self.fields if key == name)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for 100 Continue before it sends the body (RFC 9110, 10.1.1)."""
        return bool(self.length) and "100-continue" in map(str.lower, self.values("expect"))


def end_of_head(data: bytes, searched: int) -> int:
    """The offset at which the body begins, 0 if the head is not complete.

    The first `searched` octets were searched before.  Raises RefusedError if the head is too long,
    and at once for TLS, of which no head would ever be complete.
    """
    if data[:1] == _TLS_HANDSHAKE:
        raise _bad("this is TLS, but HTTP is spoken here: the URL begins with http://")
    found = _END.search(data, max(0, searched - 3))
    if found is not None and found.end() <= MAX_HEAD_OCTETS:
        return found.end()
    if len(data) > _MAX_LINE_OCTETS and b"\n" not in data[:_MAX_LINE_OCTETS]:
        raise RefusedError(HTTPStatus.REQUEST_URI_TOO_LONG, "the request line is too long")
    if found is not None or len(data) > MAX_HEAD_OCTETS:
        raise RefusedError(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too long"
        )
    return 0


def parse(head: bytes) -> Head:
    """The head of a request, without its body; raises RefusedError."""
    lines = head.decode("latin-1").rstrip("\r\n").split("\n")
    first, *rest = (line.removesuffix("\r") for line in lines)
    if len(first) > _MAX_LINE_OCTETS:
        raise RefusedError(HTTPStatus.REQUEST_URI_TOO_LONG, "the request line is too long")
    if len(rest) > _MAX_FIELDS:
        raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many header fields")
    method, target, version = _request_line(first)
    fields = tuple(_field(line) for line in rest)
    authority, path, query = _split(target)
    hosts = [value for name, value in fields if name == "host"]
    if len(hosts) > 1 or (version == "HTTP/1.1" and not hosts):
        raise _bad("the request must have exactly one Host field")
    host = authority or (hosts[0] if hosts else "")
    return Head(method, path, query, version, host, fields, _length(fields))


def _request_line(line: str) -> tuple[str, str, str]:
    parts = line.split(" ")
    if len(parts) != _REQUEST_LINE_PARTS or not _TOKEN.fullmatch(parts[0]):
        raise _bad("this is not an HTTP request")
    method, target, version = parts
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise RefusedError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "use HTTP/1.0 or HTTP/1.1")
    if not _TARGET.fullmatch(target):
        raise _bad("the request target is not printable ASCII")
    return method, target, version


def _split(target: str) -> tuple[str, str, str]:
    """Authority ('' unless in absolute form), path and query of a request target."""
    authority = ""
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or not absolute[1]:
            raise _bad("the request target is not a path")
        authority, target = absolute[1], absolute[2]
    path, _, query = target.partition("#")[0].partition("?")
    return authority, path or "/", query


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _TOKEN.fullmatch(name):
        raise _bad("a header field has no valid name")
    value = value.strip(" \t")
    if not _VALUE.fullmatch(value):
        raise _bad("a header field contains control characters")
    return name.lower(), value


def _length(fields: tuple[tuple[str, str], ...]) -> int:
    lengths = {value for name, value in fields if name == "content-length"}
    if any(name == "transfer-encoding" for name, _ in fields):
        if lengths:
            raise _bad("Content-Length and Transfer-Encoding exclude each other")
        raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "a body must have a Content-Length")
    if not lengths:
        return 0
    if len(lengths) > 1:
        raise _bad("Content-Length is given twice, with different values")
    text = lengths.pop()
    if not _LENGTH.fullmatch(text):
        raise _bad(f"Content-Length: {quoted(text)} is not a number of octets")
    text = text.lstrip("0") or "0"
    if len(text) > _MAX_DIGITS or int(text) > MAX_BODY_OCTETS:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {MAX_BODY_OCTETS} octets"
        )
    return int(text)


def _bad(text: str) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, text)
