"""Finds in a file the objects of the kinds that the program reads, and the faults."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator

from msgspec import Struct

from porter_ryu.domain.model import ObjectId
from porter_ryu.kube import documents
from porter_ryu.kube.codec import identity, kind_of
from porter_ryu.kube.errors import CodecError


class Found(Struct, frozen=True):
    """An object as JSON, and the line at which it begins."""

    line: int
    object_id: ObjectId
    text: bytes


class Fault(Struct, frozen=True):
    """A part of a file that cannot be parsed; it may contain any object.

    `content` is a digest of the file: it differs if the file changed and is still invalid.
    """

    line: int
    reason: str
    content: str = ""


def parse(content: bytes, give_way: Callable[[], None]) -> Iterator[Found | Fault]:
    """The objects in the content of a file, of the kinds that the program reads, and the faults."""
    digest = functools.cache(lambda: hashlib.blake2b(content, digest_size=16).hexdigest())
    for entry in documents.entries(content, give_way):
        if entry.fault:
            yield Fault(entry.line, entry.fault, digest())
            continue
        try:
            kind = kind_of(entry.text)
            if kind is not None:
                key = identity(kind, entry.text).key
                yield Found(entry.line, (kind, key), entry.text)
        except CodecError as error:
            yield Fault(entry.line, str(error), digest())
