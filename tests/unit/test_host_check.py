"""What `porter-ryu check` finds: one sentence for each problem."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from porter_ryu.host_check import findings
from porter_ryu.settings import read
from tests.unit.fake_server import FakeServer, Headers, answer, kubeconfig, ok

QUIET = "[bgp]\nenabled = false\n[bound_ip]\nmode = none\n"
Right = dict[str, Any]


class Judge(FakeServer):
    """An API server that answers access reviews, and denies some of them."""

    def __init__(self, *forbidden: str) -> None:
        super().__init__(self._judge)
        self.forbidden = forbidden
        self.reviewed: list[str] = []

    def _judge(self, _path: str, _headers: Headers) -> bytes:
        right: Right = json.loads(self.bodies[-1])["spec"]["resourceAttributes"]
        what = "/".join(right[part] for part in ("resource", "subresource") if part in right)
        self.reviewed.append(f"{right['verb']} {what}")
        return ok({"status": {"allowed": self.reviewed[-1] not in self.forbidden}})


def found(folder: Path, text: str) -> list[str]:
    """The findings for these settings on this host."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path = folder / "porter.conf"
    state = "" if "state_dir" in text else f"[porter]\nstate_dir = {folder}/state\n"
    http = "" if "wsapi_port" in text else f"[DEFAULT]\nwsapi_port = {port}\n"
    path.write_text(f"{QUIET}{http}{state}{text}")
    return list(findings(read([str(path)])))


@pytest.fixture
def manifests(tmp_path: Path) -> str:
    """Settings with a writable directory of manifests."""
    (tmp_path / "manifests").mkdir()
    return f"[kubernetes]\nmanifests = {tmp_path}/manifests\n"


@pytest.fixture
def judge() -> Iterator[Judge]:
    judge = Judge()
    yield judge
    judge.close()


def asking(folder: Path, judge: FakeServer) -> str:
    """Settings that use this API server."""
    return f"[kubernetes]\nkubeconfig = {kubeconfig(folder, f'http://127.0.0.1:{judge.port}')}\n"


def test_without_a_problem_there_is_no_finding(tmp_path: Path, manifests: str) -> None:
    assert found(tmp_path, manifests) == []
    assert not (tmp_path / "state").exists(), "nothing is changed"


def test_a_peer_group_that_is_not_used(tmp_path: Path, manifests: str) -> None:
    one = "[bgp]\npeers = one\n[peer:one]\naddress = 192.0.2.1\nremote_as = 65001\n"
    spare = "[peer:spare]\naddress = 192.0.2.2\nremote_as = 65002\n"
    assert found(tmp_path, manifests + one + spare) == [
        "[peer:spare] is not used: [bgp] peers does not list it"
    ]


def test_a_port_on_which_another_process_listens(tmp_path: Path, manifests: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert found(tmp_path, f"{manifests}[DEFAULT]\nwsapi_port = {port}\n") == [
            f"[DEFAULT] wsapi_port: cannot listen on 127.0.0.1 port {port}: "
            "another process listens there"
        ]


def test_folders_that_cannot_be_written(tmp_path: Path, manifests: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "manifests" / ".status").write_text("no folder")
    assert found(tmp_path, f"{manifests}[porter]\nstate_dir = {tmp_path}/file/state\n") == [
        f"[porter] state_dir: {tmp_path}/file/state cannot be written",
        f"[kubernetes] manifests: {tmp_path}/manifests/.status cannot be written",
    ]


LISTED = ["services", "endpointslices", "nodes", "namespaces", "eips"]
WRITES = {"patch services/status", "patch eips/status", "create events", "patch events"}
LEASE = {"get leases", "update leases"}


def test_every_right_that_is_used_is_reviewed(tmp_path: Path, judge: Judge) -> None:
    assert found(tmp_path, asking(tmp_path, judge)) == []
    reads = {f"{verb} {kind}" for verb in ("list", "watch") for kind in LISTED}
    assert set(judge.reviewed) == reads | WRITES | LEASE
    judge.reviewed.clear()
    assert found(tmp_path, asking(tmp_path, judge) + "[porter]\nallocate = false\n") == []
    assert set(judge.reviewed) == reads, "an instance that only reads needs no more"


def test_each_missing_right_is_named(tmp_path: Path, judge: Judge) -> None:
    judge.forbidden = ("watch nodes", "patch services/status", "update leases")
    assert found(tmp_path, asking(tmp_path, judge)) == [
        "the API server does not allow: watch nodes",
        "the API server does not allow: patch services/status",
        "the API server does not allow: update leases in porter-system",
    ]


@pytest.mark.parametrize("status", [401, 500])
def test_an_api_server_that_answers_with_an_error_is_one_finding(
    tmp_path: Path, status: int
) -> None:
    server = FakeServer(lambda _path, _headers: answer(status, {}))
    [line] = found(tmp_path, asking(tmp_path, server))
    server.close()
    assert line.startswith("the API server cannot be queried: ")


def test_an_api_server_that_cannot_be_reached_is_one_finding(tmp_path: Path, judge: Judge) -> None:
    judge.close()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        judge.port = probe.getsockname()[1]
    [line] = found(tmp_path, asking(tmp_path, judge))
    assert "refuses connections" in line
