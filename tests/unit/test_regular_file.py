"""Only regular files are read, within a bound, whatever somebody has put in their place."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from porter_ryu import regular_file


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    octets, status = regular_file.read(str(path), 5)
    assert (octets, status.st_ino) == (b"12345", path.stat().st_ino)
    with pytest.raises(ValueError, match="is larger than 4 bytes"):
        regular_file.read(str(path), 4)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("link", "is a symbolic link"),
        ("dangling", "is a symbolic link"),
        ("folder", "is a directory"),
        ("pipe", "is not a regular file"),
        ("socket", "is not a regular file"),
        ("device", "is not a regular file"),
    ],
)
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, kind: str, reason: str) -> None:
    path = tmp_path / "a"
    (tmp_path / "target").write_bytes(b"1")
    if kind == "link":
        path.symlink_to(tmp_path / "target")
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    else:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ValueError, match=reason):
        regular_file.read(str(path), 10)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_is_followed_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    (tmp_path / "target").write_bytes(b"1")
    path.symlink_to(tmp_path / "target")
    assert regular_file.read(str(path), 10, follow=True)[0] == b"1"
    (tmp_path / "target").unlink()
    with pytest.raises(FileNotFoundError):
        regular_file.read(str(path), 10, follow=True)


def test_a_name_is_looked_up_in_an_open_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    assert regular_file.read("a", 10, folder=folder)[0] == b"1"
    os.close(folder)
