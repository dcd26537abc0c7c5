"""A change of a file is detected once the file is complete."""

from __future__ import annotations

import os
import time
from pathlib import Path

from porter_ryu.watched_files import WatchedFiles


def watched(*paths: Path) -> WatchedFiles:
    """These files, from now on."""
    return WatchedFiles(lambda: [str(path) for path in paths])


def test_a_change_counts_when_two_scans_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    files = watched(path)
    assert not files.changed()
    path.write_text("")
    assert not files.changed(), "the file is still being written"
    path.write_text("2")
    assert not files.changed()
    assert files.changed()
    assert not files.changed()


def test_a_file_that_was_left_alone_for_long_changes(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("1")
    files = WatchedFiles(lambda: [str(path)], lambda: time.time() + 3600)
    assert not files.changed()
    path.write_text("more")
    assert [files.changed(), files.changed(), files.changed()] == [False, True, False]
    other.write_text("else")
    os.replace(other, path)
    assert [files.changed(), files.changed(), files.changed()] == [False, True, False]
    path.unlink()
    assert [files.changed(), files.changed(), files.changed()] == [False, True, False]


def test_a_file_that_is_missing_for_one_scan_did_not_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    files = watched(path)
    path.unlink()
    assert not files.changed()
    path.write_text("1")
    assert [files.changed(), files.changed()] == [False, False]


def test_a_removed_file_is_a_change_and_so_is_its_return(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    files = watched(path)
    path.unlink()
    assert [files.changed(), files.changed(), files.changed()] == [False, True, False]
    path.write_text("1")
    assert [files.changed(), files.changed(), files.changed()] == [False, True, False]


def test_the_symlink_swap_of_a_config_map(tmp_path: Path) -> None:
    for name in "12":
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "a").symlink_to("..data/a")
    files = watched(tmp_path / "a")
    (tmp_path / "..new").symlink_to("2")
    os.replace(tmp_path / "..new", tmp_path / "..data")
    assert [files.changed(), files.changed()] == [False, True]


def test_a_new_path_did_not_change(tmp_path: Path) -> None:
    path, key = tmp_path / "a", tmp_path / "key"
    path.write_text("1")
    key.write_text("k")
    paths = [str(path)]
    files = WatchedFiles(lambda: paths)
    paths.append(str(key))
    assert [files.changed(), files.changed()] == [False, False]
    key.write_text("l")
    assert [files.changed(), files.changed()] == [False, True]


def test_an_added_path_is_compared_with_its_contents_when_it_was_added(tmp_path: Path) -> None:
    path, key = tmp_path / "a", tmp_path / "key"
    path.write_text("1")
    key.write_text("k")
    paths = [str(path)]
    files = WatchedFiles(lambda: paths)
    paths.append(str(key))
    files.add_new_paths()
    key.write_text("l")
    assert [files.changed(), files.changed(), files.changed()] == [False, True, False]


def test_a_pipe_or_a_directory_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    files = watched(tmp_path / "pipe", tmp_path, tmp_path / "none")
    assert [files.changed(), files.changed()] == [False, False]
