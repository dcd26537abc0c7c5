"""How much of what stands in files is taken: docs/limits.md tells the reader."""

from __future__ import annotations

MIB = 1 << 20

OBJECT_OCTETS = 3 * MIB // 2  # etcd's default for one request, thus the most of any API object
OBJECT_DEPTH = 100
FILE_OCTETS = 64 * MIB
ALIAS_OCTETS = 10 * MIB  # what aliases may add to one file
DIRECTORY_OCTETS = 256 * MIB  # of objects of our kinds, as JSON
DIRECTORY_FILES = 20_000
