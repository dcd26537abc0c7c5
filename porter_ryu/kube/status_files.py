"""`.status` beside manifests: the record of assignments where there is no API server.

DIR/.status/services/NAMESPACE/NAME.json and DIR/.status/eips/NAME.json, each {"status": …}.  A
file that is there and cannot be read is not "no record": what was last known of it stays, and its
object counts as unreadable until it is mended or removed.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eventlet import tpool

from porter_ryu import atomic_file, regular_file
from porter_ryu.domain.model import Kind, ObjectId, ObjectKey
from porter_ryu.kube.codec import key_of
from porter_ryu.kube.directory import folders
from porter_ryu.kube.fields import CodecError, Json
from porter_ryu.kube.limits import OBJECT_DEPTH, OBJECT_OCTETS, too_deep
from porter_ryu.log import reason_of
from porter_ryu.problem_log import ProblemLog
from porter_ryu.regular_file import Signature

LOG = logging.getLogger(__name__)

_Folder = tuple[Kind, str]
_ROOT = ".status"
_ENDING = ".json"
_STAYS = "what was last known of it stays"
# a folder that changed within this many nanoseconds may change again without a new time
_RACY_NS = 100_000_000
_UNSETTLED = -1


@dataclass(frozen=True, slots=True)
class Status:
    """What is kept for an object: its status, None where there is none, or what was last known,
    and why there is no better one."""

    value: Any = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    signature: Signature | None
    status: Status


@dataclass
class _Contents:
    """What is known of a folder."""

    stamp: int = _UNSETTLED
    fault: str = ""
    files: dict[str, _Known] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)


_NONE = Status()
_SERVICES = (Kind.SERVICE, "")
_EIPS = (Kind.EIP, "")


class StatusFiles:
    """Keeps status by object, written atomically, and notices what others write."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._folders: dict[_Folder, _Contents] = {_EIPS: _Contents()}
        self._fault = self._services_fault = ""
        self._problems = ProblemLog(LOG, f"%(problem)s; {_STAYS}", "%(subject)s can be read again")

    def get(self, kind: Kind, key: ObjectKey) -> Status:
        """The status of an object."""
        if kind not in (Kind.SERVICE, Kind.EIP):
            return _NONE
        folder = self._folders.get((kind, key.namespace), _Contents())
        known = folder.files.get(key.name)
        fault = self._fault or (self._services_fault if kind is Kind.SERVICE else "")
        fault = fault or folder.fault
        if fault:
            return Status(known.status.value if known is not None else None, fault)
        return known.status if known is not None else _NONE

    def keys(self) -> list[ObjectId]:
        """The objects that have a status here."""
        return [
            (kind, ObjectKey(namespace, name))
            for (kind, namespace), folder in self._folders.items()
            for name in folder.files
        ]

    def refresh(self, pause: Callable[[], None]) -> tuple[set[ObjectId], bool]:
        """Reads what changed on disk; returns the objects whose status is another now, and
        whether a folder began or ceased to be readable."""
        changed: set[ObjectId] = set()
        self._fault = self._openable((_ROOT,))
        if not self._fault:
            for kind, namespace in self._listed():
                pause()
                names = self._look(kind, namespace, pause)
                changed |= {(kind, ObjectKey(namespace, name)) for name in names}
        return changed, self._problems.update_all(self._faults())

    def write(self, kind: Kind, key: ObjectKey, status: Json) -> None:
        """Writes a status; raises OSError."""
        octets = json.dumps({"status": status}, indent=2).encode()
        # in a thread: a disk may take its time until it has them
        found = tpool.execute(_put, self._directory, _path(kind, key.namespace), key.name, octets)
        folder = self._folders.setdefault((kind, key.namespace), _Contents())
        folder.files[key.name] = _Known(regular_file.signature(found), Status(status))
        folder.damaged.discard(key.name)

    def remove(self, kind: Kind, key: ObjectKey) -> None:
        """Removes the status of an object that is gone or not ours; raises OSError."""
        try:
            with folders.opened(self._directory, _path(kind, key.namespace)) as folder:
                folders.remove(folder, f"{key.name}{_ENDING}")
        except FileNotFoundError:
            pass
        contents = self._folders.get((kind, key.namespace), _Contents())
        contents.files.pop(key.name, None)
        contents.damaged.discard(key.name)

    def _faults(self) -> dict[str, str]:
        """Why folders cannot be read, by their path."""
        faults = {_place((_ROOT,)): self._fault, _place(_path(*_SERVICES)): self._services_fault}
        for folder, contents in self._folders.items():
            if contents.fault:
                faults[_place(_path(*folder))] = contents.fault
        return {place: fault for place, fault in faults.items() if fault}

    def _openable(self, names: tuple[str, ...]) -> str:
        """Why a folder cannot be entered; empty where it can, or is not there."""
        try:
            with folders.opened(self._directory, names):
                return ""
        except FileNotFoundError:
            return ""
        except OSError as error:
            return _text(names, error)

    def _listed(self) -> list[_Folder]:
        """The folders that may hold something else than they did."""
        known = {folder for folder in self._folders if folder[0] is Kind.SERVICE}
        found: set[_Folder] = set()
        self._services_fault = ""
        try:
            with folders.opened(self._directory, _path(*_SERVICES)) as top:
                for namespace in filter(_is_name, os.listdir(top)):
                    folder = (Kind.SERVICE, namespace)
                    known.discard(folder)
                    if not self._settled(top, folder):
                        found.add(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._services_fault = _text(_path(*_SERVICES), error)
            return [_EIPS]
        return [_EIPS, *sorted(found | known, key=lambda folder: folder[1])]

    def _settled(self, top: int, folder: _Folder) -> bool:
        """Whether a folder is what it was, which one look from above tells."""
        contents = self._folders.get(folder)
        if contents is None or contents.fault or contents.damaged:
            return False
        found = os.stat(folder[1], dir_fd=top, follow_symlinks=False)
        return stat.S_ISDIR(found.st_mode) and found.st_mtime_ns == contents.stamp

    def _look(self, kind: Kind, namespace: str, pause: Callable[[], None]) -> set[str]:
        """Reads a folder where it changed; returns the names of which the status is another."""
        contents = self._folders.setdefault((kind, namespace), _Contents())
        try:
            with folders.opened(self._directory, _path(kind, namespace)) as folder:
                contents.fault = ""
                stamp = os.fstat(folder).st_mtime_ns
                if contents.stamp == stamp:
                    # what is damaged may be mended in its place
                    names, gone = set(contents.damaged), set()
                else:
                    settled = stamp < time.time_ns() - _RACY_NS
                    contents.stamp = stamp if settled else _UNSETTLED
                    names = set(filter(None, map(_object_name, os.listdir(folder))))
                    gone = contents.files.keys() - names
                where = _place(_path(kind, namespace))
                changed = set()
                for name in sorted(names):
                    pause()
                    if _read_again(contents, folder, where, name):
                        changed.add(name)
        except FileNotFoundError:
            contents.fault, contents.stamp = "", _UNSETTLED
            changed, gone = set(), set(contents.files)
        except OSError as error:
            contents.fault = _text(_path(kind, namespace), error)
            return set()
        for name in gone:
            del contents.files[name]
            contents.damaged.discard(name)
        if kind is Kind.SERVICE and contents.stamp == _UNSETTLED and not contents.files:
            del self._folders[kind, namespace]
        return changed | gone


def _read_again(contents: _Contents, folder: int, where: str, name: str) -> bool:
    """Brings what is known of a file to what it holds; returns whether that is another."""
    known = contents.files.get(name)
    file = f"{name}{_ENDING}"
    try:
        signature: Signature | None = regular_file.signature(
            os.stat(file, dir_fd=folder, follow_symlinks=False)
        )
    except FileNotFoundError:
        return False  # gone since the listing: the folder has another time now
    if known is not None and known.signature == signature:
        return False
    try:
        octets, found = regular_file.read(file, OBJECT_OCTETS, folder=folder)
        signature, status, fault = regular_file.signature(found), *_parsed(octets)
    except FileNotFoundError:
        return False
    except OSError as error:
        signature, status, fault = None, None, f"cannot be read: {reason_of(error)}"
    except ValueError as error:
        status, fault = None, str(error)
    if fault:
        fault = f"{os.path.join(where, file)} {fault}"
        LOG.error("%s; %s", fault, _STAYS)
        status = known.status.value if known is not None else None
        contents.damaged.add(name)
    else:
        contents.damaged.discard(name)
    contents.files[name] = _Known(signature, Status(status, fault))
    return known is None or known.status != contents.files[name].status


def _parsed(octets: bytes) -> tuple[Any, str]:
    """The status that a file holds, or why it holds none."""
    try:
        document = json.loads(octets)
    except (ValueError, RecursionError) as error:
        return None, f"cannot be parsed: {error}"
    status = document.get("status") if isinstance(document, dict) else None
    if isinstance(status, dict) and too_deep(status):
        return None, f"is nested more than {OBJECT_DEPTH} deep"
    return (status, "") if isinstance(status, dict) else (None, "has no status")


def _put(directory: str, names: tuple[str, ...], name: str, octets: bytes) -> os.stat_result:
    with folders.opened(directory, names, create=True) as folder:
        return atomic_file.write(f"{name}{_ENDING}", octets, folder)


def _path(kind: Kind, namespace: str) -> tuple[str, ...]:
    return (_ROOT, kind.value, namespace) if namespace else (_ROOT, kind.value)


def _place(names: tuple[str, ...]) -> str:
    return os.path.join(*names)


def _object_name(file: str) -> str:
    """The name of an object that a file is for, empty where it is for none."""
    name = file.removesuffix(_ENDING)
    return name if name != file and _is_name(name) else ""


def _is_name(text: str) -> bool:
    try:
        return bool(key_of(Kind.EIP, {"metadata": {"name": text}}))
    except CodecError:
        return False


def _text(names: tuple[str, ...], error: OSError) -> str:
    return f"{_place(names)} cannot be read: {reason_of(error)}"
