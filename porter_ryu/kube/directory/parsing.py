"""What of a file concerns us: the objects of our kinds, by name, and the faults."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from porter_ryu.domain.model import ObjectId
from porter_ryu.kube import documents
from porter_ryu.kube.codec import key_of, kind_of


@dataclass(frozen=True, slots=True)
class Found:
    """An object as JSON, and the line at which it begins."""

    line: int
    entry: ObjectId
    text: bytes


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be understood: it may have been any object.

    `content`: a digest of the file, which tells one that is broken anew from one that still is.
    """

    line: int
    reason: str
    content: str = ""


def parse(content: bytes, pause: Callable[[], None]) -> Iterator[Found | Fault]:
    """The objects of our kinds in the content of a file, and what is wrong in it."""
    digest = functools.cache(lambda: hashlib.blake2b(content, digest_size=16).hexdigest())
    for entry in documents.entries(content, pause):
        if entry.fault:
            yield Fault(entry.line, entry.fault, digest())
            continue
        try:
            document = json.loads(entry.text)
            kind = kind_of(document)
            if kind is not None:
                yield Found(entry.line, (kind, key_of(kind, document)), entry.text)
        except (ValueError, RecursionError) as error:
            yield Fault(entry.line, str(error), digest())
