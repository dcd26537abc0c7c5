"""Keeps root file systems that cost minutes to make, in the user's cache folder.

A layer is named by a digest of all that it is made from, as those of `docker build` are.  One that
is found is used in place of making it again.  Layers that this build did not use are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_FOLDER = "porter-ryu/image"


class Layers:
    """The layers of one build; `used` are the names of those that it asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.used: set[str] = set()

    def get(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of a layer.  If there is none yet, `make` fills a new one."""
        self.used.add(name)
        layer = self._folder / name
        if not layer.exists():
            unfinished = self._folder / f"{name}.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            make(unfinished)
            unfinished.rename(layer)
        return layer

    def remove_others(self) -> None:
        """Removes the layers of earlier builds, and what is left of one that failed."""
        for layer in self._folder.iterdir():
            if layer.is_dir() and layer.name not in self.used:
                shutil.rmtree(layer)


@contextlib.contextmanager
def layers() -> Iterator[Layers]:
    """The layers of this user; only one build at a time has them."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # the settings of the package mirrors are in them
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Layers(folder)


def digest(texts: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Names a layer by the texts and the files that it is made from."""
    found = hashlib.sha256()
    for part in [*(text.encode() for text in texts), *map(_content, sorted(files))]:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()[:16]


def copy(source: Path, target: Path) -> None:
    """Copies a root file system."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


def _content(path: Path) -> bytes:
    return str(path.name).encode() + b"\0" + path.read_bytes()
