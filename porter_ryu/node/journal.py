"""What this program has bound, on disk before it is bound: so that after `kill -9` it still
knows what is its own, and never takes away what is somebody else's."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from ipaddress import ip_network

from porter_ryu.domain.model import Address, Network
from porter_ryu.node.iproute import InterfaceAddress, Place

Entry = tuple[Place, Network]
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class JournalError(Exception):
    """The journal cannot be read or written."""


class Journal:
    """A set of (place, address) in one file, replaced as a whole.

    It is void after a reboot: nothing of ours is bound then, and an equal address is not ours.
    """

    def __init__(self, state_dir: str, boot_id: str | None = None) -> None:
        self._path = os.path.join(state_dir, "bound.json")
        self._boot_id = _this_boot() if boot_id is None else boot_id
        self.entries: frozenset[Entry] = frozenset()

    def load(self) -> None:
        """Reads what an earlier run left; raises JournalError."""
        try:
            with open(self._path, encoding="utf-8") as file:
                document = json.load(file)
            rows = document["bound"] if document.get("boot", "") == self._boot_id else []
            self.entries = frozenset(
                (Place(mode, where), ip_network(address)) for mode, where, address in rows
            )
        except FileNotFoundError:
            self.entries = frozenset()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalError(f"{self._path} cannot be read: {error}") from error

    def bound(self, addresses: Iterable[InterfaceAddress]) -> frozenset[Address]:
        """Which of these addresses of interfaces are ours."""
        ours = {network.network_address for _, network in self.entries}
        return frozenset(entry.address for entry in addresses if entry.address in ours)

    def save(self, entries: frozenset[Entry]) -> None:
        """Puts these entries in place of the old ones; raises JournalError."""
        if entries == self.entries:
            return
        rows = sorted([place.mode, place.where, str(network)] for place, network in entries)
        staged = self._path + ".new"
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(staged, "w", encoding="utf-8") as file:
                json.dump({"boot": self._boot_id, "bound": rows}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(staged, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(staged)
            raise JournalError(f"{self._path} cannot be written: {error.strerror}") from error
        self.entries = entries


def _this_boot() -> str:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""  # not Linux, or hidden: then the journal counts for ever
