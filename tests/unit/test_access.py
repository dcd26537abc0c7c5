"""Kubeconfig files and the service account of a Pod: whom they ask, with which credential."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fabric.objects import Json
from porter_ryu.kube.access import access, bypasses
from porter_ryu.kube.client import Client
from porter_ryu.kube.kubeconfig import KubeconfigError
from tests.unit.fake_server import Authority, FakeServer, Headers, kubeconfig, ok


@pytest.fixture(name="ca")
def authority(tmp_path: Path) -> Authority:
    """A CA."""
    return Authority(tmp_path, "ca")


def asked(config: str) -> None:
    """Asks the server of a kubeconfig."""
    assert Client(config).request("GET", "/x") == {}


def shown(tmp_path: Path, user: Json) -> str:
    """The Authorization field of a request of a user."""
    seen: list[str] = []

    def respond(_path: str, headers: Headers) -> bytes:
        seen.append(headers.get("authorization", ""))
        return ok({})

    server = FakeServer(respond)
    asked(kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}", user=user))
    server.close()
    return seen[0]


def encoded(path: str | Path) -> str:
    """A file as kubeconfig has it."""
    return base64.b64encode(Path(path).read_bytes()).decode()


@pytest.mark.parametrize(
    ("user", "field"),
    [
        ({"token": "one"}, "Bearer one"),
        ({"token": "one\n"}, "Bearer one"),
        ({"tokenFile": "token"}, "Bearer two"),
        ({"token": "one", "tokenFile": "token"}, "Bearer two"),
        ({"username": "a", "password": "b:c"}, "Basic YTpiOmM="),
        ({"username": "a", "password": "b", "token": "one"}, "Bearer one"),
        ({"username": "a"}, ""),
        ({"unknown": 7}, ""),
    ],
)
def test_the_credential_of_a_user(tmp_path: Path, user: Json, field: str) -> None:
    (tmp_path / "token").write_text("two\n")
    assert shown(tmp_path, user) == field


@pytest.mark.parametrize("in_the_file", [True, False])
def test_a_certificate_of_the_user_is_shown(
    tmp_path: Path, ca: Authority, in_the_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    context = ca.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca.certificate)
    server = FakeServer(lambda _path, _headers: ok({}), context)
    certificate, key = ca.last
    by_data = {
        "client-certificate-data": encoded(certificate),
        "client-key-data": encoded(key),
    }
    # relative to the folder of the kubeconfig
    by_file = {"client-certificate": Path(certificate).name, "client-key": Path(key).name}
    url = f"https://127.0.0.1:{server.port}"
    asked(kubeconfig(tmp_path, url, ca.certificate, user=by_data if in_the_file else by_file))
    server.close()
    assert not list(temporary.iterdir())


def servers(ca: Authority) -> Iterator[Json]:
    """What a cluster may say of its certificate, which is for other.example."""
    yield {"certificate-authority": ca.certificate.name, "tls-server-name": "other.example"}
    yield {
        "certificate-authority-data": encoded(ca.certificate),
        "tls-server-name": "other.example",
    }
    yield {"insecure-skip-tls-verify": True}


def test_how_a_server_may_prove_who_it_is(tmp_path: Path, ca: Authority) -> None:
    server = FakeServer(lambda _path, _headers: ok({}), ca.server("DNS:other.example"))
    for cluster in servers(ca):
        asked(kubeconfig(tmp_path, f"https://127.0.0.1:{server.port}", cluster=cluster))
    server.close()


def test_of_several_files_the_first_that_has_a_name_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, url in ((one, "http://one:1"), (two, "http://two:2")):
        folder.mkdir()
        kubeconfig(folder, url)
    (two / "token").write_text("theirs")
    only_there = yaml.safe_load((two / "kubeconfig").read_text())
    only_there["users"] = [{"name": "v", "user": {"tokenFile": "token"}}]
    (two / "kubeconfig").write_text(yaml.safe_dump(only_there))
    contexts = [{"name": "d", "context": {"cluster": "c", "user": "v"}}]
    first = yaml.safe_load((one / "kubeconfig").read_text())
    first |= {"contexts": contexts, "current-context": "d", "users": None}
    (one / "kubeconfig").write_text(yaml.safe_dump(first))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none:{one}/kubeconfig:{two}/kubeconfig")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    found = access("")
    assert (found.url, found.authorization()) == ("http://one:1", "Bearer theirs")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"current-context": "x"}, "has no such context"),
        ({"current-context": None}, "has no current-context"),
        ({"clusters": []}, "the context has no cluster"),
        ({"users": []}, "the context has no user"),
        ({"users": [{"name": "u", "user": {"token": 7}}]}, "Expected `str | null`, got `int`"),
        ({"users": [{"name": "u", "user": {"tokenFile": "x"}}]}, "/x cannot be read"),
        ({"users": [{"name": "u", "user": {"client-certificate-data": "%"}}]}, "is not base64"),
        ({"users": [{"name": "u", "user": {"client-key": "nokey"}}]}, "nokey cannot be read"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, change: Json, why: str) -> None:
    file = Path(kubeconfig(tmp_path, "http://127.0.0.1:1"))
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **change}))
    with pytest.raises(KubeconfigError) as caught:
        access(str(file))
    assert why in str(caught.value)


def unreadable(folder: Path) -> dict[str, str]:
    """Files that must not be read as they are, by why."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    with open(folder / "huge", "wb") as file:
        file.truncate(1 << 40)
    paths = {"pipe": "is not a regular file", "folder": "is a directory", "huge": "is larger than"}
    paths |= {"loop": "Too many levels of symbolic links", "none": "No such file or directory"}
    return {str(folder / name): why for name, why in paths.items()} | {
        "/dev/zero": "is not a regular file",
        "/dev/tty": "is not a regular file",
    }


@pytest.mark.parametrize(
    "key", ["tokenFile", "client-certificate", "client-key", "certificate-authority"]
)
def test_what_is_no_file_of_a_bounded_size_is_not_read(tmp_path: Path, key: str) -> None:
    for path, why in unreadable(tmp_path).items():
        in_cluster = key == "certificate-authority"
        user = None if in_cluster else {key: path}
        cluster = {key: path} if in_cluster else None
        config = kubeconfig(tmp_path, "https://127.0.0.1:1", user=user, cluster=cluster)
        with pytest.raises(KubeconfigError) as caught:
            access(config)
        assert why in str(caught.value)


def test_a_token_that_was_replaced_by_a_pipe_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("one")
    config = kubeconfig(tmp_path, "http://127.0.0.1:1", user={"tokenFile": "token"})
    found = access(config)
    (tmp_path / "token").unlink()
    os.mkfifo(tmp_path / "token")
    monkeypatch.setattr("porter_ryu.kube.access._TOKEN_SECONDS", -1)
    assert found.authorization() == "Bearer one"


@pytest.mark.parametrize("name", ["token", "ca.crt"])
def test_a_service_account_with_a_pipe_in_place_of_a_file(
    tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/none")
    (tmp_path / "token").write_text("t\n")
    ca.certificate.rename(tmp_path / "ca.crt")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(KubeconfigError):
        access("", account=tmp_path)


def test_the_service_account_of_a_pod(
    tmp_path: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "token").write_text("t\n")
    ca.certificate.rename(tmp_path / "ca.crt")
    found = access("", account=tmp_path)
    assert (found.url, found.authorization()) == ("https://[fd00::1]:443", "Bearer t")
    assert found.tls.check_hostname


@pytest.mark.parametrize(
    ("no_proxy", "expected"),
    [
        ("", False),
        ("*", True),
        ("10.0.0.0/8", True),
        ("11.0.0.0/8, 10.1.2.3", True),
        ("0.1.2.3", False),
        ("/,,.", False),
    ],
)
def test_which_addresses_need_no_proxy(no_proxy: str, expected: bool) -> None:
    assert bypasses("https://10.1.2.3:6443/x", no_proxy) is expected


@pytest.mark.parametrize("no_proxy", ["example.org", ".example.org", "a.Example.org", "x,org"])
def test_which_names_need_no_proxy(no_proxy: str) -> None:
    assert bypasses("https://a.example.org", no_proxy)
    assert not bypasses("https://aexample.com", no_proxy)


def test_a_start_imports_neither_the_official_client_nor_what_reads_files() -> None:
    unused = ["kubernetes", "porter_ryu.kube.manifests", "porter_ryu.kube.documents"]
    code = f"import sys, porter_ryu.assembly; print([*filter(sys.modules.get, {unused})])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"
