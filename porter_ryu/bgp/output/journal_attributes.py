"""The attributes of a path as text, in the journal of announced paths (`journal_line`).

    communities=65000:1,no-export,65000:1:2 local_pref=200 med=30 as_path_prepend=2 bandwidth=3

They are the path's own: what the group of the peer says is not among them, because the settings say
it at every start.  Thousands of paths have the same few sets, so that a set is written once, under
its digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

from porter_ryu.domain.announcement import NO_ATTRIBUTES, PathAttributes
from porter_ryu.domain.communities import NO_COMMUNITIES, Communities, parse_communities
from porter_ryu.domain.eip_advertisements import MAX_PREPEND
from porter_ryu.domain.nodes.weights import MAX_LEVEL

_DIGEST_OCTETS = 8  # so that nobody finds a second set for a digest
_COMMUNITIES, _LOCAL_PREF, _MED = "communities", "local_pref", "med"
_PREPEND, _BANDWIDTH = "as_path_prepend", "bandwidth"
_LIMITS = {
    _LOCAL_PREF: range(1 << 32),
    _MED: range(1 << 32),
    _PREPEND: range(1, MAX_PREPEND + 1),
    _BANDWIDTH: range(1, MAX_LEVEL + 1),
}


class Definition(Struct, frozen=True):
    """A set of attributes, its text, and the digest by which paths name it."""

    digest: str
    text: str
    attributes: PathAttributes


@lru_cache(maxsize=4096)
def define(attributes: PathAttributes) -> Definition:
    """The definition of a set of attributes, of which at least one is set."""
    text = " ".join(_words(attributes))
    digest = blake2b(text.encode("ascii"), digest_size=_DIGEST_OCTETS).hexdigest()
    return Definition(digest, text, attributes)


@lru_cache(maxsize=4096)
def read_definition(digest: str, text: str) -> Definition:
    """Reads a definition; raises ValueError if it is not exactly as it would be written."""
    values = dict(word.split("=", 1) for word in text.split(" "))
    communities = values.get(_COMMUNITIES)
    standard, large = parse_communities(communities.split(",") if communities else ())
    definition = define(
        PathAttributes(
            standard,
            large,
            _number(values, _LOCAL_PREF),
            _number(values, _MED),
            _number(values, _PREPEND) or 0,
            _number(values, _BANDWIDTH),
        )
    )
    if definition.attributes == NO_ATTRIBUTES or (definition.digest, definition.text) != (
        digest,
        text,
    ):
        raise ValueError("not as it was written")
    return definition


def _words(attributes: PathAttributes) -> Iterator[str]:
    communities = NO_COMMUNITIES.union(
        Communities(attributes.communities, attributes.large_communities)
    )
    if communities.size:
        yield f"{_COMMUNITIES}={','.join(communities.texts())}"
    numbers = {
        _LOCAL_PREF: attributes.local_pref,
        _MED: attributes.med,
        _PREPEND: attributes.as_path_prepend or None,
        _BANDWIDTH: attributes.bandwidth,
    }
    for name, number in numbers.items():
        if number is not None:
            yield f"{name}={number}"


def _number(values: dict[str, str], name: str) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    number = int(text)
    if number not in _LIMITS[name]:
        raise ValueError(f"{name} {number}")
    return number
