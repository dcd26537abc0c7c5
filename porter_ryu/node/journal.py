"""What this program has bound, on disk before it is bound: so that after `kill -9` it still
knows what is its own, and never takes away what is somebody else's."""

from __future__ import annotations

import contextlib
import json
import os
from ipaddress import ip_network

from porter_ryu.domain.model import Network
from porter_ryu.node.iproute import Place

Entry = tuple[Place, Network]


class JournalError(Exception):
    """The journal cannot be read or written."""


class Journal:
    """A set of (place, address) in one file, replaced as a whole."""

    def __init__(self, state_dir: str) -> None:
        self._path = os.path.join(state_dir, "bound.json")
        self.entries: frozenset[Entry] = frozenset()

    def load(self) -> None:
        """Reads what an earlier run left; raises JournalError."""
        try:
            with open(self._path, encoding="utf-8") as file:
                rows = json.load(file)["bound"]
            self.entries = frozenset(
                (Place(mode, where), ip_network(address)) for mode, where, address in rows
            )
        except FileNotFoundError:
            self.entries = frozenset()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{self._path} cannot be read: {error}") from error

    def save(self, entries: frozenset[Entry]) -> None:
        """Puts these entries in place of the old ones; raises JournalError."""
        if entries == self.entries:
            return
        rows = sorted([place.mode, place.where, str(network)] for place, network in entries)
        staged = self._path + ".new"
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(staged, "w", encoding="utf-8") as file:
                json.dump({"bound": rows}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(staged, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(staged)
            raise JournalError(f"{self._path} cannot be written: {error.strerror}") from error
        self.entries = entries
