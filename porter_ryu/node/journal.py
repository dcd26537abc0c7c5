"""What this program has bound, on disk before it is bound: so that after `kill -9` it still
knows what is its own, and never takes away what is somebody else's.

A file that cannot be read is not an empty one.  One that is damaged is kept aside as
`bound.json.damaged`, and costs the rows alone that are broken; one that cannot be opened at
present (no descriptor, no permission) is tried again, and nothing is written until it was read.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
from collections.abc import Iterable
from ipaddress import ip_network

from eventlet import tpool

from porter_ryu import atomic_file, regular_file
from porter_ryu.domain.model import Address, Network
from porter_ryu.log import reason_of
from porter_ryu.node.interfaces import InterfaceAddress, Interfaces
from porter_ryu.node.iproute import Place
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

Entry = tuple[Place, Network]
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_OCTETS_MOST = 16 << 20  # some 300,000 rows
_NAME_OF = {
    "address": re.compile(r"[^\s/]{1,15}"),  # IFNAMSIZ; what the kernel allows in a name
    "rule": re.compile(r"[0-9]{1,10}"),
    "blackhole": re.compile(r"[0-9]{1,10}"),
}


class JournalError(Exception):
    """The journal cannot be read or written at present."""


class _DamagedError(Exception):
    """The file is there and is no journal."""


class Journal:
    """A set of (place, address) in one file, replaced as a whole.

    It is void after a reboot: nothing of ours is bound then, and an equal address is not ours.
    `entries` is what is ours now.  `unread` says why the file cannot be opened at present, and
    `damage` what was lost of it; each is empty where all is well.
    """

    def __init__(self, state_dir: str, boot_id: str | None = None) -> None:
        self._path = os.path.join(state_dir, "bound.json")
        self._boot_id = boot_id
        self._set_aside = False
        self._written: frozenset[Entry] = frozenset()
        self.entries: frozenset[Entry] = frozenset()
        self.unread = ""
        self.damage = ""

    def load(self) -> None:
        """Reads what an earlier run left; changes nothing on disk, and says what is wrong."""
        try:
            data = _read(self._path)
            boot_id = self._boot_id = _this_boot() if self._boot_id is None else self._boot_id
            self.unread = ""
            rows, indexes = _document(data, boot_id) if data is not None else ([], {})
        except OSError as error:
            self.unread = f"{self._path} cannot be read: {reason_of(error)}"
            LOG.error("%s; it is tried again", self.unread)
            return
        except _DamagedError as error:
            self._damaged(f"is damaged: {error}")
            return
        read = [_entry(row, indexes) for row in rows]
        self.entries = self._written = frozenset(entry for entry in read if entry is not None)
        if None in read:
            first = rows[read.index(None)]
            self._damaged(f"has {read.count(None)} damaged rows, the first is {first!r}")

    def require(self) -> None:
        """Reads it where it could not be read before; raises JournalError where it still cannot."""
        if self.unread:
            self.load()
        if self.unread:
            raise JournalError(self.unread)

    def add(self, entries: Iterable[Entry]) -> None:
        """Takes entries as ours, on disk when this returns; raises JournalError, and has then
        taken only those that were on disk already."""
        new = frozenset(entries)
        if not self._written >= new or self._set_aside:
            try:
                self._write(self.entries | new)
            except JournalError:
                self.entries |= new & self._written
                raise
        self.entries |= new

    def remove(self, entries: Iterable[Entry]) -> None:
        """Takes entries as gone.  They are, even where the disk does not take it: `write` tries
        again."""
        self.entries = self.entries.difference(entries)

    def follow(self, interfaces: Interfaces) -> None:
        """Goes along with what became of interfaces: a renamed one keeps what is ours there, one
        that is gone took it along.  On disk with the next `write`."""
        places = {place for place, _ in self.entries}
        now = {place: _where_now(place, interfaces) for place in places}
        if any(place != there for place, there in now.items()):
            moved = ((now[place], network) for place, network in self.entries)
            self.entries = frozenset((place, n) for place, n in moved if place is not None)

    def write(self) -> None:
        """Has on disk what is ours; raises JournalError."""
        self._write(self.entries)

    def bound(self, addresses: Iterable[InterfaceAddress]) -> frozenset[Address]:
        """Of the addresses of this host those that we bound on an interface.  An entry about
        another one (with a subnet, or not there at all) is not believed."""
        ours = {
            (place.index or place.where, network.network_address)
            for place, network in self.entries
            if place.mode == "address"
        }
        found, give_way = set(), TimeSlice()
        for entry in addresses:
            give_way()
            keys = ((entry.index, entry.address), (entry.device, entry.address))
            if entry.lone and not ours.isdisjoint(keys):
                found.add(entry.address)
        return frozenset(found)

    def _damaged(self, what: str) -> None:
        self.damage = f"{self._path} {what}"
        self._set_aside = True
        LOG.error(
            "%s; what it does not say any more counts as bound by somebody else, and the file is "
            "kept as %s.damaged",
            self.damage,
            self._path,
        )

    def _write(self, entries: frozenset[Entry]) -> None:
        if entries == self._written and not self._set_aside:
            return
        give_way, rows = TimeSlice(), []
        for place, network in entries:
            give_way()
            rows.append([place.mode, place.where, str(network)])
        rows.sort()
        indexes = {place.where: place.index for place, _ in entries if place.index}
        document = {"boot": self._boot_id, "bound": rows, "interfaces": indexes}
        try:
            if self._boot_id is None:
                document["boot"] = self._boot_id = _this_boot()
            if self._set_aside:
                _keep_aside(self._path)
            # a disk that is slow holds up whoever binds, and nobody else
            tpool.execute(atomic_file.write, self._path, json.dumps(document).encode())
        except OSError as error:
            raise JournalError(f"{self._path} cannot be written: {reason_of(error)}") from error
        self._set_aside = False
        self._written = entries


def _read(path: str) -> bytes | None:
    """The octets of a file, None where there is none; raises OSError where it cannot be told,
    _DamagedError for what is no file of ours."""
    try:
        data, _ = regular_file.read(path, _OCTETS_MOST)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _DamagedError(f"it {error}") from error
    return data


def _document(data: bytes, boot_id: str) -> tuple[list[object], dict[str, int]]:
    """The rows of this boot and the indexes of interfaces; raises _DamagedError."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _DamagedError(f"it is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise _DamagedError("it is no JSON object")
    boot, rows, indexes = (document.get(name) for name in ("boot", "bound", "interfaces"))
    if not isinstance(boot, str) or not isinstance(rows, list):
        raise _DamagedError("it has no boot id or no list of what is bound")
    if boot != boot_id:
        return [], {}
    known = indexes if isinstance(indexes, dict) else {}
    return rows, {name: n for name, n in known.items() if type(n) is int and n > 0}


def _entry(row: object, indexes: dict[str, int]) -> Entry | None:
    """One row; None where it is damaged."""
    match row:
        case [str(mode), str(where), str(text)] if mode in _NAME_OF:
            pass
        case _:
            return None
    if _NAME_OF[mode].fullmatch(where) is None:
        return None
    try:
        network: Network = ip_network(text)
    except ValueError:
        return None
    if network.num_addresses != 1 or "%" in text:
        return None
    index = indexes.get(where, 0) if mode == "address" else 0
    return Place(mode, where, index), network


def _where_now(place: Place, interfaces: Interfaces) -> Place | None:
    """The place that a place is now; None where it is gone, and what was bound there with it."""
    if place.mode != "address":
        return place
    link = interfaces.at(place.index) if place.index else interfaces.named(place.where)
    return Place(place.mode, link.name, link.index) if link is not None else None


def _keep_aside(path: str) -> None:
    """Keeps a file under another name, and where it is until another takes its place; raises
    OSError."""
    aside = path + ".damaged"
    if not os.path.lexists(path):  # an earlier try got as far as that
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        os.link(path, aside, follow_symlinks=False)
    except OSError:  # a folder, or a file system without links
        os.replace(path, aside)


def _this_boot() -> str:
    """This boot's id, empty where there is none to see; raises OSError where it cannot be told."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except (FileNotFoundError, PermissionError):
        return ""  # not Linux, or hidden: then the journal counts for ever
