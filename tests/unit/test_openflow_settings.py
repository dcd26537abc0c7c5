"""[openflow], and Ryu's options for its controller."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from porter_ryu.openflow.config import Affinity, Base
from porter_ryu.settings import Settings, read
from porter_ryu.settings_file import BadConfigurationError


def settings(folder: Path, text: str) -> Settings:
    """The settings of a file."""
    path = folder / "porter.conf"
    path.write_text(text)
    return read([str(path)])


def faults(folder: Path, text: str) -> list[str]:
    """What is wrong with a file."""
    with pytest.raises(BadConfigurationError) as caught:
        settings(folder, text)
    return [f"[{f.group}] {f.key}: {f.message}" for f in caught.value.faults]


def test_it_is_off_by_default(tmp_path: Path) -> None:
    read_ = settings(tmp_path, "[porter]\n").openflow
    assert not read_.enabled
    assert read_.virtual_mac == bytes.fromhex("025052595501")
    assert (read_.base, read_.affinity, read_.buckets) == (Base.NORMAL, Affinity.NONE, 256)


def test_everything_is_read(tmp_path: Path) -> None:
    text = """[DEFAULT]
ofp_listen_host = 192.168.0.1
ofp_tcp_listen_port = 6633
[kubernetes]
panic_percent = 50
[bgp]
max_next_hops = 3
[openflow]
enabled = true
datapaths = a1, 0x00000000000000B2
virtual_mac = 02:00:00:00:00:0A
gateways = 192.168.0.254, fd00::fe, fe80::1
base = none
buckets = 64
affinity = conntrack
probe_ms = 100
"""
    found = settings(tmp_path, text)
    assert found.openflow.datapaths == {0xA1, 0xB2}
    assert found.openflow.virtual_mac == b"\2\0\0\0\0\x0a"
    assert [str(address) for address in found.openflow.gateways] == [
        "192.168.0.254",
        "fd00::fe",
        "fe80::1",
    ]
    assert (found.openflow.base, found.openflow.affinity) == (Base.NONE, Affinity.CONNTRACK)
    assert (found.openflow.probe_seconds, found.openflow.panic_percent) == (0.1, 50)
    assert found.openflow.max_next_hops == 3
    assert (found.controller.host, found.controller.port) == ("192.168.0.1", 6633)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A key and a certificate of it."""
    key, made = folder / f"{name}.key", folder / f"{name}.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
    argv += ["-keyout", str(key), "-out", str(made)]
    subprocess.run(argv, check=True, capture_output=True)
    return key, made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two keys and their certificates, a file of text, and a key with a password."""
    folder = tmp_path_factory.mktemp("tls")
    key, _ = certificate(folder, "a")
    certificate(folder, "b")
    (folder / "text").write_text("text\n")
    argv = ["openssl", "rsa", "-aes256", "-passout", "pass:secret"]
    argv += ["-in", str(key), "-out", str(folder / "locked.key")]
    subprocess.run(argv, check=True, capture_output=True)
    return folder


def test_with_a_key_and_a_certificate_the_port_is_that_of_tls(tmp_path: Path, files: Path) -> None:
    tls = f"ctl_privkey = {files}/a.key\nctl_cert = {files}/a.pem\nca_certs = {files}/b.pem\n"
    text = f"[DEFAULT]\n{tls}ofp_ssl_listen_port = 6654\n[openflow]\nenabled = true\n"
    assert settings(tmp_path, text).controller.port == 6654


@pytest.mark.parametrize(
    ("tls", "fault"),
    [
        ({"ctl_privkey": "a.key"}, "ctl_privkey: is for TLS, which needs ctl_cert as well"),
        ({"ctl_cert": "a.pem"}, "ctl_cert: is for TLS, which needs ctl_privkey as well"),
        ({"ca_certs": "a.pem"}, "ca_certs: is for TLS, which needs ctl_privkey as well"),
        ({"ctl_privkey": "no", "ctl_cert": "a.pem"}, "ctl_privkey: there is no file "),
        ({"ctl_privkey": "a.key", "ctl_cert": "text"}, "ctl_cert: "),
        ({"ctl_privkey": "text", "ctl_cert": "a.pem"}, "ctl_cert: "),
        ({"ctl_privkey": "b.key", "ctl_cert": "a.pem"}, "ctl_cert: "),
        ({"ctl_privkey": "locked.key", "ctl_cert": "a.pem"}, "ctl_cert: "),
        ({"ctl_privkey": "a.key", "ctl_cert": "a.pem", "ca_certs": "text"}, "ca_certs: "),
        ({"ctl_privkey": "a.key", "ctl_cert": "a.pem", "ca_certs": "."}, "ca_certs: there is no"),
    ],
)
def test_without_usable_files_for_tls_it_does_not_start(
    tmp_path: Path, files: Path, tls: dict[str, str], fault: str
) -> None:
    """Above all, it does not start without TLS."""
    lines = "".join(f"{key} = {files / name}\n" for key, name in tls.items())
    [line] = faults(tmp_path, f"[DEFAULT]\n{lines}[openflow]\nenabled = true\n")
    assert line.startswith(f"[DEFAULT] {fault}")


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("[DEFAULT]\nofp_tcp_listen_port = 8080\n", "[DEFAULT] wsapi_port"),
        ("[DEFAULT]\nwsapi_port = 6653\n", "[DEFAULT] wsapi_port"),
        ("[DEFAULT]\nwsapi_port = 6653\nofp_listen_host = 127.0.0.1\n", "[DEFAULT] wsapi_port"),
        ("[DEFAULT]\nofp_tcp_listen_port = 179\n", "[bgp] listen_port"),
        (
            "[DEFAULT]\nofp_listen_host = 10.0.0.1\nofp_tcp_listen_port = 179\n"
            "[bgp]\nlisten_addresses = 10.0.0.1\n",
            "[bgp] listen_port",
        ),
    ],
)
def test_its_port_is_nobody_elses(tmp_path: Path, text: str, other: str) -> None:
    [line] = faults(tmp_path, text + "[openflow]\nenabled = true\n")
    assert line.startswith("[DEFAULT] ofp_tcp_listen_port: ")
    assert line.endswith(f" is also {other}, on the same address")


@pytest.mark.parametrize(
    "text",
    [
        "[DEFAULT]\nofp_tcp_listen_port = 8080\nofp_listen_host = 10.0.0.1\n",
        "[DEFAULT]\nofp_tcp_listen_port = 8080\nofp_listen_host = ::1\n",
        "[DEFAULT]\nofp_tcp_listen_port = 179\n[bgp]\nenabled = false\n",
        "[DEFAULT]\nofp_tcp_listen_port = 179\n[bgp]\nlisten_addresses = none\n",
    ],
)
def test_the_same_port_on_another_address_is_its_own(tmp_path: Path, text: str) -> None:
    assert settings(tmp_path, text + "[openflow]\nenabled = true\n").openflow.enabled


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("datapaths", "leaf1"),
        ("datapaths", "00000000000000001"),
        ("virtual_mac", "01:00:5e:00:00:01"),
        ("virtual_mac", "00:00:00:00:00:00"),
        ("virtual_mac", "02:00"),
        ("gateways", "192.168.0.0/24"),
        ("gateways", "127.0.0.1"),
        ("gateways", "ff02::1"),
        ("base", "flood"),
        ("affinity", "yes"),
        ("buckets", "8"),
        ("buckets", "513"),
        ("probe_ms", "1"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path: Path, key: str, value: str) -> None:
    [line] = faults(tmp_path, f"[openflow]\n{key} = {value}\n")
    assert line.startswith(f"[openflow] {key}: ")


def test_it_is_for_a_central_instance(tmp_path: Path) -> None:
    text = "[porter]\nnode_name = n1\n[bgp]\nnext_hops = self\n[openflow]\nenabled = true\n"
    [line] = faults(tmp_path, text)
    assert line.startswith("[openflow] enabled: is for a central instance")
