"""The support bundle: what is in it, what is missing, and what must not be in it."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from porter_ryu.cli import main
from porter_ryu.commands.bundle_parts import (
    MAX_TAIL_OCTETS,
    PATHS,
    of_instance,
    of_log,
    of_state_dir,
)
from tests.unit.test_cli import RawServer, ok

NOBODY = "http://127.0.0.1:1"


def config(folder: Path, **more: str) -> Path:
    """A configuration file with secrets where they do not belong."""
    path = folder / "porter.conf"
    default = "".join(f"{key} = {value}\n" for key, value in more.items())
    path.write_text(
        f"[DEFAULT]\n{default}[porter]\nstate_dir = {folder}/state\n# the key is hunter2\n"
        "node_name = http://me:hunter2@host\n[bgp]\nrouter_id = 192.0.2.1\n"
    )
    return path


def made(folder: Path, *argv: str) -> dict[str, bytes]:
    """The files of a bundle that is made while no instance runs."""
    archive = folder / "bundle.tar.gz"
    assert main(["support-bundle", str(archive), "--url", NOBODY, *argv]) == 1
    with tarfile.open(archive) as opened:
        files = {member.name: opened.extractfile(member) for member in opened}
        return {name.partition("/")[2]: file.read() for name, file in files.items() if file}


def test_no_secret_of_the_configuration_is_in_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "announced").mkdir(parents=True)
    (state / "control.token").write_text("hunter2")
    (state / "announced" / "leaf1").write_text("a line of the journal\n")
    (state / "announced" / "link").symlink_to("/etc/shadow")
    log = tmp_path / "ryu.log"
    log.write_text("Authorization: Bearer hunter2\nGET http://me:hunter2@host/\n")
    found = made(tmp_path, "--config-file", str(config(tmp_path, log_file=str(log))))
    assert found["state/announced/leaf1"] == b"a line of the journal\n"
    assert not [name for name in found if "token" in name or "link" in name]
    assert not [name for name, data in found.items() if b"hunter2" in data]
    assert b"(hidden)" in found["log.txt"]
    settings = json.loads(found["settings.json"])
    (name,) = [entry["value"] for entry in settings if entry["key"] == "node_name"]
    assert name == "http://(hidden)@host"


def test_the_records_of_a_directory_of_manifests_are_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "m" / ".status" / "services" / "shop"
    folder.mkdir(parents=True)
    (folder / "web.json").write_text("{")
    path = config(tmp_path)
    path.write_text(f"{path.read_text()}[kubernetes]\nmanifests = {tmp_path}/m\n")
    assert made(tmp_path, "--config-file", str(path))["status/services/shop/web.json"] == b"{"


def test_settings_that_the_instance_tells_are_not_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, log = tmp_path / "bundle.tar.gz", tmp_path / "log"
    log.write_text("a line\n")
    url = RawServer(ok(b'{"paths": [{"path": "/v1/config", "method": "GET"}]}')).url
    main(["support-bundle", str(archive), "--url", url, "--log-file", str(log)])
    assert "missing: settings" not in capsys.readouterr().out
    with tarfile.open(archive) as opened:
        assert "porter-ryu-support/http/v1-config.json" in opened.getnames()


def test_the_instance_of_the_configuration_is_asked(tmp_path: Path) -> None:
    server = RawServer(ok(b'{"paths": []}'))
    path = config(tmp_path, wsapi_port=server.url.rpartition(":")[2])
    archive = tmp_path / "bundle.tar.gz"
    main(["support-bundle", str(archive), "--config-file", str(path)])
    assert server.requests[0].startswith(b"GET /v1 HTTP/1.1\r\n")
    with tarfile.open(archive) as opened:
        index = opened.extractfile("porter-ryu-support/index.json")
        assert index is not None
        assert json.load(index)["url"] == server.url


def test_no_password_of_the_url_is_in_it_or_in_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "bundle.tar.gz"
    for url in ("http://me:hunter2@127.0.0.1:1", "me:hunter2@127.0.0.1", "http://a@b:hunter2@c"):
        assert main(["support-bundle", str(archive), "--url", url]) == 1
        with tarfile.open(archive) as opened:
            data = [file.read() for file in map(opened.extractfile, opened) if file]
        assert not [each for each in data if b"hunter2" in each]
        assert main(["status", "--url", url]) == 2
        told = "".join(capsys.readouterr())
        assert "hunter2" not in told
        assert "(hidden)@" in told
        archive.unlink()


def test_an_invalid_configuration_is_a_missing_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.conf"
    bad.write_text("[bgp]\nlocal_as = x\n")
    found = made(tmp_path, "--config-file", str(bad))
    assert "settings.json" not in found
    assert "versions.json" in found
    assert "'x' is not a whole number" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["absent", "directory", "fifo", "device"])
def test_a_log_that_cannot_be_read_is_a_missing_part(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    assert of_log(str(path)).missing


def test_only_the_end_of_a_long_log_is_included(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xff old\n" + b"x" * MAX_TAIL_OCTETS + b"new\n")
    part = of_log(str(path))
    assert part.is_cut
    assert part.data.endswith(b"new\n")
    assert b"old" not in part.data


def test_a_long_answer_is_cut() -> None:
    parts = list(of_instance(RawServer(ok(b'{"paths": []}      ')).url, most=10))
    assert {len(part.data) for part in parts} == {10}
    assert all(part.is_cut for part in parts)


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"paths": 5},
        {"paths": [5, {}, {"path": 5}, {"path": "/v1/../../etc", "method": "GET"}]},
        {
            "paths": [
                {"path": "/v1/stream", "method": "GET"},
                {"path": "/v1/stop", "method": "POST"},
            ]
        },
        {"paths": [{"path": "/v1/peers/{name}", "method": "GET"}] * 1000},
    ],
)
def test_an_index_that_names_odd_paths(index: object) -> None:
    server = RawServer(ok(json.dumps(index).encode()))
    parts = list(of_instance(server.url))
    assert [part.what for part in parts] == list(PATHS), "those that every version has"
    assert all(request.startswith(b"GET ") for request in server.requests)


def test_a_server_that_is_something_else_is_one_missing_part() -> None:
    (part,) = of_instance(RawServer(ok(b"<html>")).url)
    assert "is this Porter-Ryu?" in part.missing


def test_a_state_dir_that_is_not_there() -> None:
    (part,) = of_state_dir("/nowhere")
    assert part.missing == "No such file or directory"
