"""The journal of the addresses that this program has bound.

An address is written before it is bound.  So after `kill -9` the program knows its own addresses,
and never unbinds those of others.

A file that cannot be read does not count as empty.  A damaged file is kept as `bound.json.damaged`,
and only its damaged rows are lost.  A file that cannot be opened now (no descriptor, no permission)
is read later, and nothing is written before.
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

Binding = tuple[Place, Network]
_BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"
_FILE_MAX_OCTETS = 16 << 20  # about 300,000 rows
_WHERE_PATTERNS = {
    "address": re.compile(r"[^\s/]{1,15}"),  # the interface names that the kernel allows
    "rule": re.compile(r"[0-9]{1,10}"),
    "blackhole": re.compile(r"[0-9]{1,10}"),
}


class BindingJournalError(Exception):
    """The journal cannot be read or written now."""


class _DamagedError(Exception):
    """The file exists, but it is not a valid journal."""


class BindingJournal:
    """A set of bindings in one file, which is always replaced completely.

    It is empty after a reboot: then nothing of ours is bound, and an equal address is not ours.
    `bindings`: what is ours now.  `read_error`: why the file cannot be opened now.  `damage`: what
    was lost of a damaged file.  Both are empty if there is no error.
    """

    def __init__(self, state_dir: str, boot_id: str | None = None) -> None:
        self._path = os.path.join(state_dir, "bound.json")
        self._boot_id = boot_id
        self._must_keep_damaged = False
        self._written: frozenset[Binding] = frozenset()
        self.bindings: frozenset[Binding] = frozenset()
        self._networks: frozenset[Network] = frozenset()
        self._networks_of = self.bindings  # the set that these are of
        self.read_error = ""
        self.damage = ""

    def has(self, network: Network) -> bool:
        """Whether an address is bound at any place."""
        if self._networks_of is not self.bindings:
            self._networks_of = self.bindings
            self._networks = frozenset(network for _, network in self.bindings)
        return network in self._networks

    def load(self) -> None:
        """Reads the file of an earlier run; logs what is wrong, and changes nothing on disk."""
        try:
            data = _read(self._path)
            if self._boot_id is None:
                self._boot_id = _current_boot_id()
            self.read_error = ""
            rows, indexes = _parse(data, self._boot_id) if data is not None else ([], {})
        except OSError as error:
            self.read_error = f"{self._path} cannot be read: {reason_of(error)}"
            LOG.error("%s; it is retried", self.read_error)
            return
        except _DamagedError as error:
            self._report_damage(f"is damaged: {error}")
            return
        read = [_binding(row, indexes) for row in rows]
        self.bindings = self._written = frozenset(entry for entry in read if entry is not None)
        if None in read:
            first = rows[read.index(None)]
            self._report_damage(f"has {read.count(None)} damaged rows, the first is {first!r}")

    def ensure_read(self) -> None:
        """Reads the file if that failed before; raises BindingJournalError if it fails again."""
        if self.read_error:
            self.load()
        if self.read_error:
            raise BindingJournalError(self.read_error)

    def add(self, bindings: Iterable[Binding]) -> None:
        """Adds bindings; they are on disk when this returns.  Raises BindingJournalError; then only
        those that were on disk already are added."""
        new = frozenset(bindings)
        if not self._written >= new or self._must_keep_damaged:
            try:
                self._write(self.bindings | new)
            except BindingJournalError:
                self.bindings |= new & self._written
                raise
        self.bindings |= new

    def remove(self, bindings: Iterable[Binding]) -> None:
        """Removes bindings; they are removed from disk by the next `write`."""
        self.bindings = self.bindings.difference(bindings)

    def update_interfaces(self, interfaces: Interfaces) -> None:
        """Changes the name of a renamed interface, and removes the bindings of one that has gone;
        on disk by the next `write`."""
        places = {place for place, _ in self.bindings}
        current = {place: _current_place(place, interfaces) for place in places}
        if any(old != new for old, new in current.items()):
            moved = ((current[place], network) for place, network in self.bindings)
            self.bindings = frozenset((place, n) for place, n in moved if place is not None)

    def write(self) -> None:
        """Writes the bindings to disk if they changed; raises BindingJournalError."""
        self._write(self.bindings)

    def bound_among(self, addresses: Iterable[InterfaceAddress]) -> frozenset[Address]:
        """The addresses among those of this host that we bound on an interface.  A binding of an
        address that is not a host prefix of its interface is ignored."""
        ours = {
            (place.index or place.where, network.network_address)
            for place, network in self.bindings
            if place.mode == "address"
        }
        found, give_way = set(), TimeSlice()
        for entry in addresses:
            give_way()
            keys = ((entry.index, entry.address), (entry.device, entry.address))
            if entry.is_host_prefix and not ours.isdisjoint(keys):
                found.add(entry.address)
        return frozenset(found)

    def _report_damage(self, what: str) -> None:
        self.damage = f"{self._path} {what}"
        self._must_keep_damaged = True
        LOG.error(
            "%s; addresses that it has lost count as bound by somebody else; before it is written "
            "again, the file is kept as %s.damaged",
            self.damage,
            self._path,
        )

    def _write(self, bindings: frozenset[Binding]) -> None:
        if bindings == self._written and not self._must_keep_damaged:
            return
        give_way, rows = TimeSlice(), []
        for place, network in bindings:
            give_way()
            rows.append([place.mode, place.where, str(network)])
        rows.sort()
        indexes = {place.where: place.index for place, _ in bindings if place.index}
        document = {"boot": self._boot_id, "bound": rows, "interfaces": indexes}
        try:
            if self._boot_id is None:
                document["boot"] = self._boot_id = _current_boot_id()
            if self._must_keep_damaged:
                _keep_damaged(self._path)
            # in a native thread: a slow disk must not block the other greenthreads
            tpool.execute(atomic_file.write, self._path, json.dumps(document).encode())
        except OSError as error:
            text = f"{self._path} cannot be written: {reason_of(error)}"
            raise BindingJournalError(text) from error
        self._must_keep_damaged = False
        self._written = bindings


def _read(path: str) -> bytes | None:
    """The contents of a file, None if there is no file.  Raises OSError; _DamagedError if it is not
    a regular file or too large."""
    try:
        data, _ = regular_file.read(path, _FILE_MAX_OCTETS)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _DamagedError(f"it {error}") from error
    return data


def _parse(data: bytes, boot_id: str) -> tuple[list[object], dict[str, int]]:
    """The rows, and the index of each interface by name; both empty if the file is of an earlier
    boot.  Raises _DamagedError."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _DamagedError(f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _DamagedError("it is not a JSON object")
    boot, rows, indexes = (document.get(name) for name in ("boot", "bound", "interfaces"))
    if not isinstance(boot, str) or not isinstance(rows, list):
        raise _DamagedError("it has no boot id, or no list of bound addresses")
    if boot != boot_id:
        return [], {}
    known = indexes if isinstance(indexes, dict) else {}
    return rows, {name: n for name, n in known.items() if type(n) is int and n > 0}


def _binding(row: object, indexes: dict[str, int]) -> Binding | None:
    """The binding of a row; None if the row is damaged."""
    match row:
        case [str(mode), str(where), str(text)] if mode in _WHERE_PATTERNS:
            pass
        case _:
            return None
    if _WHERE_PATTERNS[mode].fullmatch(where) is None:
        return None
    try:
        network: Network = ip_network(text)
    except ValueError:
        return None
    if network.num_addresses != 1 or "%" in text:
        return None
    index = indexes.get(where, 0) if mode == "address" else 0
    return Place(mode, where, index), network


def _current_place(place: Place, interfaces: Interfaces) -> Place | None:
    """The place with the current name of its interface; None if the interface has gone."""
    if place.mode != "address":
        return place
    link = interfaces.at(place.index) if place.index else interfaces.named(place.where)
    return Place(place.mode, link.name, link.index) if link is not None else None


def _keep_damaged(path: str) -> None:
    """Gives a damaged file the name `.damaged` as well, so that it stays when it is replaced.
    Raises OSError."""
    damaged = path + ".damaged"
    if not os.path.lexists(path):  # an earlier attempt has renamed it
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(damaged)
        os.link(path, damaged, follow_symlinks=False)
    except OSError:  # a directory, or a file system without hard links
        os.replace(path, damaged)


def _current_boot_id() -> str:
    """The id of this boot, empty if the kernel does not show it; raises OSError."""
    try:
        with open(_BOOT_ID_PATH, encoding="ascii") as file:
            return file.read().strip()
    except (FileNotFoundError, PermissionError):
        return ""  # then the journal stays valid after a reboot
