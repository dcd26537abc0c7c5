"""`.status`: an unreadable file does not mean "no record", and no link is followed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from ryu.lib import hub

from fabric import objects
from fabric.files import replace
from porter_ryu.domain.model import Kind, Service, ServiceStatus
from porter_ryu.domain.objects import Unreadable
from porter_ryu.kube import manifests
from porter_ryu.kube.errors import ApiError
from tests.unit.directory import ANNOUNCED, Directory, key, pool
from tests.unit.until import PATIENCE, until

DAMAGED = [
    "",
    "{",
    '{"status": ',
    "[]",
    '"x"',
    "{}",
    '{"status": null}',
    '{"status": []}',
    '{"status": {"loadBalancer": {"ingress": 5}}}',
    '{"status": {"conditions": {}}}',
    '{"a":' * 3000 + "}" * 3000,
    '{"status": ' + '{"a":' * 900 + "1" + "}" * 901,
    '{"status": {"loadBalancer": {"ingress": [{"ip": ' + "1" * 5000 + "}]}}}",
    "\0\0\0\0",
]


NOT_A_STATUS = [  # JSON, and no status of such an object
    (Kind.SERVICE, '{"loadBalancer": {"ingress": [{"ip": "203.0.113.400"}]}}'),
    (Kind.SERVICE, '{"loadBalancer": {"ingress": 5}}'),
    (Kind.SERVICE, '{"conditions": {}}'),
    (Kind.EIP, '{"used": [1, 2]}'),
    (Kind.EIP, '{"usage": "many"}'),
    (Kind.EIP, '{"serving": "{"}'),
    (Kind.EIP, '{"conditions": [5]}'),
]


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """A directory with one Service that has an address in its status."""
    directory = Directory(tmp_path / "manifests")
    directory.path.mkdir()
    own = {"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}}
    directory.put("a.yaml", {**objects.service("web"), **own}, objects.service("api"))
    return directory


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_status_file_makes_its_object_unreadable_and_is_not_overwritten(
    directory: Directory, text: str
) -> None:
    path = directory.record("web", "10.0.0.7")
    path.write_text(text)
    with directory:
        directory.unreadable("web")
        assert isinstance(directory.recorder[key("api")], Service)
        directory.is_alive("marker")
        assert path.read_text() == text


@pytest.mark.parametrize(("kind", "status"), NOT_A_STATUS)
def test_what_is_no_status_is_not_overwritten_and_is_read_again_once_it_is_corrected(
    directory: Directory, kind: Kind, status: str
) -> None:
    directory.put("pool.yaml", objects.eip("web", "10.0.0.0/24"))
    file = directory.record("web", "10.0.0.7")
    good, name = file.read_text(), key("web")
    if kind is Kind.EIP:
        file, good, name = directory.path / ".status/eips/web.json", '{"status": {}}', pool("web")
        file.parent.mkdir()
    file.write_text(f'{{"status": {status}}}')
    long_ago = time.time() - 60
    os.utime(file.parent, (long_ago, long_ago))  # no change of the folder is to come
    with directory:
        reading = directory.recorder[name]
        assert isinstance(reading, Unreadable)
        assert f".status/{kind.value}" in reading.file
        assert reading.file in reading.reason
        if kind is Kind.SERVICE:
            service, wanted = Service(key("web")[1], ours=True), ServiceStatus((), (ANNOUNCED,))
            with pytest.raises(ApiError, match="not written over"):
                directory.source.patch(service, wanted)
        assert status in file.read_text()
        file.write_text(f'{{ "status": {status}}}')  # another file with the same status
        directory.is_alive("marker")
        file.write_text(good)
        until(lambda: not isinstance(directory.recorder[name], Unreadable), "it is mended")
        if kind is Kind.SERVICE:
            assert [str(a) for a in directory.recorder.service("web").ingress] == ["10.0.0.7"]


def test_a_record_that_is_no_status_is_read_again_although_its_manifest_cannot_be_read(
    directory: Directory,
) -> None:
    file = directory.record("web", "10.0.0.7")
    good = file.read_text()
    file.write_text('{"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.700"}]}}}')
    (directory.path / "a.yaml").write_text("{")
    long_ago = time.time() - 60
    os.utime(file.parent, (long_ago, long_ago))
    with directory:
        assert directory.unreadable("web").record_unread
        file.write_text(good)
        until(lambda: not directory.unreadable("web").record_unread, "the record is known")
        assert [str(address) for address in directory.unreadable("web").record] == ["10.0.0.7"]


def test_a_status_that_is_damaged_at_run_time_keeps_its_last_value(directory: Directory) -> None:
    path = directory.record("web", "10.0.0.7")
    with directory:
        service = Service(key("web")[1], ours=True)
        for text in DAMAGED[:8]:
            replace(path, text)
            reading = directory.unreadable("web")
            assert [str(address) for address in reading.record] == ["10.0.0.7"]
            with pytest.raises(ApiError, match="not written over"):
                directory.source.patch(service, ServiceStatus((), (ANNOUNCED,)))
            directory.record("web", "10.0.0.7")
            until(lambda: isinstance(directory.recorder[key("web")], Service), "it is mended")
        path.unlink()
        until(
            lambda: str(directory.recorder.service("web").ingress[0]) == "10.0.0.1",
            "its own counts",
        )


def test_a_folder_in_place_of_a_status_file_is_unreadable(directory: Directory) -> None:
    path = directory.record("web", "10.0.0.7")
    path.unlink()
    path.mkdir()
    with directory:
        reading = directory.unreadable("web")
        assert [str(address) for address in reading.record] == ["10.0.0.1"]
        path.rmdir()
        until(lambda: isinstance(directory.recorder[key("web")], Service), "it is mended")


@pytest.mark.parametrize("place", [".status", ".status/services", ".status/services/default"])
def test_a_file_in_place_of_a_folder_is_reported(
    directory: Directory, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    path = directory.path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    with directory:
        directory.unreadable("web")
        assert f"{place} cannot be read: Not a directory" in caplog.text
        directory.is_alive("marker")
        path.unlink()
        until(lambda: isinstance(directory.recorder[key("web")], Service), "it is mended")
        directory.write("web")
    assert path.is_dir()


@pytest.mark.parametrize("place", [".status", ".status/services", ".status/services/default"])
def test_a_folder_that_becomes_a_file_loses_no_record(directory: Directory, place: str) -> None:
    directory.record("web", "10.0.0.7")
    with directory:
        path = directory.path / place
        path.rename(directory.path.parent / "away")
        path.write_text("in the way")
        reading = directory.unreadable("web")
        assert [str(address) for address in reading.record] == ["10.0.0.7"]
        path.unlink()
        (directory.path.parent / "away").rename(path)
        until(lambda: isinstance(directory.recorder[key("web")], Service), "it is mended")
        assert [str(address) for address in directory.recorder.service("web").ingress] == [
            "10.0.0.7"
        ]


def test_no_turn_sees_a_part_of_the_records_that_can_be_read_again(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would assign an address that is on a record which is still to come."""

    class AlwaysOver:
        def __call__(self) -> None:
            hub.sleep(0)

    monkeypatch.setattr(manifests, "TimeSlice", AlwaysOver)
    names = [f"s{number}" for number in range(9)]
    for number, name in enumerate(names):
        directory.put(f"{name}.yaml", objects.service(name))
        directory.record(name, f"10.0.0.{number}")
    path = directory.path / ".status"
    path.rename(directory.path.parent / "away")
    path.write_text("in the way")
    with directory:
        directory.unreadable("s0")
        path.unlink()
        (directory.path.parent / "away").rename(path)
        seen: set[int] = set()

        def readable() -> int:
            found = sum(isinstance(directory.recorder[key(name)], Service) for name in names)
            seen.add(found)
            return found

        with hub.Timeout(PATIENCE):
            while readable() < len(names):
                hub.sleep(0)
    assert seen == {0, len(names)}


@pytest.mark.parametrize("place", [".status", ".status/services", ".status/services/default"])
def test_no_folder_is_opened_through_a_link(
    directory: Directory, tmp_path: Path, place: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    rest = f"{directory.path}/.status/services/default/web.json".removeprefix(
        f"{directory.path / place}/"
    )
    victim = elsewhere / rest
    victim.parent.mkdir(parents=True)
    victim.write_text('{"status": {"loadBalancer": {"ingress": [{"ip": "10.6.6.6"}]}}}')
    path = directory.path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(elsewhere)
    before = {file: file.read_text() for file in elsewhere.rglob("*.json")}
    with directory:
        reading = directory.unreadable("web")
        assert [str(address) for address in reading.record] == ["10.0.0.1"]
        service = Service(key("web")[1], ours=True)
        for status in (ServiceStatus((), (ANNOUNCED,)), ServiceStatus((), ())):
            with pytest.raises(ApiError):
                directory.source.patch(service, status)
        (directory.path / "a.yaml").unlink()
        until(lambda: key("web") in directory.recorder.removed, "the Service is gone")
    assert {file: file.read_text() for file in elsewhere.rglob("*.json")} == before
    assert path.is_symlink()


def test_a_link_in_place_of_a_status_file_is_not_followed(
    directory: Directory, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.json"
    victim.write_text('{"status": {"loadBalancer": {"ingress": [{"ip": "10.6.6.6"}]}}}')
    before = victim.read_text()
    folder = directory.path / ".status" / "services" / "default"
    folder.mkdir(parents=True)
    (folder / "web.json").symlink_to(victim)
    with directory:
        reading = directory.unreadable("web")
        assert [str(address) for address in reading.record] == ["10.0.0.1"]
        (folder / "web.json").unlink()
        until(lambda: isinstance(directory.recorder[key("web")], Service), "it is mended")
        (folder / ".web.json.new").symlink_to(victim)
        directory.write("web")
        assert victim.read_text() == before
        assert not (folder / "web.json").is_symlink()
        assert json.loads((folder / "web.json").read_text())["status"]["conditions"]


def test_a_link_created_at_run_time_is_replaced_or_removed_itself(
    directory: Directory, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.json"
    victim.write_text("precious")
    with directory:
        directory.write("web")
        path = directory.path / ".status" / "services" / "default" / "web.json"
        os.link(victim, directory.path / "linked")
        path.unlink()
        path.symlink_to(victim)
        (directory.path / "a.yaml").unlink()
        until(lambda: not path.is_symlink(), "the link is removed with its object")
    assert victim.read_text() == "precious"


def test_files_with_other_names_in_status_are_ignored(directory: Directory) -> None:
    folder = directory.path / ".status" / "services" / "default"
    folder.mkdir(parents=True)
    odd = [folder / "UPPER.json", folder / "a\nb.json", folder / "notes.txt", folder / ".x.json"]
    for path in odd:
        path.write_text("{}")
    (directory.path / ".status" / "services" / "..x").mkdir()
    with open(os.path.join(os.fsencode(folder), b"\xff.json"), "w") as file:
        file.write("{}")
    os.mkfifo(folder / "fifo.json")
    with directory:
        directory.is_alive("marker")
        assert isinstance(directory.recorder[key("web")], Service)
    assert all(path.exists() for path in odd)


def test_that_a_status_is_kept_is_said_only_where_one_is_known(
    directory: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    kept = "web.json has no status; the last known status is kept"
    directory.record("web", "10.0.0.7").write_text("{}")
    with directory:
        directory.unreadable("web")
        assert "web.json has no status" in caplog.text
        assert kept not in caplog.text
        path = directory.record("web", "10.0.0.7")
        until(lambda: isinstance(directory.recorder[key("web")], Service), "it is mended")
        replace(path, "{}")
        directory.unreadable("web")
        assert kept in caplog.text
