"""A directory as a source: its objects, invalid files, and the status stored in it."""

from __future__ import annotations

import json
import os
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from fabric import objects
from porter_ryu.domain.model import Condition, Kind, ObjectKey, Service, ServiceStatus
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.documents import BrokenFileError, read
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.manifests import Manifests
from porter_ryu.supervisor import Supervisor
from tests.unit.directory import Directory
from tests.unit.recorder import Recorder
from tests.unit.until import until

CODEC = Codec("lb.kubesphere.io/v1alpha1", frozenset(["porter"]))
WEB = ObjectKey("default", "web")


@pytest.fixture
def recorder() -> Recorder:
    """An observer."""
    return Recorder()


def write(folder: Path, name: str, *documents: object) -> None:
    """Writes a YAML file."""
    (folder / name).write_text(yaml.safe_dump_all(documents))


def look(folder: Path, recorder: Recorder) -> Manifests:
    """Reads a directory once."""
    manifests = Manifests(str(folder), CODEC, keeps_status=True, supervisor=Supervisor())
    manifests.read_once(recorder)
    return manifests


def test_documents_lists_and_json_are_all_read(tmp_path: Path, recorder: Recorder) -> None:
    write(tmp_path, "a.yaml", objects.service("web"), {"kind": "Pod"}, None)
    listed = {"kind": "List", "items": [objects.node("n1"), objects.eip("p", "10.0.0.1")]}
    (tmp_path / "b.json").write_text(json.dumps(listed))
    (tmp_path / "c.yml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: red}\n")
    (tmp_path / "notes.txt").write_text("kind: [")
    look(tmp_path, recorder)
    assert sorted(f"{kind.value} {key}" for kind, key in recorder) == [
        "eips p",
        "namespaces red",
        "nodes n1",
        "services default/web",
    ]


def test_a_time_without_quotes_is_a_string(tmp_path: Path, recorder: Recorder) -> None:
    text = yaml.safe_dump(objects.service("web")).replace(
        "name: web", "name: web\n  creationTimestamp: 2026-01-01T00:00:00Z"
    )
    (tmp_path / "a.yaml").write_text(text)
    look(tmp_path, recorder)
    assert recorder.service("web").created == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b\n---\nc: [\n", 4),
        ("- a\n", 1),
        ('{"a":\n', 2),
        ("kind: List\nitems: [1]\n", 2),
    ],
)
def test_the_fault_of_an_invalid_file_has_its_line(text: str, line: int) -> None:
    with pytest.raises(BrokenFileError) as caught:
        list(read(text))
    assert caught.value.line == line


def test_the_first_file_is_used_and_the_second_is_reported(
    tmp_path: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a.yaml", objects.eip("p", "10.0.0.1"))
    write(tmp_path, "b.yaml", objects.eip("p", "10.0.0.2"))
    look(tmp_path, recorder)
    assert recorder.eip("p").address == "10.0.0.1"
    assert "b.yaml:1: eips p is also in a.yaml" in caplog.text


def test_status_is_stored_and_survives_the_process(tmp_path: Path, recorder: Recorder) -> None:
    write(tmp_path, "a.yaml", objects.service("web"))
    manifests = look(tmp_path, recorder)
    condition = Condition("porter.kubesphere.io/Allocated", True, "Allocated", "x")
    address = (ip_address("10.0.0.1"),)
    written = manifests.patch(recorder.service("web"), ServiceStatus(address, (condition,)))
    assert isinstance(written, Service)
    assert written.ingress == address
    again = Recorder()
    second = look(tmp_path, again)
    assert again.service("web").ingress == address
    assert again.service("web").conditions == (condition,)
    second.patch(again.service("web"), ServiceStatus((), ()))
    assert not list((tmp_path / ".status" / "services").rglob("*.json"))


def test_a_dump_of_a_cluster_has_the_recorded_addresses(tmp_path: Path, recorder: Recorder) -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "10.0.0.7"}, {"hostname": "x"}]}}
    write(
        tmp_path,
        "all.yaml",
        {"kind": "List", "items": [{**objects.service("web"), "status": status}]},
    )
    look(tmp_path, recorder)
    assert [str(a) for a in recorder.service("web").ingress] == ["10.0.0.7"]


def test_names_cannot_leave_the_status_folder(
    tmp_path: Path, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    evil = objects.service("web")
    evil["metadata"]["namespace"] = "../../.."
    write(tmp_path, "a.yaml", evil, objects.service("good"))
    look(tmp_path, recorder)
    assert [str(key) for _, key in recorder] == ["default/good"]
    assert "a.yaml:1: '../../..' is not a name" in caplog.text


def test_a_status_that_cannot_be_written_is_an_error_with_its_reason(
    tmp_path: Path, recorder: Recorder
) -> None:
    write(tmp_path, "a.yaml", objects.service("web"))
    manifests = look(tmp_path, recorder)
    (tmp_path / ".status").write_text("in the way")
    condition = Condition("porter.kubesphere.io/Allocated", False, "NoPool", "x")
    with pytest.raises(ApiError, match="status of default/web"):
        manifests.patch(recorder.service("web"), ServiceStatus((), (condition,)))
    assert not os.path.isdir(tmp_path / ".status")


def test_it_knows_when_it_scanned_and_when_an_object_of_a_kind_changed_last(
    tmp_path: Path,
) -> None:
    """So an alert can tell a directory in which nothing changes from one that is not read."""
    with Directory(tmp_path) as directory:
        source = directory.source
        until(lambda: source.state.last_list.keys() == set(Kind), "it is read")
        assert not source.state.last_event
        directory.put("web.yaml", objects.service("web"))
        until(lambda: Kind.SERVICE in source.state.last_event, "the Service is read")
        first = source.state
        assert first.last_event.keys() == {Kind.SERVICE}
        until(lambda: source.state.last_list[Kind.NODE] > first.last_list[Kind.NODE], "a scan")
        (tmp_path / "web.yaml").unlink()
        until(lambda: source.state.last_event[Kind.SERVICE] > first.last_event[Kind.SERVICE])


def test_it_tells_of_files_that_cannot_be_read_also_if_no_object_of_them_is_known(
    tmp_path: Path, recorder: Recorder
) -> None:
    write(tmp_path, "web.yaml", objects.service("web"), objects.service("a b"))
    for number in range(12):
        (tmp_path / f"broken-{number:02}.yaml").write_text("kind: [\n")
    manifests = look(tmp_path, recorder)
    state = manifests.state
    assert (state.unreadable, len(state.unreadable_first)) == (13, 10)
    assert all(fault.startswith("broken-") for fault in state.unreadable_first)
    for path in tmp_path.glob("broken-*"):
        path.unlink()
    [fault] = look(tmp_path, recorder).state.unreadable_first
    assert fault.startswith("web.yaml:")
    assert "'a b' is not a name" in fault
