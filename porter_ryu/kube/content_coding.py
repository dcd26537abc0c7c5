"""The content coding of an answer (RFC 9110, 8.4): gzip (RFC 1952), or none.

The lists of the benchmarks have a twentieth of their size in gzip, and take the same time: the API
server writes an answer in TLS records of 4 kB, and each costs about as much as its compression.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from porter_ryu.kube.errors import BAD_ANSWER, ApiError

_PIECE_OCTETS = 1 << 18  # a few octets may become very many
_GZIP_ONLY = zlib.MAX_WBITS | 16
_NONE, _GZIP = ("", "identity"), ("gzip", "x-gzip")


def decoded(coding: str, body: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a body that arrives in pieces.  Where it is compressed, its pieces have 256 kB
    at most, and may be empty: what takes them can give way after each.  `coding` is the
    Content-Encoding of the answer.  Raises ApiError."""
    coding = coding.strip().lower()
    if coding in _NONE:
        return iter(body)
    if coding in _GZIP:
        return _inflated(body)
    raise ApiError(
        0, BAD_ANSWER, "the answer of the API server has a coding that was not asked for"
    )


def _inflated(body: Iterable[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP_ONLY)
    try:
        for piece in body:
            rest = piece
            while rest:
                if member.eof:  # one member follows the other
                    member = zlib.decompressobj(_GZIP_ONLY)
                yield member.decompress(rest, _PIECE_OCTETS)
                rest = member.unused_data if member.eof else member.unconsumed_tail
    except zlib.error as error:
        raise ApiError(0, BAD_ANSWER, "the answer of the API server is not valid gzip") from error
    if not member.eof:
        raise ApiError(0, BAD_ANSWER, "the answer of the API server ends within its gzip")
