"""A change of a file is noticed once it is whole."""

from __future__ import annotations

import os
from pathlib import Path

from porter_ryu.watched_files import WatchedFiles


def watched(*paths: Path) -> WatchedFiles:
    """These files, from now on."""
    return WatchedFiles(lambda: [str(path) for path in paths])


def test_a_change_counts_when_it_was_the_same_in_two_looks(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    files = watched(path)
    assert not files.changed()
    path.write_text("")
    assert not files.changed(), "somebody is about to write it"
    path.write_text("2")
    assert not files.changed()
    assert files.changed()
    assert not files.changed()


def test_a_file_that_is_away_for_a_moment_did_not_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    files = watched(path)
    path.unlink()
    assert not files.changed()
    path.write_text("1")
    assert [files.changed(), files.changed()] == [False, False]


def test_a_file_that_went_is_a_change_and_so_is_its_return(tmp_path: Path) -> None:
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


def test_a_path_that_is_watched_only_now_did_not_change(tmp_path: Path) -> None:
    path, key = tmp_path / "a", tmp_path / "key"
    path.write_text("1")
    key.write_text("k")
    paths = [str(path)]
    files = WatchedFiles(lambda: paths)
    paths.append(str(key))
    assert [files.changed(), files.changed()] == [False, False]
    key.write_text("l")
    assert [files.changed(), files.changed()] == [False, True]


def test_a_path_that_was_learnt_changes_from_what_it_was_then(tmp_path: Path) -> None:
    path, key = tmp_path / "a", tmp_path / "key"
    path.write_text("1")
    key.write_text("k")
    paths = [str(path)]
    files = WatchedFiles(lambda: paths)
    paths.append(str(key))
    files.learn()
    key.write_text("l")
    assert [files.changed(), files.changed(), files.changed()] == [False, True, False]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    files = watched(tmp_path / "pipe", tmp_path, tmp_path / "none")
    assert [files.changed(), files.changed()] == [False, False]
