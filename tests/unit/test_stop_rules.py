"""Which stop requests are accepted."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from porter_ryu import control_token
from porter_ryu.http.hosts import names_loopback
from porter_ryu.http.stop_rules import StopRequest, refusal

TOKEN = "s3cret"
GOOD = StopRequest(
    ip_address("127.0.0.1"), ip_address("127.0.0.1"), "127.0.0.1:8080", (), "Bearer s3cret"
)


def status(**fields: Any) -> int | None:
    """The status code for the good request with these changes; None if it is accepted."""
    found = refusal(replace(GOOD, **fields), TOKEN)
    return found[0].value if found is not None else None


def test_a_request_with_the_token_is_accepted() -> None:
    assert status() is None
    assert status(authorization="bearer  s3cret ") is None
    assert status(local=ip_address("::1"), remote=ip_address("::1"), host="[::1]:8080") is None


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer s3cre",
        "Bearer s3cret1",
        "Basic s3cret",
        "s3cret",
        "Bearer ä",
    ],
)
def test_a_wrong_token_is_401(authorization: str) -> None:
    assert status(authorization=authorization) == 401


@pytest.mark.parametrize("origin", ["null", "http://127.0.0.1:8080", "https://evil.example", ""])
def test_a_request_with_an_origin_is_refused(origin: str) -> None:
    assert status(origins=(origin,)) == 403


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("localhost", True),
        ("LocalHost:1", True),
        ("127.0.0.1", True),
        ("127.8.7.6:65535", True),
        ("[::1]", True),
        ("[0:0::1]:8080", True),
        ("", False),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("192.168.1.1:8080", False),
        ("[2001:db8::1]", False),
        ("::1", False),
        ("127.0.0.1:8080, evil.example", False),
        ("user@localhost", False),
        ("127.1", False),
        ("0x7f000001", False),
        ("[::1", False),
        ("localhost:", False),
    ],
)
def test_the_host_must_name_loopback(host: str, good: bool) -> None:
    """A name that resolves to loopback (DNS rebinding) does not count."""
    assert names_loopback(host) is good
    assert status(host=host) == (None if good else 403)


def test_only_over_loopback() -> None:
    assert status(remote=ip_address("192.168.1.2")) == 403
    assert status(local=ip_address("203.0.113.1")) == 403


def test_without_a_token_all_requests_are_refused() -> None:
    found = refusal(replace(GOOD, authorization="Bearer "), "")
    assert found is not None
    assert found[0] == 403


def test_the_token_is_readable_only_by_its_user(tmp_path: Path) -> None:
    state_dir = str(tmp_path / "state")
    token = control_token.create(state_dir)
    path = os.path.join(state_dir, "control.token")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert control_token.read(path) == token
    assert control_token.create(state_dir) != token


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "control.token").symlink_to(target)
    control_token.create(str(tmp_path))
    assert target.read_text() == "mine"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no token"),
        (b"\n", "no token"),
        (b"\xff\xfe", "no token"),
        (b"a b", "no token"),
        (b"x" * 300, "is larger than 256 bytes"),
        (b"a\x1bb", "no token"),
    ],
)
def test_a_file_without_a_token_raises_value_error(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "control.token"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=why):
        control_token.read(str(path))
