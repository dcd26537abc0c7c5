"""A file of state is the old one or the new one, and a link at its place is never followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from porter_ryu import state_file


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    state_file.write(str(path), b"1")
    state_file.write(str(path), b"2")
    assert path.read_bytes() == b"2"
    assert os.listdir(path.parent) == ["b.json"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "state"
    victim.write_text("mine")
    path.symlink_to(victim)
    (tmp_path / ".state.new").symlink_to(victim)
    state_file.write(str(path), b"2")
    assert victim.read_text() == "mine"
    assert path.read_bytes() == b"2"
    assert not path.is_symlink()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        state_file.write(str(path), b"1")
    assert os.listdir(tmp_path) == ["b.json"]


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    state_file.write(str(tmp_path / "token"), b"x", private=True)
    assert os.stat(tmp_path / "token").st_mode & 0o777 == 0o600


def test_one_process_at_a_time_has_a_state_dir(tmp_path: Path) -> None:
    held = state_file.lock(str(tmp_path))
    with pytest.raises(state_file.StateDirTakenError, match=f"in use by process {os.getpid()}"):
        state_file.lock(str(tmp_path))
    os.close(held)
    os.close(state_file.lock(str(tmp_path)))
