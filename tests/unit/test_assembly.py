"""Building the parts from settings, and the error if this host does not allow them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from porter_ryu import state_dir
from porter_ryu.assembly import assemble
from porter_ryu.instance import Instance
from porter_ryu.kube.api import Api
from porter_ryu.kube.lease import Lease
from porter_ryu.kube.manifests import Manifests
from porter_ryu.kube.writer import Writer
from porter_ryu.null_parts import NoLease, NoSpeaker, NoWriter
from porter_ryu.settings import read
from porter_ryu.settings_file import BadConfigurationError
from porter_ryu.supervisor import Supervisor
from tests.unit.fake_server import kubeconfig

QUIET = "[bgp]\nenabled = false\n[bound_ip]\nmode = none\n"


def assembled(folder: Path, text: str, state: str = "") -> Instance:
    """The parts of a configuration file; nothing is started."""
    path = folder / "porter.conf"
    path.write_text(f"{QUIET}[porter]\nstate_dir = {state or folder / 'state'}\n{text}")
    return assemble(read([str(path)]), Supervisor())


def refused(folder: Path, text: str, state: str = "") -> str:
    """The one line that says why no instance can be built."""
    with pytest.raises(BadConfigurationError) as caught:
        assembled(folder, text, state)
    [fault] = caught.value.faults
    return str(fault).removeprefix(f"{folder}/porter.conf: ")


def directory(folder: Path) -> str:
    """Settings with a directory of manifests."""
    (folder / "manifests").mkdir(exist_ok=True)
    return f"[kubernetes]\nmanifests = {folder}/manifests\n"


def api_server(folder: Path) -> str:
    """Settings with an API server, to which no request is sent."""
    return f"[kubernetes]\nkubeconfig = {kubeconfig(folder, 'http://127.0.0.1:1')}\n"


def test_with_a_directory_an_instance_leads_without_a_lease(tmp_path: Path) -> None:
    instance = assembled(tmp_path, directory(tmp_path))
    assert isinstance(instance.source, Manifests)
    assert isinstance(instance.writer, Writer)
    assert isinstance(instance.lease, NoLease)
    assert isinstance(instance.speaker, NoSpeaker)
    assert instance.planner.leading


def test_with_an_api_server_the_lease_decides_who_leads(tmp_path: Path) -> None:
    instance = assembled(tmp_path, api_server(tmp_path))
    assert isinstance(instance.source, Api)
    assert isinstance(instance.writer, Writer)
    assert isinstance(instance.lease, Lease)
    assert not instance.planner.leading, "it does not have the Lease yet"


@pytest.mark.parametrize("source", [directory, api_server])
def test_an_instance_that_does_not_allocate_writes_nothing_and_has_no_lease(
    tmp_path: Path, source: object
) -> None:
    assert callable(source)
    instance = assembled(tmp_path, f"{source(tmp_path)}[porter]\nallocate = false\n")
    assert isinstance(instance.writer, NoWriter)
    assert isinstance(instance.lease, NoLease)
    assert not instance.planner.leading


def test_a_locked_state_dir_is_reported_with_its_process(tmp_path: Path) -> None:
    state = tmp_path / "state"
    held = state_dir.lock(str(state))
    line = refused(tmp_path, directory(tmp_path))
    os.close(held)
    assert line == f"[porter] state_dir: {state} is in use by process {os.getpid()}"


def test_a_state_dir_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused(tmp_path, directory(tmp_path), f"{tmp_path}/file/state")
    assert line == f"[porter] state_dir: {tmp_path}/file/state cannot be written: Not a directory"


def test_an_invalid_kubeconfig_is_reported(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("kind: [")
    line = refused(tmp_path, f"[kubernetes]\nkubeconfig = {tmp_path}/kubeconfig\n")
    assert line.startswith("[kubernetes] kubeconfig: ")
    assert "\n" not in line
