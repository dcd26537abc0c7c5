"""Commands about files: the settings and where they come from, the support bundle, completion."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric import Fabric, FabricError, Host
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, Sections, command

KEY = "a-very-secret-md5-key"
_SECONDS = 60.0


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host with one address."""
    with Fabric() as fabric:
        host, other = fabric.host("host"), fabric.host("other")
        fabric.link(host, other, ["192.168.9.1/24"], ["192.168.9.2/24"])
        host.run("ip route add default via 192.168.9.2")
        yield host


@pytest.fixture(scope="module")
def program(host: Host) -> Program:
    """A program with a peer that has a key; it is not started."""
    key = host.folder / "md5.key"
    key.write_text(f"{KEY}\n")
    sections: Sections = {
        "DEFAULT": {"log_file": host.folder / "ryu.log"},
        "bgp": {"router_id": "192.168.9.1", "peers": "leaf", "restart_time": 99},
        "peer:leaf": {"address": "192.168.9.2", "remote_as": 65001, "password_file": key},
        "bound_ip": {"mode": "none"},
    }
    made = Program(host, sections, name="files")
    made.put("pool", eip("pool", "203.0.113.0/30"), node("n1", "192.168.9.11"))
    made.put("web", service("web"), slice_of("web", "n1"))
    return made


def asked(
    host: Host, words: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command on the host."""
    argv = host.inside([command("porter-ryu"), *words.split()])
    env = {**os.environ, **environment}
    return subprocess.run(
        argv, capture_output=True, check=False, timeout=_SECONDS, env=env, cwd=folder
    )


def members(archive: bytes) -> dict[str, bytes]:
    """The files in an archive, without the folder that all are in."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        return {
            member.name.partition("/")[2]: file.read()
            for member in opened
            if (file := opened.extractfile(member)) is not None
        }


def test_each_setting_has_its_origin_and_secrets_are_out(host: Host, program: Program) -> None:
    more = host.folder / "more.conf"
    more.write_text("[bgp]\n\nhold_time = 30\n")
    words = f"config --config-file {program.config} --config-file {more}"
    done = asked(host, f"{words} -o json", OS_PORTER__NODE_NAME="n1")
    assert (done.returncode, done.stderr) == (0, b"")
    entries: list[dict[str, Any]] = json.loads(done.stdout)
    by_key = {(entry["group"], entry["key"]): entry for entry in entries}
    assert by_key["bgp", "hold_time"]["value"] == 30
    assert by_key["bgp", "hold_time"]["where"] == f"{more}:3"
    assert by_key["bgp", "hold_time"]["needsRestart"] is False
    assert by_key["peer:leaf", "hold_time"]["means"] == "30 s"
    name = by_key["porter", "node_name"]
    assert (name["value"], name["source"], name["where"]) == (
        "n1",
        "environment",
        "OS_PORTER__NODE_NAME",
    )
    resync = by_key["porter", "resync_seconds"]
    assert (resync["value"], resync["source"], resync["where"]) == (300, "default", "")
    lines = program.config.read_text().splitlines()
    line = lines.index("restart_time = 99") + 1
    assert by_key["bgp", "restart_time"]["where"] == f"{program.config}:{line}"
    assert by_key["bgp", "graceful_restart"]["means"] == "on, 99 s"
    assert KEY.encode() not in done.stdout
    text = asked(host, words).stdout.decode()
    assert max(map(len, text.splitlines())) <= 80
    assert "[peer:leaf]" in text
    assert f"[1] {program.config}" in text
    assert text.count(f"[1] line {line}\n") == 1
    assert "[2] line 3\n" in text
    changed = asked(host, f"{words} --changed").stdout.decode()
    assert "resync_seconds" not in changed
    assert "restart_time" in changed


def test_a_configuration_that_is_not_valid_is_one_line(host: Host) -> None:
    bad = host.folder / "bad.conf"
    bad.write_text("[bgp]\nlocal_as = many\n")
    done = asked(host, f"config --config-file {bad}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    done = asked(host, f"config --config-file {host.folder}")
    assert (done.returncode, done.stderr.decode()) == (2, f"{host.folder}: is a directory\n")


def test_a_support_bundle_of_an_instance_that_is_down(host: Host, program: Program) -> None:
    archive = host.folder / "down.tar.gz"
    done = asked(host, f"support-bundle {archive} --config-file {program.config}")
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (1, b"")
    assert lines[0].startswith(f"written: {archive} (")
    missing = [line for line in lines if "Connection refused" in line]
    assert len(missing) == 1, "what the instance would have said is said to be missing, once"
    found = members(archive.read_bytes())
    assert "192.168.9.1/24" in found["host/ip-d-address.txt"].decode()
    assert json.loads(found["versions.json"])["packages"]["ryu"]
    index = json.loads(found["index.json"])
    assert {part["file"] for part in index["parts"] if part["missing"]} >= {"http/", "log.txt"}


def test_a_support_bundle_has_everything_and_no_secret(host: Host, program: Program) -> None:
    program.start()
    try:
        archive = host.folder / "up.tar.gz"
        done = asked(host, f"support-bundle {archive} --config-file {program.config}")
        assert (done.returncode, done.stderr) == (0, b""), done.stdout
        assert archive.stat().st_mode & 0o777 == 0o600
        found = members(archive.read_bytes())
        piped = asked(host, f"support-bundle - --config-file {program.config}")
        assert members(piped.stdout).keys() == found.keys()
    finally:
        program.stop()
    assert set(found) >= {
        "index.json",
        "versions.json",
        "settings.json",
        "log.txt",
        "host/ip-rule.txt",
        "host/sysctl.txt",
        "http/healthz.txt",
        "http/metrics.txt",
        "http/v1-status.json",
        "http/v1-peers.json",
        "http/v1-peers-leaf-routes.json",
        "http/v1-changes.json",
    }
    plan = json.loads(found["http/v1-plan.json"])
    assert [entry["name"] for entry in plan["services"]] == ["web"]
    assert b"porter_services" in found["http/metrics.txt"]
    token = "control.token"
    assert not [name for name in found if token in name]
    assert not [name for name, data in found.items() if KEY.encode() in data]


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("/dev/null", "/dev/null: is not a regular file"),
        ("/", "/: is a directory"),
        ("/proc/none/x.tar.gz", "No such file or directory"),
        ("/dev/full/x.tar.gz", "Not a directory"),
    ],
)
def test_a_bundle_that_cannot_be_written(host: Host, file: str, why: str) -> None:
    done = asked(host, f"support-bundle {file}")
    assert done.returncode == 2
    assert why in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert Path("/dev/null").is_char_device()


def test_a_bundle_without_a_name_is_in_the_present_folder(host: Host, tmp_path: Path) -> None:
    done = asked(host, "support-bundle -o json", folder=tmp_path)
    (made,) = tmp_path.iterdir()
    assert json.loads(done.stdout)["file"] == made.name
    assert "index.json" in members(made.read_bytes())


# -- completion -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scripts(host: Host) -> dict[str, Path]:
    """The scripts of all shells."""
    found = {}
    for shell in ("bash", "zsh", "fish"):
        found[shell] = host.folder / f"completion.{shell}"
        found[shell].write_bytes(asked(host, f"completion {shell}").stdout)
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("porter-ryu supp", "support-bundle"),
        ("porter-ryu history --u", "--url"),
        ("porter-ryu explain --no", "--node"),
        ("porter-ryu import me", "metallb"),
        ("porter-ryu status -o js", "json"),
        ("porter-ryu completion fi", "fish"),
        ("porter-ryu check --config-file /etc/hostn", "/etc/hostname"),
    ],
)
def test_the_shells_complete(scripts: dict[str, Path], line: str, expected: str) -> None:
    assert expected in in_bash(scripts["bash"], line)
    assert expected in in_fish(scripts["fish"], line)
    assert expected in in_zsh(scripts["zsh"], line, expected)


def in_bash(script: Path, line: str) -> list[str]:
    """What bash offers."""
    shell = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1));"
        "compopt() { :; }; _porter_ryu; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def in_fish(script: Path, line: str) -> list[str]:
    """What fish offers."""
    shell = f"source {script}; complete -C '{line}'"
    done = subprocess.run(["fish", "-c", shell], capture_output=True, text=True, check=True)
    return [offered.partition("\t")[0] for offered in done.stdout.splitlines()]


def in_zsh(script: Path, line: str, expected: str) -> str:
    """What zsh shows after a tab, on a terminal; it ends when it has shown what is expected."""
    controller, terminal = pty.openpty()
    start = f"PS1=; autoload -Uz compinit; compinit -u -D; source {script}; print re''ady\n"
    with subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as shell:
        os.close(terminal)
        try:
            os.write(controller, start.encode())
            until(controller, "ready")
            os.write(controller, f"{line}\t".encode())
            return until(controller, expected)
        finally:
            shell.kill()
            os.close(controller)


def until(descriptor: int, text: str) -> str:
    """Reads from a terminal until it has shown a text."""
    shown = ""
    while text not in shown:
        ready, _, _ = select.select([descriptor], [], [], _SECONDS)
        if not ready:
            raise FabricError(f"{text} is not shown: {shown!r}")
        shown += os.read(descriptor, 4096).decode("utf-8", "replace")
    return shown


def test_the_installed_shells() -> None:
    missing = [shell for shell in ("zsh", "fish") if not Path("/usr/bin", shell).exists()]
    assert not missing, f"install the Debian packages {missing}: scripts/install-tools does"
