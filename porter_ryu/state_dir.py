"""The state_dir: one process at a time uses it, and says so by a lock on a file in it."""

from __future__ import annotations

import contextlib
import fcntl
import os

_PRIVATE = 0o600
_PID_MOST = 20


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
