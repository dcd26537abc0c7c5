"""The folder `.status` beside manifests: it records assignments if there is no API server.

It has DIR/.status/services/NAMESPACE/NAME.json and DIR/.status/eips/NAME.json, each
{"status": …}.  A file that cannot be read does not mean "no status": its last known status is kept,
and its object counts as unreadable until the file is repaired or removed.  If it could not be read
since the start, that there is a status, and which, is not known at all.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable

from eventlet import tpool
from msgspec import Struct, field
from msgspec.structs import replace

from porter_ryu import atomic_file, regular_file
from porter_ryu.domain.editing import STATUS_FOLDER
from porter_ryu.domain.model import Kind, ObjectId, ObjectKey
from porter_ryu.kube.codec import is_name
from porter_ryu.kube.directory import folders
from porter_ryu.kube.json_text import Json
from porter_ryu.kube.limits import OBJECT_DEPTH, OBJECT_OCTETS, too_deep
from porter_ryu.log import reason_of
from porter_ryu.problem_log import ProblemLog
from porter_ryu.regular_file import Signature

LOG = logging.getLogger(__name__)

_Folder = tuple[Kind, str]
_ROOT = STATUS_FOLDER
_SUFFIX = ".json"
_KEPT = "the last known status is kept"
# a folder that was modified so recently may be modified again with the same mtime
_RACY_NANOSECONDS = 100_000_000
_UNSETTLED = -1  # in place of an mtime: read the folder again


class Status(Struct, frozen=True):
    """The status of an object as JSON, None if it has none.  With a `fault`, which says why its
    file cannot be read, it is the last known status; `file` is the file or folder to be corrected.
    `unread`: whether it has one was never known."""

    value: bytes | None = None
    fault: str = ""
    file: str = ""
    unread: bool = False


class _StatusFile(Struct, frozen=True):
    signature: Signature | None
    status: Status


class _Contents(Struct):
    """The cached content of a folder; `mtime` is in nanoseconds, `fault` says why the folder cannot
    be read, and `damaged` names the files that cannot be read or have no valid status.  `listed`:
    it could be read once, so a file that is not in `files` did not exist then."""

    mtime: int = _UNSETTLED
    fault: str = ""
    listed: bool = False
    files: dict[str, _StatusFile] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)


_NO_STATUS = Status()
_SERVICES = (Kind.SERVICE, "")
_EIPS = (Kind.EIP, "")


class StatusFiles:
    """Reads and atomically writes status by object, and detects changes by other processes."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._folders: dict[_Folder, _Contents] = {_EIPS: _Contents()}
        self._fault = self._services_fault = ""
        self._services_listed = False
        self._problems = ProblemLog(
            LOG, "%(problem)s; what is known of it is kept", "%(subject)s can be read again"
        )

    def get(self, kind: Kind, key: ObjectKey) -> Status:
        """The status of an object."""
        if kind not in (Kind.SERVICE, Kind.EIP):
            return _NO_STATUS
        folder = self._folders.get((kind, key.namespace))
        known = folder.files.get(key.name) if folder is not None else None
        path, fault = self._fault_above(kind, key.namespace, folder)
        if fault:
            if known is not None:
                return replace(known.status, fault=fault, file=path)
            listed = folder.listed if folder is not None else self._services_listed
            return Status(None, fault, path, unread=not listed)
        return known.status if known is not None else _NO_STATUS

    def _fault_above(self, kind: Kind, namespace: str, folder: _Contents | None) -> tuple[str, str]:
        """The folder that has to be readable for an object to be read, and is not, and why."""
        services_fault = self._services_fault if kind is Kind.SERVICE else ""
        found = (
            ((_ROOT,), self._fault),
            (_path(*_SERVICES), services_fault),
            (_path(kind, namespace), folder.fault if folder is not None else ""),
        )
        names, fault = next((entry for entry in found if entry[1]), ((), ""))
        return os.path.join("", *names), fault

    def keys(self) -> list[ObjectId]:
        """The objects that have a status file."""
        return [
            (kind, ObjectKey(namespace, name))
            for (kind, namespace), folder in self._folders.items()
            for name in folder.files
        ]

    @property
    def has_unread_folder(self) -> bool:
        """Whether a folder could not be read yet."""
        if self._fault or self._services_fault:
            return True
        return any(contents.fault and not contents.listed for contents in self._folders.values())

    def refresh(self, give_way: Callable[[], None]) -> tuple[set[ObjectId], bool]:
        """Reads what changed on disk; returns the objects whose status changed, and whether a
        folder became readable or unreadable."""
        changed: set[ObjectId] = set()
        self._fault = self._fault_of((_ROOT,))
        if not self._fault:
            for kind, namespace in self._changed_folders():
                give_way()
                names = self._refresh_folder(kind, namespace, give_way)
                changed |= {(kind, ObjectKey(namespace, name)) for name in names}
        return changed, self._problems.update_all(self._faults())

    def watch(self, kind: Kind, key: ObjectKey) -> None:
        """Notes that the status of an object is not a valid one: its file is read again once it is
        corrected, although that does not change its folder."""
        folder = self._folders.get((kind, key.namespace))
        if folder is not None and key.name in folder.files:
            folder.damaged.add(key.name)

    def write(self, kind: Kind, key: ObjectKey, status: Json) -> None:
        """Writes a status; raises OSError."""
        octets = json.dumps({"status": status}, indent=2).encode()
        # in a thread: a disk may be slow
        path = _path(kind, key.namespace)
        found = tpool.execute(_write_file, self._directory, path, key.name, octets)
        folder = self._folders.setdefault((kind, key.namespace), _Contents(listed=True))
        folder.files[key.name] = _StatusFile(regular_file.signature(found), Status(_encode(status)))
        folder.damaged.discard(key.name)

    def remove(self, kind: Kind, key: ObjectKey) -> None:
        """Removes the status of an object that was deleted or is not ours; raises OSError."""
        try:
            with folders.opened(self._directory, _path(kind, key.namespace)) as folder:
                folders.remove(folder, f"{key.name}{_SUFFIX}")
        except FileNotFoundError:
            pass
        contents = self._folders.get((kind, key.namespace), _Contents())
        contents.files.pop(key.name, None)
        contents.damaged.discard(key.name)

    def _faults(self) -> dict[str, str]:
        """The unreadable folders: path and reason."""
        services = os.path.join(*_path(*_SERVICES))
        faults = {_ROOT: self._fault, services: self._services_fault}
        for folder, contents in self._folders.items():
            if contents.fault:
                faults[os.path.join(*_path(*folder))] = contents.fault
        return {path: fault for path, fault in faults.items() if fault}

    def _fault_of(self, names: tuple[str, ...]) -> str:
        """Why a folder cannot be opened; '' if it can, or does not exist."""
        try:
            with folders.opened(self._directory, names):
                return ""
        except FileNotFoundError:
            return ""
        except OSError as error:
            return _read_fault(names, error)

    def _changed_folders(self) -> list[_Folder]:
        """The folders whose content may have changed."""
        known = {folder for folder in self._folders if folder[0] is Kind.SERVICE}
        found: set[_Folder] = set()
        self._services_fault = ""
        try:
            with folders.opened(self._directory, _path(*_SERVICES)) as top:
                for namespace in filter(is_name, os.listdir(top)):
                    folder = (Kind.SERVICE, namespace)
                    known.discard(folder)
                    if not self._is_unchanged(top, folder):
                        found.add(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._services_fault = _read_fault(_path(*_SERVICES), error)
            return [_EIPS]
        self._services_listed = True
        return [_EIPS, *sorted(found | known, key=lambda folder: folder[1])]

    def _is_unchanged(self, top: int, folder: _Folder) -> bool:
        """Whether a folder did not change since it was read; costs one stat call."""
        contents = self._folders.get(folder)
        if contents is None or contents.fault or contents.damaged:
            return False
        found = os.stat(folder[1], dir_fd=top, follow_symlinks=False)
        return stat.S_ISDIR(found.st_mode) and found.st_mtime_ns == contents.mtime

    def _refresh_folder(self, kind: Kind, namespace: str, give_way: Callable[[], None]) -> set[str]:
        """Reads a folder if it changed; returns the names whose status changed."""
        contents = self._folders.setdefault((kind, namespace), _Contents())
        try:
            with folders.opened(self._directory, _path(kind, namespace)) as folder:
                contents.fault = ""
                mtime = os.fstat(folder).st_mtime_ns
                if contents.mtime == mtime:
                    # a damaged file may be repaired in place
                    names, deleted = set(contents.damaged), set()
                else:
                    settled = mtime < time.time_ns() - _RACY_NANOSECONDS
                    contents.mtime = mtime if settled else _UNSETTLED
                    names = set(filter(None, map(_object_name, os.listdir(folder))))
                    deleted = contents.files.keys() - names
                folder_path = os.path.join(*_path(kind, namespace))
                changed = set()
                for name in sorted(names):
                    give_way()
                    if _refresh_file(contents, folder, folder_path, name):
                        changed.add(name)
        except FileNotFoundError:
            contents.fault, contents.mtime = "", _UNSETTLED
            changed, deleted = set(), set(contents.files)
        except OSError as error:
            contents.fault = _read_fault(_path(kind, namespace), error)
            contents.mtime = _UNSETTLED  # it may have been read in part
            return set()
        contents.listed = True
        for name in deleted:
            del contents.files[name]
            contents.damaged.discard(name)
        if kind is Kind.SERVICE and contents.mtime == _UNSETTLED and not contents.files:
            del self._folders[kind, namespace]
        return changed | deleted


def _refresh_file(contents: _Contents, folder: int, folder_path: str, name: str) -> bool:
    """Reads a file if it changed; returns whether its status changed."""
    known = contents.files.get(name)
    file = f"{name}{_SUFFIX}"
    try:
        signature: Signature | None = regular_file.signature(
            os.stat(file, dir_fd=folder, follow_symlinks=False)
        )
    except FileNotFoundError:
        return False  # deleted after the listing; that changed the mtime of the folder
    if known is not None and known.signature == signature:
        return False
    try:
        octets, found = regular_file.read(file, OBJECT_OCTETS, folder=folder)
        signature, status, fault = regular_file.signature(found), *_parse(octets)
    except FileNotFoundError:
        return False
    except OSError as error:
        signature, status, fault = None, None, f"cannot be read: {reason_of(error)}"
    except ValueError as error:
        status, fault = None, str(error)
    if fault:
        path = os.path.join(folder_path, file)
        fault = f"{path} {fault}"
        before = known.status if known is not None else Status(unread=True)
        LOG.error("%s%s", fault, "" if before.unread else f"; {_KEPT}")
        contents.damaged.add(name)
        new = replace(before, fault=fault, file=path)
    else:
        new = Status(status)
    changed = known is None or known.status != new
    if changed and not fault:
        contents.damaged.discard(name)  # what is not valid is watched again by its reader
    contents.files[name] = _StatusFile(signature, new)
    return changed


def _parse(octets: bytes) -> tuple[bytes | None, str]:
    """The status in a file, or None and the reason."""
    try:
        document = json.loads(octets)
    except (ValueError, RecursionError) as error:
        return None, f"cannot be parsed: {error}"
    status = document.get("status") if isinstance(document, dict) else None
    if not isinstance(status, dict):
        return None, "has no status"
    if too_deep(status):
        return None, f"is nested more than {OBJECT_DEPTH} levels deep"
    return _encode(status), ""


def _encode(status: Json) -> bytes:
    return json.dumps(status, separators=(",", ":")).encode()


def _write_file(directory: str, names: tuple[str, ...], name: str, octets: bytes) -> os.stat_result:
    with folders.opened(directory, names, create=True) as folder:
        return atomic_file.write(f"{name}{_SUFFIX}", octets, folder)


def _path(kind: Kind, namespace: str) -> tuple[str, ...]:
    return (_ROOT, kind.value, namespace) if namespace else (_ROOT, kind.value)


def file_of(kind: Kind, key: ObjectKey) -> str:
    """The file of the status of an object, from the directory on."""
    return os.path.join(*_path(kind, key.namespace), f"{key.name}{_SUFFIX}")


def _object_name(file: str) -> str:
    """The name of the object to which a file belongs; '' if to none."""
    name = file.removesuffix(_SUFFIX)
    return name if name != file and is_name(name) else ""


def _read_fault(names: tuple[str, ...], error: OSError) -> str:
    return f"{os.path.join(*names)} cannot be read: {reason_of(error)}"
