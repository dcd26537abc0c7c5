"""A file of state that is replaced as a whole: after a crash it is the old one or the new one.

The one way in which this program writes such a file.  It never follows a symbolic link at the
place of the file, so nobody who can write to the folder can turn the write elsewhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

_MODE = 0o644
_PRIVATE = 0o600
_PID_MOST = 20


def write(path: str, data: bytes, private: bool = False) -> None:
    """Puts `data` in place of a file, on disk when this returns (`private`: mode 0600).

    Folders that are missing are created.  Raises OSError; the old file is then as it was.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    staged = os.path.join(folder, f".{os.path.basename(path)}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(staged, flags, _PRIVATE if private else _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Has the names in a folder on disk; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class StateDirTakenError(Exception):
    """Another process uses this state_dir."""


def lock(state_dir: str) -> int:
    """Takes a state_dir for this process for as long as it lives; returns the descriptor that
    holds the lock.  The file says which process that is.  Raises StateDirTakenError, or OSError
    where it cannot be written."""
    os.makedirs(state_dir, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(_lock_file(state_dir), flags, _PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    except BlockingIOError as error:
        holder = os.read(descriptor, _PID_MOST).decode("ascii", "replace").strip()
        os.close(descriptor)
        by = f"process {holder}" if holder.isdigit() else "another process"
        raise StateDirTakenError(f"{state_dir} is in use by {by}") from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def holder_of(state_dir: str) -> int | None:
    """The process that has locked a state_dir, None where there is none or it cannot be told.

    Takes no lock, not for a moment: an instance that starts just now must not be refused.  A
    process counts that has the very file open; its number alone could be a later process's.
    """
    try:
        with open(_lock_file(state_dir), "rb") as file:
            pid = int(file.read(_PID_MOST))
            mine = os.fstat(file.fileno())
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                theirs = os.stat(f"/proc/{pid}/fd/{name}")
                if (theirs.st_dev, theirs.st_ino) == (mine.st_dev, mine.st_ino):
                    return pid
    except (OSError, ValueError):
        return None
    return None


def _lock_file(state_dir: str) -> str:
    return os.path.join(state_dir, "lock")
