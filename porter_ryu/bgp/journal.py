"""What a peer may still hold from us, on disk before it is sent.

A peer with graceful restart keeps our routes while we are gone.  After `kill -9` this file is
how we know which of them have to be taken back, and what to announce when the cluster cannot be
read.  It may say too much, never too little: a path is written before it is announced and struck
out well after it was withdrawn.  An append-only file, rewritten when it is mostly history.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from urllib.parse import quote

from porter_ryu.bgp.protocol.update import Path
from porter_ryu.domain.model import Address

LOG = logging.getLogger(__name__)

_HISTORY_LEAST = 1000
_NO_PATH_ID = "-"


class RouteJournal:
    """Next hops by path, of one peer.  A file that cannot be written is told once; what is
    known then lasts as long as the process."""

    def __init__(self, state_dir: str, peer: str) -> None:
        self._path = os.path.join(state_dir, "announced", quote(peer, safe=""))
        self._lines = 0
        self._told = False
        self.paths: dict[Path, Address] = {}
        self._load()

    def add(self, paths: Iterable[tuple[Path, Address]]) -> None:
        """Notes paths that are about to be announced."""
        new = [(path, hop) for path, hop in paths if self.paths.get(path) != hop]
        self.paths.update(new)
        self._append([f"+ {_text(path)} {hop}\n" for path, hop in new])

    def remove(self, paths: Iterable[Path]) -> None:
        """Strikes out paths that the peer has no more."""
        gone = [path for path in paths if self.paths.pop(path, None) is not None]
        self._append([f"- {_text(path)}\n" for path in gone])

    def clear(self) -> None:
        """Strikes out everything."""
        self.remove(list(self.paths))

    def _load(self) -> None:
        try:
            with open(self._path, encoding="ascii") as file:
                lines = file.readlines()
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            LOG.error("%s cannot be read: %s", self._path, error)
            return
        for line in lines:
            try:
                self._replay(line)
            except (ValueError, IndexError):
                LOG.warning("%s: a line is cut short: %r", self._path, line)
        self._rewrite()

    def _replay(self, line: str) -> None:
        if not line.endswith("\n"):
            raise ValueError(line)
        sign, prefix, path_id, *rest = line.split()
        path = Path(ip_network(prefix), None if path_id == _NO_PATH_ID else int(path_id))
        if sign == "+":
            self.paths[path] = ip_address(rest[0])
        else:
            self.paths.pop(path, None)

    def _append(self, lines: list[str]) -> None:
        if not lines:
            return
        self._lines += len(lines)
        if self._lines > 2 * len(self.paths) + _HISTORY_LEAST:
            self._rewrite()
            return
        self._write(self._path, lines, "a")

    def _rewrite(self) -> None:
        lines = [f"+ {_text(path)} {hop}\n" for path, hop in self.paths.items()]
        staged = self._path + ".new"
        if self._write(staged, lines, "w"):
            os.replace(staged, self._path)
        self._lines = len(lines)

    def _write(self, path: str, lines: list[str], mode: str) -> bool:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, mode, encoding="ascii") as file:
                file.write("".join(lines))
        except OSError as error:
            if not self._told:
                LOG.error("%s cannot be written: %s", path, error.strerror)
            self._told = True
            return False
        self._told = False
        return True


def _text(path: Path) -> str:
    return f"{path.prefix} {_NO_PATH_ID if path.path_id is None else path.path_id}"
