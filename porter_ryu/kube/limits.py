"""Limits on the content of manifest files; docs/limits.md lists them."""

from __future__ import annotations

from typing import Any

MIB = 1 << 20

OBJECT_OCTETS = 3 * MIB // 2  # etcd's default limit for one request, and so for any API object
OBJECT_DEPTH = 100  # levels
OBJECT_ENTRIES = 10_000  # of one list; the API server accepts 1,000 endpoints in a slice
FILE_OCTETS = 64 * MIB
ALIAS_OCTETS = 10 * MIB  # size that expanded aliases may add to one file
DIRECTORY_OCTETS = 256 * MIB  # of objects of the supported kinds, as JSON
DIRECTORY_FILES = 20_000


def too_deep(value: Any) -> bool:
    """Whether JSON has more than OBJECT_DEPTH levels; comparing or encoding it would recurse."""
    level = [value]
    for _ in range(OBJECT_DEPTH):
        below = (n.values() if isinstance(n, dict) else n for n in level)
        level = [child for nodes in below for child in nodes if isinstance(child, dict | list)]
        if not level:
            return False
    return True
