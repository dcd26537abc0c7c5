"""Invalid files in the directory are reported, and the other files still take effect."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fabric import objects
from fabric.files import replace
from porter_ryu.domain.model import EndpointSlice, Kind, ObjectKey, Service
from porter_ryu.domain.objects import Unreadable
from porter_ryu.kube.directory import absence, files
from porter_ryu.kube.directory import loader as loader_module
from porter_ryu.kube.directory.loader import Loader
from porter_ryu.kube.directory.parsing import Found
from porter_ryu.kube.directory.scanner import Scanner, UnreadableDirectoryError
from porter_ryu.kube.directory.store import Store
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.limits import FILE_OCTETS, OBJECT_ENTRIES
from porter_ryu.supervisor import Supervisor
from tests.unit.clock import Clock
from tests.unit.directory import Directory, key
from tests.unit.until import children, until

NOBODY = 65534
BROKEN = [
    "a: !!int abc",
    "a: .inf",
    "a: &a [*a]",
    "&a {kind: List, items: [*a]}",
    "spec: &a {self: *a}",
    "{[a]: b}",
    "? {a: b}\n: c",
    "a: {<<: 5}",
    "a: \x00",
    "kind: [oops",
    '{"a":' * 3000 + "}" * 3000,
    "- just a list",
    "a: 1\na: 2",
    "apiVersion: v1\nkind: Service\nmetadata: [x]",
    "apiVersion: v1\nkind: Service\nmetadata: {name: 5}",
    "apiVersion: v1\nkind: Service\nmetadata: {name: ../../x}",
    "apiVersion: [v1]\nkind: Service\nmetadata: {name: x}",
    "apiVersion: v1\nkind: {a: b}",
]
FINE = [
    "a: 0x_",
    "a: 0b_",
    "a: " + "1" * 5000,
    "a: !!python/object/apply:os.system [touch /tmp/x]",
    "a: =",
    "{}",
    "kind: List\nitems: null",
    "kind: List\nitems: {}",
    "a: " + "x" * 200_000,
    "",
]


def test_every_kind_of_invalid_file_affects_only_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(tmp_path)
    directory.put("web.yaml", objects.service("web"))
    for number, text in enumerate(BROKEN):
        (tmp_path / f"broken-{number}.yaml").write_text(text)
        (tmp_path / f"broken-{number}.json").write_text(text)
    with directory:
        assert isinstance(directory.recorder[key("web")], Service)
        for number in range(len(BROKEN)):
            assert f"broken-{number}.yaml:" in caplog.text
            assert f"broken-{number}.json:" in caplog.text
        for number, text in enumerate(BROKEN):
            (tmp_path / f"again-{number}.yaml").write_text(text)
        directory.is_alive("marker")
        assert directory.source.trouble == ""


def test_unusual_but_valid_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = Directory(tmp_path)
    for number, text in enumerate(FINE):
        (tmp_path / f"fine-{number}.yaml").write_text(text)
    with directory:
        directory.is_alive("marker")
    assert "fine-" not in caplog.text


def test_only_regular_files_and_links_to_them_are_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(tmp_path)
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "null.yaml").symlink_to("/dev/null")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "nowhere.yaml").symlink_to("/nowhere/at/all")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket.yaml"))
    data = tmp_path / "..2026"
    data.mkdir()
    (data / "web.yaml").write_text(yaml.safe_dump(objects.service("web")))
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "web.yaml").symlink_to("..data/web.yaml")
    with directory:
        assert key("web") in directory.recorder
        for name in ("fifo", "zero", "null", "socket"):
            assert f"{name}.yaml: is not a regular file" in caplog.text
        assert "loop.yaml: cannot be read: Too many levels of symbolic links" in caplog.text
        assert "nowhere.yaml: is a broken link" in caplog.text
        assert "folder.yaml" not in caplog.text
        directory.is_alive("marker")
    server.close()


def test_file_names_with_control_characters_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # what is captured has to be text in UTF-8
    directory = Directory(tmp_path)
    directory.put("line\nbreak.yaml", objects.service("web"))
    strange = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.yaml")
    with open(strange, "w") as file:
        yaml.safe_dump(objects.service("api"), file)
    with open(os.path.join(os.fsencode(tmp_path), b"\xfd.yaml"), "w") as file:
        file.write("kind: [")
    with directory:
        assert {key("web"), key("api")} <= directory.recorder.keys()
        directory.is_alive("marker")


def test_files_that_are_created_and_deleted_repeatedly_stop_nothing(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    with directory:
        for number in range(300):
            path = tmp_path / f"{number}.yaml"
            path.write_text("kind: Service")
            if number % 3 == 0:
                directory.is_alive(f"marker-{number}") if number % 60 == 0 else None
            path.unlink()
        directory.is_alive("marker")


def test_an_invalid_document_keeps_its_objects_and_the_others_take_effect(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.service("web"), objects.service("api"))
    with directory:
        good = yaml.safe_dump(objects.service("api", loadBalancerIP="10.0.0.9"))
        (tmp_path / "a.yaml").write_text(f"kind: [oops\n---\n{good}")
        assert "a.yaml:2" in directory.unreadable("web").reason
        assert directory.unreadable("web").file == "a.yaml"
        until(lambda: directory.recorder.service("api").request is not None, "api is another")
        assert "a.yaml:2" in caplog.text
        directory.put("a.yaml", objects.service("web"), objects.service("api"))
        until(lambda: isinstance(directory.recorder[key("web")], Service), "web is mended")
        directory.put("a.yaml", objects.service("api"))
        until(lambda: key("web") in directory.recorder.removed, "web is gone")


@pytest.mark.parametrize("wrong", [{"ports": [{"port": "80"}]}, {"ports": 5}, {"type": []}])
def test_a_wrong_field_makes_the_object_unreadable_and_keeps_its_record(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    directory = Directory(tmp_path)
    directory.record("web", "10.0.0.7")
    directory.put("a.yaml", objects.service("web", **wrong), objects.service("api"))
    with directory:
        reading = directory.unreadable("web")
        assert [str(address) for address in reading.record] == ["10.0.0.7"]
        assert "a.yaml:1: services default/web: " in reading.reason
        assert isinstance(directory.recorder[key("api")], Service)
        directory.is_alive("marker")
        assert (tmp_path / ".status/services/default/web.json").exists()


def test_a_record_survives_a_restart_while_its_document_is_invalid(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.record("web", "10.0.0.7", "fd00::7")
    directory.record("api", "10.0.0.8")
    (tmp_path / "a.yaml").write_text("kind: [oops\n")
    directory.put("b.yaml", objects.service("api"))
    with directory:
        reading = directory.unreadable("web")
        assert [str(address) for address in reading.record] == ["10.0.0.7", "fd00::7"]
        assert isinstance(directory.recorder[key("api")], Service)
        directory.is_alive("marker")
        assert (tmp_path / ".status/services/default/web.json").exists()
        directory.put("a.yaml", objects.service("web"))
        until(lambda: isinstance(directory.recorder[key("web")], Service), "web is read")
        assert [str(address) for address in directory.recorder.service("web").ingress] == [
            "10.0.0.7",
            "fd00::7",
        ]


def test_orphaned_records_are_removed_when_every_file_can_be_read(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    orphan = directory.record("web", "10.0.0.7")
    (tmp_path / "a.yaml").symlink_to("/nowhere")
    with directory:
        directory.unreadable("web")
        directory.is_alive("marker")
        assert orphan.exists()
        (tmp_path / "a.yaml").unlink()
        until(lambda: key("web") in directory.recorder.removed, "web is known to be gone")
        until(lambda: not orphan.exists(), "its status is removed")


def test_an_orphaned_record_is_removed_at_the_start(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    orphan = directory.record("web", "10.0.0.7")
    other = directory.record("api", "10.0.0.8")
    directory.put("a.yaml", objects.service("api"))
    with directory:
        until(lambda: not orphan.exists(), "its status is removed")
        assert key("web") not in directory.recorder
        assert other.exists()


def test_an_instance_that_only_reads_removes_no_status(tmp_path: Path) -> None:
    directory = Directory(tmp_path, keeps_status=False)
    orphan = directory.record("web", "10.0.0.7")
    with directory:
        directory.put("a.yaml", objects.service("api"))
        until(lambda: key("api") in directory.recorder, "api is there")
        (tmp_path / "a.yaml").unlink()
        until(lambda: key("api") in directory.recorder.removed, "api is gone")
        assert orphan.exists()


def test_an_eip_in_an_invalid_document_still_serves_after_a_restart(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.put("pool.yaml", objects.eip("p", "10.0.0.0/24"))
    path = tmp_path / ".status" / "eips" / "p.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        '{"status": {"conditions": [{"type": "Ready", "reason": "Valid"}],'
        ' "serving": "{\\"address\\": \\"10.0.0.0/24\\"}"}}'
    )
    (tmp_path / "pool.yaml").write_text("kind: [")
    with directory:
        reading = directory.recorder.eip("p")
        assert reading.status is not None
        assert reading.status.serving is not None
        assert reading.invalid
        assert reading.status.serving.address == "10.0.0.0/24"
        directory.is_alive("marker")
        assert path.exists()


def test_a_missing_directory_is_reported_and_changes_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "manifests"
    path.mkdir()
    directory = Directory(path)
    directory.put("a.yaml", objects.service("web"))
    directory.record("web", "10.0.0.7")
    with directory:
        for in_its_place in ("nothing", "a file", "a broken link"):
            path.rename(tmp_path / "away")
            if in_its_place == "a file":
                path.write_text("")
            elif in_its_place == "a broken link":
                path.symlink_to("/nowhere")
            until(lambda: directory.source.trouble, "it is trouble")
            assert str(path) in directory.source.trouble
            if in_its_place != "nothing":
                path.unlink()
            (tmp_path / "away").rename(path)
            until(lambda: not directory.source.trouble, "it is back")
        directory.is_alive("marker")
        assert directory.recorder.removed == []
        assert isinstance(directory.recorder[key("web")], Service)
        assert [str(a) for a in directory.recorder.service("web").ingress] == ["10.0.0.7"]


def test_a_start_without_the_directory_reports_nothing_until_it_exists(tmp_path: Path) -> None:
    path = tmp_path / "manifests"
    directory = Directory(path)
    directory.source.start(directory.recorder)
    until(lambda: directory.source.trouble, "it is trouble")
    assert directory.recorder.lists == 0
    with pytest.raises(ApiError, match="No such file or directory"):
        directory.source.read_once(directory.recorder)
    path.mkdir()
    directory.put("a.yaml", objects.service("web"))
    until(lambda: key("web") in directory.recorder, "it is read")
    assert directory.source.trouble == ""
    directory.source.stop()


def test_a_renamed_file_keeps_its_objects(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.service("web"))
    record = directory.record("web", "10.0.0.7")
    with directory:
        for old, new in (("a", "b"), ("b", "c"), ("c", "a")):
            (tmp_path / f"{old}.yaml").rename(tmp_path / f"{new}.yaml")
            directory.is_alive(f"marker-{new}")
        assert directory.recorder.removed == []
        assert record.exists()


def test_a_renamed_large_file_keeps_its_objects(tmp_path: Path) -> None:
    """However long it takes to parse."""
    directory = Directory(tmp_path)
    filling = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n" * 30_000
    (tmp_path / "a.yaml").write_text(f"{filling}---\n{yaml.safe_dump(objects.service('web'))}")
    directory.put("api.yaml", objects.service("api"))
    record = directory.record("web", "10.0.0.7")
    with directory:
        (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
        (tmp_path / "api.yaml").unlink()
        until(lambda: directory.recorder.removed, "what is gone is gone, once the file is parsed")
        assert directory.recorder.removed == [key("api")]
        assert record.exists()


def test_moving_an_object_in_two_steps_and_rewriting_a_file_lose_nothing(
    tmp_path: Path,
) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.service("web"), objects.service("api"))
    with directory:
        directory.put("a.yaml", objects.service("api"))
        directory.is_alive("first")
        directory.put("b.yaml", objects.service("web"))
        directory.is_alive("second")
        (tmp_path / "b.yaml").write_text("")
        directory.is_alive("third")
        directory.put("b.yaml", objects.service("web"))
        directory.is_alive("fourth")
        assert directory.recorder.removed == []


def test_the_first_of_two_files_by_name_is_used_and_the_other_takes_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.eip("p", "10.0.0.1"))
    directory.put("b.yaml", objects.eip("p", "10.0.0.2"))
    with directory:
        assert directory.recorder.eip("p").address == "10.0.0.1"
        assert "b.yaml:1: eips p is also in a.yaml" in caplog.text
        (tmp_path / "a.yaml").unlink()
        until(lambda: directory.recorder.eip("p").address == "10.0.0.2", "the second counts")
        assert directory.recorder.removed == []


CONFLICT = "<<<<<<< HEAD\n{}=======\n>>>>>>> other\n"


def test_an_object_in_a_renamed_and_invalid_file_keeps_its_record(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.service("web"))
    directory.put("other.yaml", objects.service("other"))
    record = directory.record("web", "10.0.0.7")
    with directory:
        conflict = CONFLICT.format(yaml.safe_dump(objects.service("web")))
        (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
        (tmp_path / "b.yaml").write_text(conflict)
        reading = directory.unreadable("web")
        assert [str(address) for address in reading.record] == ["10.0.0.7"]
        assert "in no file that can be read, and b.yaml:1: " in reading.reason
        (tmp_path / "b.yaml").rename(tmp_path / "c.yaml")
        until(lambda: "c.yaml" in directory.unreadable("web").reason, "it is in the next file")
        assert directory.unreadable("web").file == "c.yaml"
        directory.put("c.yaml", objects.service("web"))
        until(lambda: isinstance(directory.recorder[key("web")], Service), "web is mended")
        assert record.exists()
        assert directory.recorder.removed == []


@pytest.mark.parametrize("mended", [True, False])
def test_a_hidden_object_is_deleted_if_the_repaired_file_does_not_have_it(
    tmp_path: Path, mended: bool
) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.service("web"))
    record = directory.record("web", "10.0.0.7")
    with directory:
        (tmp_path / "b.yaml").symlink_to("/nowhere")
        (tmp_path / "a.yaml").unlink()
        assert "b.yaml: is a broken link" in directory.unreadable("web").reason
        directory.is_alive("marker")
        assert record.exists()
        (tmp_path / "b.yaml").unlink()
        if mended:
            directory.put("b.yaml", objects.service("api"))
        until(lambda: key("web") in directory.recorder.removed, "web is gone")
        until(lambda: not record.exists(), "its status is removed")


def test_a_file_that_became_unreadable_long_ago_does_not_delay_deletions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absence, "_HIDING_SECONDS", 0.0)
    directory = Directory(tmp_path)
    for name in ("web", "api"):
        directory.put(f"{name}.yaml", objects.service(name))
    (tmp_path / "b.yaml").write_text(CONFLICT.format(""))
    with directory:
        for look in range(3):
            directory.is_alive(f"marker-{look}")
        (tmp_path / "b.yaml").write_text(CONFLICT.format(""))  # the same, written anew
        (tmp_path / "web.yaml").unlink()
        until(lambda: key("web") in directory.recorder.removed, "web is gone")
        (tmp_path / "api.yaml").unlink()
        (tmp_path / "b.yaml").write_text(CONFLICT.format("spec: {}\n"))
        directory.unreadable("api")


@contextlib.contextmanager
def nobody(path: Path) -> Iterator[None]:
    """Runs the block as an unprivileged user who owns everything at a path."""
    if os.geteuid():
        yield
        return
    for found in (path, *path.rglob("*")):
        os.chown(found, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_is_read_once_its_permissions_allow_it() -> None:
    with tempfile.TemporaryDirectory() as path:
        directory = Directory(Path(path))
        directory.put("a.yaml", objects.service("web"))
        with directory, nobody(Path(path)):
            (directory.path / "a.yaml").chmod(0)
            assert "Permission denied" in directory.unreadable("web").reason
            (directory.path / "a.yaml").chmod(0o644)
            until(lambda: isinstance(directory.recorder[key("web")], Service), "it is read again")
            directory.path.chmod(0)
            until(lambda: "Permission denied" in directory.source.trouble, "it is trouble")
            directory.path.chmod(0o755)
            until(lambda: not directory.source.trouble, "it is back")
            assert directory.recorder.removed == []


def test_a_large_file_is_parsed_in_the_background(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    with directory:
        many = [objects.service(f"web-{number}") for number in range(3000)]
        replace(tmp_path / "large.json", json.dumps({"kind": "List", "items": many}))
        directory.is_alive("marker")
        until(lambda: key("web-2999") in directory.recorder, "the large file is read")
        (tmp_path / "large.json").unlink()
        until(lambda: key("web-2999") in directory.recorder.removed, "and gone")


def test_the_wait_for_large_files_at_a_start_is_limited(tmp_path: Path) -> None:
    endless = tmp_path / "endless.yaml"
    endless.write_text("---\nkind: x\n" * 40_000)
    Directory(tmp_path).put("web.yaml", objects.service("web"))
    store = Store(lambda: None)
    loader = Loader(str(tmp_path), store, Supervisor(), large_files_seconds=0.2)
    loader.load_all(lambda: None)
    assert store.fault == "endless.yaml: is not parsed yet"
    assert key("web") in store.object_ids()
    until(lambda: not loader.store_parsed() and not loader.parsing, "it is read")
    assert store.fault == ""


def test_a_file_beyond_the_limit_is_not_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.service("web"))
    os.truncate(tmp_path / "a.yaml", 100)
    with open(tmp_path / "huge.yaml", "w") as file:
        file.truncate(FILE_OCTETS + 1)
    with directory:
        assert "huge.yaml: is larger than 64 MiB" in caplog.text
        directory.is_alive("marker")


def test_a_large_file_of_brackets_affects_only_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.service("web"))
    (tmp_path / "b.yaml").write_text("a: " + "[" * 2_000_000)
    (tmp_path / "c.yaml").write_bytes(b"\0" * 2_000_000)
    (tmp_path / "d.json").write_text('{"a":' * 400_000)
    with directory:
        for name in ("b.yaml", "c.yaml", "d.json"):
            assert f"{name}:" in caplog.text
        assert isinstance(directory.recorder[key("web")], Service)
        directory.is_alive("marker")


def test_a_decoder_that_fails_in_any_way_makes_its_object_unreadable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = Directory(tmp_path)
    directory.record("web", "10.0.0.7")
    web = objects.service("web")
    web["metadata"]["annotations"]["eip.porter.kubesphere.io/v1alpha1"] = "10.0.0.1"
    directory.put("a.yaml", web)
    path = tmp_path / ".status" / "services" / "default" / "web.json"
    path.write_text('{"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.7"}, 5]}}}')
    with directory:
        reading = directory.unreadable("web")
        assert [str(address) for address in reading.record] == ["10.0.0.7"]
        directory.is_alive("marker")


def test_objects_of_other_kinds_can_be_unreadable_too(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    node = objects.node("n1", "10.0.0.1")
    node["status"]["conditions"] = "none"
    directory.put("a.yaml", node)
    with directory:
        assert isinstance(directory.recorder[Kind.NODE, ObjectKey("", "n1")], Unreadable)
        directory.is_alive("marker")


@pytest.mark.parametrize("place", ["/proc/self", "empty", "status only"])
def test_an_empty_directory_in_place_of_the_directory_is_reported(
    tmp_path: Path, place: str
) -> None:
    """As after an unmount: /proc is another file system and has no manifests."""
    (tmp_path / "real").mkdir()
    (tmp_path / place).mkdir(exist_ok=True)
    if place == "status only":
        (tmp_path / place / ".status").mkdir()
    directory = Directory(tmp_path / "link")
    directory.path.symlink_to(tmp_path / "real")
    directory.put("a.yaml", objects.service("web"))
    with directory:
        (tmp_path / "next").symlink_to(tmp_path / place)
        (tmp_path / "next").rename(directory.path)
        until(lambda: "is it unmounted?" in directory.source.trouble, "it is trouble")
        (tmp_path / "next").symlink_to(tmp_path / "real")
        (tmp_path / "next").rename(directory.path)
        directory.is_alive("marker")
        assert directory.source.trouble == ""
        assert directory.recorder.removed == []


@pytest.mark.parametrize("left", [True, False])
def test_a_directory_that_is_empty_at_the_start_is_reported_if_an_earlier_run_left_something(
    tmp_path: Path, left: bool
) -> None:
    directory = Directory(tmp_path / "manifests", expects_files=left)
    directory.path.mkdir()
    directory.source.start(directory.recorder)
    if not left:
        until(lambda: directory.recorder.lists == len(Kind), "everything is listed")
        assert directory.source.state.note.startswith(f"{directory.path} has no manifests: ")
    else:
        until(lambda: "is it unmounted?" in directory.source.trouble, "it is trouble")
        assert directory.recorder.lists == 0
        with pytest.raises(ApiError, match="an earlier run"):
            directory.source.read_once(directory.recorder)
        assert not list(directory.path.iterdir())
        directory.path.rename(tmp_path / "empty")
        directory.path.mkdir()
        directory.put("a.yaml", objects.service("web"))
        until(lambda: key("web") in directory.recorder, "it is mounted, and read")
        assert directory.source.trouble == ""
    directory.source.stop()


@pytest.mark.parametrize("running", [True, False])
def test_files_that_are_put_back_one_after_the_other_count_together(
    tmp_path: Path, running: bool
) -> None:
    """Into a directory that lost its files before the start, or while the process runs."""
    clock, path = Clock(), tmp_path / "manifests"
    scanner = Scanner(str(path), lambda: True, clock)
    path.mkdir()
    if running:
        (path / "a.yaml").touch()
        assert scanner.scan(nothing, at_once=True).read == ["a.yaml"]
        path.rename(tmp_path / "old")
        path.mkdir()
    with pytest.raises(UnreadableDirectoryError, match="is it unmounted"):
        scanner.scan(nothing)
    for name in ("a.yaml", "b.yaml", ".status"):
        (path / name).write_text("")
        with pytest.raises(UnreadableDirectoryError, match="has files again"):
            scanner.scan(nothing)
        clock.now += 4.0
    (path / "b.yaml").write_text("a: 1")
    with pytest.raises(UnreadableDirectoryError, match="has files again"):
        scanner.scan(nothing)
    clock.now += 4.9
    with pytest.raises(UnreadableDirectoryError, match="has files again"):
        scanner.scan(nothing)
    clock.now += 0.2
    changes = scanner.scan(nothing, at_once=True)
    assert (sorted(changes.read), changes.deleted) == (["a.yaml", "b.yaml"], [])


def test_files_that_vanish_again_are_waited_for(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "a.yaml"
    scanner = Scanner(str(tmp_path), lambda: True, clock)
    for _ in range(2):
        with pytest.raises(UnreadableDirectoryError, match="is it unmounted"):
            scanner.scan(nothing)
        (tmp_path / ".status").mkdir(exist_ok=True)
        file.touch()
        with pytest.raises(UnreadableDirectoryError, match="has files again"):
            scanner.scan(nothing)
        file.unlink()
        clock.now += 10.0


def test_a_file_that_is_written_without_end_does_not_keep_a_directory_from_being_read(
    tmp_path: Path,
) -> None:
    clock, file = Clock(), tmp_path / "nodes.yaml"
    scanner = Scanner(str(tmp_path), lambda: True, clock)
    with pytest.raises(UnreadableDirectoryError, match="is it unmounted"):
        scanner.scan(nothing)
    for _ in range(30):
        file.write_text(f"a: {clock.now}")
        with pytest.raises(UnreadableDirectoryError, match="has files again"):
            scanner.scan(nothing)
        clock.now += 2.0
    file.write_text("a: 1")
    assert scanner.scan(nothing, at_once=True).read == [file.name]


def nothing() -> None:
    pass


def test_a_directory_with_records_and_no_manifests_at_the_start_is_the_one_of_before(
    tmp_path: Path,
) -> None:
    directory = Directory(tmp_path, expects_files=True)
    record = directory.record("web", "10.0.0.7")
    with directory:
        until(lambda: not record.exists(), "the files were removed")


def test_another_directory_with_files_in_place_of_the_directory_counts(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "manifests")
    directory.path.mkdir()
    directory.put("a.yaml", objects.service("web"))
    with directory:
        directory.path.rename(tmp_path / "old")
        until(lambda: directory.source.trouble, "it is trouble")
        directory.path.mkdir()
        directory.is_alive("marker")
        until(lambda: key("web") not in directory.recorder, "it is removed")
        assert directory.source.trouble == ""


def test_why_a_file_is_read_as_json_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{a: [\n")
    with Directory(tmp_path) as directory:
        (fault,) = directory.source.state.unreadable_first
        assert fault.startswith(
            "a.yaml:1: it begins with a brace, so it is read as JSON, and is not"
        )


def test_the_last_file_that_is_removed_takes_its_objects_with_it(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    text = f"{tmp_path} has no manifests: nothing is announced; a record below .status is removed "
    text += "with its object, so a Service that comes back may get another address"
    with directory:
        assert directory.source.state.note == text
        directory.put("a.yaml", objects.service("web"))
        until(lambda: key("web") in directory.recorder, "it is read")
        until(lambda: not directory.source.state.note, "it has manifests")
        (tmp_path / "a.yaml").unlink()
        until(lambda: key("web") not in directory.recorder, "it is removed")
        assert directory.source.state.note == text
        assert directory.source.trouble == ""


def test_a_killed_parser_process_makes_its_file_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("---\n".join(yaml.safe_dump(objects.service(f"w-{n}")) for n in range(5000)))
    before = children()
    results = files.read(str(path), lambda: None)
    assert isinstance(next(results), Found)
    (parser,) = children() - before
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, parser) == min(own + 10, 19)
    os.kill(parser, signal.SIGKILL)
    with pytest.raises(files.UnreadableFileError, match="ended by signal 9"):
        list(results)
    assert children() == before
    leaving = files.read(str(path), lambda: None)
    next(leaving)
    del leaving  # as its reader does with one that it does not read to the end
    assert children() == before


def failing_parser(path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Makes each parser process fail; returns a function that counts them."""
    log = path / "starts"
    script = path / "parser"
    script.write_text(f"#!/bin/sh\necho >> {log}\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return lambda: log.read_text().count("\n") if log.exists() else 0


def test_parsing_a_large_file_is_retried_with_backoff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "_RETRY_FIRST_SECONDS", 300.0)
    with monkeypatch.context() as failing:
        starts = failing_parser(tmp_path, failing)
        large = tmp_path / "large.yaml"
        large.write_text("---\nkind: x\n" * 40_000)
        store = Store(lambda: None)
        loader = Loader(str(tmp_path), store, Supervisor())
        loader.load_all(lambda: None)
        assert starts() == 1
        assert "takes too much time or memory" in store.fault
        scans = itertools.count()

        def scan() -> int:
            loader.store_parsed()
            loader.scan(lambda: None)
            return next(scans)

        until(lambda: scan() > 20, "many scans")
        assert starts() == 1
        assert not loader.parsing
        large.write_text("---\nkind: z\n" * 40_000)
        until(lambda: scan() and starts() > 1, "another file is tried at once")
        until(lambda: scan() and not loader.parsing, "that failed, too")
        until(lambda: scan() > 60, "many scans")
        assert starts() == 2
    large.touch()
    until(lambda: scan() and not store.fault, "it is read")


def test_a_large_file_that_failed_is_read_even_if_it_does_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "_RETRY_FIRST_SECONDS", 0.01)
    directory = Directory(tmp_path)
    many = [objects.service(f"web-{number}") for number in range(1500)]
    (tmp_path / "large.json").write_text(json.dumps({"kind": "List", "items": many}))
    with monkeypatch.context() as failing:
        starts = failing_parser(tmp_path, failing)
        directory.source.start(directory.recorder)
        until(lambda: starts() > 2, "it is tried again")
    until(lambda: key("web-1499") in directory.recorder, "it is read")
    directory.source.stop()


@pytest.mark.parametrize("count", [5000, 60_000])
def test_an_object_with_many_entries_does_not_block_others(tmp_path: Path, count: int) -> None:
    directory = Directory(tmp_path)
    directory.put("a.yaml", objects.service("web"))
    with directory:
        many = objects.slice_of("web", *(f"n{number}" for number in range(10)))
        many["endpoints"] = [{"nodeName": "n"}] * count
        many["metadata"]["annotations"] = {"x": "y" * 70_000}
        replace(tmp_path / "many.json", json.dumps(many))
        piece = (Kind.ENDPOINT_SLICE, ObjectKey("default", "web-ipv4"))
        until(lambda: piece in directory.recorder, "it is reported")
        if count <= OBJECT_ENTRIES:
            found = directory.recorder[piece]
            assert isinstance(found, EndpointSlice)
            assert len(found.endpoints) == count
        else:
            found = directory.recorder[piece]
            assert isinstance(found, Unreadable)
            assert "more than 10000 entries" in found.reason
        directory.is_alive("marker")
