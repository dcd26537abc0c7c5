"""`.status` beside manifests: the record of assignments where there is no API server.

DIR/.status/services/NAMESPACE/NAME.json and DIR/.status/eips/NAME.json, each {"status": …}.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.kube.fields import Json

LOG = logging.getLogger(__name__)

_Signature = tuple[int, int]
_KINDS = (Kind.SERVICE, Kind.EIP)


class StatusFiles:
    """Keeps status by object, written atomically, and notices what others write."""

    def __init__(self, directory: str) -> None:
        self._root = os.path.join(directory, ".status")
        self._known: dict[tuple[Kind, ObjectKey], tuple[_Signature, Any]] = {}
        self._folders: dict[str, int] = {}

    def get(self, kind: Kind, key: ObjectKey) -> Any:
        """The status of an object, None where there is no file of it."""
        entry = self._known.get((kind, key))
        return entry[1] if entry is not None else None

    def refresh(self) -> set[tuple[Kind, ObjectKey]]:
        """Reads what changed on disk; returns the objects whose status is another now."""
        changed = set()
        for kind, namespace, folder in self._all_folders():
            try:
                stamp = os.stat(folder).st_mtime_ns
            except OSError:
                continue
            if self._folders.get(folder) == stamp:
                continue
            self._folders[folder] = stamp
            changed |= self._read_folder(kind, namespace, folder)
        return changed

    def write(self, kind: Kind, key: ObjectKey, document: Json) -> None:
        """Writes a status; raises OSError."""
        path = self._path(kind, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        staged = os.path.join(os.path.dirname(path), f".{key.name}.new")
        with open(staged, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
        signature = _signature(os.stat(staged))
        os.replace(staged, path)
        self._known[kind, key] = (signature, document["status"])

    def remove(self, kind: Kind, key: ObjectKey) -> None:
        """Removes the status of an object that is gone or not ours."""
        self._known.pop((kind, key), None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(kind, key))

    def keys(self, kind: Kind) -> list[ObjectKey]:
        """The objects of a kind that have a status here."""
        return [key for known, key in self._known if known is kind]

    def _path(self, kind: Kind, key: ObjectKey) -> str:
        return os.path.join(self._root, kind.value, key.namespace, f"{key.name}.json")

    def _all_folders(self) -> Iterator[tuple[Kind, str, str]]:
        for kind in _KINDS:
            top = os.path.join(self._root, kind.value)
            if kind is Kind.EIP:
                yield kind, "", top
                continue
            with contextlib.suppress(FileNotFoundError), os.scandir(top) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir())
                yield from ((kind, name, os.path.join(top, name)) for name in names)

    def _read_folder(self, kind: Kind, namespace: str, folder: str) -> set[tuple[Kind, ObjectKey]]:
        changed, seen = set(), set()
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.endswith(".json") or not entry.is_file():
                    continue
                key = ObjectKey(namespace, entry.name.removesuffix(".json"))
                seen.add(key)
                signature = _signature(entry.stat())
                known = self._known.get((kind, key))
                if known is None or known[0] != signature:
                    self._known[kind, key] = (signature, _read(entry.path))
                    changed.add((kind, key))
        for known_kind, key in list(self._known):
            if known_kind is kind and key.namespace == namespace and key not in seen:
                del self._known[kind, key]
                changed.add((kind, key))
        return changed


def _signature(stat: os.stat_result) -> _Signature:
    return (stat.st_ino, stat.st_mtime_ns)


def _read(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError) as error:
        LOG.error("%s: cannot be read: %s", path, error)
        return None
    status = document.get("status") if isinstance(document, dict) else None
    return status if isinstance(status, dict) else None
