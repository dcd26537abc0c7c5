"""A file is the old one or the new one, and a link at its place is never followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from porter_ryu import atomic_file


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    atomic_file.write(str(path), b"1")
    atomic_file.write(str(path), b"2")
    assert path.read_bytes() == b"2"
    assert os.listdir(path.parent) == ["b.json"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "state"
    victim.write_text("mine")
    path.symlink_to(victim)
    (tmp_path / ".state.new").symlink_to(victim)
    atomic_file.write(str(path), b"2")
    assert victim.read_text() == "mine"
    assert path.read_bytes() == b"2"
    assert not path.is_symlink()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        atomic_file.write(str(path), b"1")
    assert os.listdir(tmp_path) == ["b.json"]


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    atomic_file.write(str(tmp_path / "token"), b"x", private=True)
    assert os.stat(tmp_path / "token").st_mode & 0o777 == 0o600


def test_below_an_open_folder_no_name_leads_elsewhere(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    place.mkdir()
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    place.rename(tmp_path / "moved")
    place.symlink_to(elsewhere)
    elsewhere.mkdir()
    status = atomic_file.write("b.json", b"1", folder)
    os.close(folder)
    assert os.listdir(elsewhere) == []
    assert (tmp_path / "moved" / "b.json").read_bytes() == b"1"
    assert status.st_ino == (tmp_path / "moved" / "b.json").stat().st_ino


def test_a_draft_is_seen_by_nobody_before_it_is_published(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(b"0")
    with atomic_file.Draft(str(path)) as draft:
        draft.append(b"1")
        draft.sync()
        assert path.read_bytes() == b"0"
        draft.append(b"2")
        draft.publish(durable=False)
    assert path.read_bytes() == b"12"
    with atomic_file.Draft(str(path)) as draft:
        draft.append(b"3")
    assert path.read_bytes() == b"12"
    assert os.listdir(tmp_path) == ["b.json"]


def test_a_draft_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    atomic_file.write(str(tmp_path / "a"), b"1")
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="directory"):
        atomic_file.write(str(tmp_path / "b"), b"1")
    with pytest.raises(OSError, match="exists"):
        atomic_file.write(str(tmp_path / "a" / "c"), b"1")
    assert len(os.listdir("/proc/self/fd")) == before
