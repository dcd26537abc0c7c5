"""The probes: their texts, the packets of ICMP, and what counts as an answer over HTTP."""

from __future__ import annotations

import re
import struct

import pytest

from porter_ryu.liveness import echo, http_answer
from porter_ryu.liveness.probes import Probe, ProbeKind, parse_probe

DATA = b"\x01\x02\x03\x04secretly"


@pytest.mark.parametrize(
    ("text", "probe"),
    [
        ("icmp", Probe(ProbeKind.ICMP)),
        ("tcp:10250", Probe(ProbeKind.TCP, 10250)),
        ("tcp:1", Probe(ProbeKind.TCP, 1)),
        ("http:10256/healthz", Probe(ProbeKind.HTTP, 10256, "/healthz")),
        ("http:65535/", Probe(ProbeKind.HTTP, 65535, "/")),
        ("http:80/a/b?c=d&e:f", Probe(ProbeKind.HTTP, 80, "/a/b?c=d&e:f")),
    ],
)
def test_a_probe_is_read_and_written(text: str, probe: Probe) -> None:
    assert parse_probe(text) == probe
    assert str(probe) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has an empty entry"),
        ("ping", "'ping' is not icmp, tcp:PORT or http:PORT/PATH"),
        ("ICMP", "'ICMP' is not icmp, tcp:PORT or http:PORT/PATH"),
        ("icmp:1", "'icmp:1' is not icmp, tcp:PORT or http:PORT/PATH"),
        ("icmp/", "'icmp/' is not icmp, tcp:PORT or http:PORT/PATH"),
        ("tcp", "'tcp' is not icmp, tcp:PORT or http:PORT/PATH"),
        ("udp:53", "'udp:53' is not icmp, tcp:PORT or http:PORT/PATH"),
        ("https:443/", "'https:443/' is not icmp, tcp:PORT or http:PORT/PATH"),
        ("tcp:", "'tcp:': the port must be a number from 1 to 65535"),
        ("tcp:0", "'tcp:0': the port must be a number from 1 to 65535"),
        ("tcp:65536", "'tcp:65536': the port must be a number from 1 to 65535"),
        ("tcp:-1", "'tcp:-1': the port must be a number from 1 to 65535"),
        ("tcp:٣", "'tcp:٣': the port must be a number from 1 to 65535"),
        ("tcp: 80", "'tcp: 80': the port must be a number from 1 to 65535"),
        ("http://host:80/", "'http://host:80/': the port must be a number from 1 to 65535"),
        ("tcp:80/x", "'tcp:80/x': a TCP probe has no path"),
        ("http:80", "'http:80' has no path; write http:80/healthz, for example"),
        ("http:80/a b", "'http:80/a b': the path must be printable ASCII without spaces"),
        ("http:80/ä", "'http:80/ä': the path must be printable ASCII without spaces"),
        (
            "http:80/\r\nX: y",
            r"'http:80/\r\nX: y': the path must be printable ASCII without spaces",
        ),
    ],
)
def test_a_wrong_probe_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_probe(text)


def test_a_path_has_a_limit() -> None:
    assert parse_probe(f"http:80/{'x' * 199}")
    with pytest.raises(ValueError, match="the path is longer than 200 characters"):
        parse_probe(f"http:80/{'x' * 200}")


def internet_checksum(packet: bytes) -> int:
    """The sum over a packet with its checksum, which is 0xffff if that is right."""
    total: int = sum(struct.unpack(f">{len(packet) // 2}H", packet))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("sequence", [1, 0xFFFF, 0x10000, 0x12345678])
def test_an_echo_request(sequence: int) -> None:
    packet = echo.request(4, 0x1234, sequence, DATA)
    assert packet[:2] == b"\x08\x00"
    assert struct.unpack_from(">HH", packet, 4) == (0x1234, sequence & 0xFFFF)
    assert packet[8:] == DATA
    assert internet_checksum(packet) == 0xFFFF
    assert echo.request(6, 0, sequence, DATA)[0] == 128


def test_only_an_echo_reply_of_our_form_is_one() -> None:
    reply = b"\x00\x00\x00\x00\x12\x34\x00\x07" + DATA
    assert echo.reply(4, reply, with_ip_header=False) == (7, DATA)
    assert echo.reply(4, b"\x45" + bytes(19) + reply, with_ip_header=True) == (7, DATA)
    assert echo.reply(4, b"\x46" + bytes(23) + reply, with_ip_header=True) == (7, DATA)
    assert echo.reply(6, b"\x81" + reply[1:], with_ip_header=False) == (7, DATA)
    for other in (
        b"",
        reply[:-1],
        reply + b"x",
        b"\x08" + reply[1:],
        b"\x00\x01" + reply[2:],
        b"\x81" + reply[1:],
    ):
        assert echo.reply(4, other, with_ip_header=False) is None
    for short in (b"", b"\x4f" * 19, b"\x45" + bytes(19), b"\x4f" + bytes(40)):
        assert echo.reply(4, short, with_ip_header=True) is None


@pytest.mark.parametrize("last", [1, 5, 0xFFFF, 0x10000, 0x1FFFF, 0x123456])
def test_the_number_of_a_reply_is_completed(last: int) -> None:
    assert echo.newest(last & 0xFFFF, last) == last
    assert echo.newest((last - 1) & 0xFFFF, last) == last - 1
    assert echo.newest((last + 1) & 0xFFFF, last) == last + 1 - 0x10000, "never in the future"


@pytest.mark.parametrize(
    ("octets", "objection"),
    [
        (b"", None),
        (b"HTTP/1.1 200", None),
        (b"HTTP/1.1 200 OK\r\n", ""),
        (b"HTTP/1.1 200\r\n", ""),
        (b"HTTP/1.0 204 No Content\r\nbody", ""),
        (b"HTTP/1.1 299 \r\n", ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n", "status 503"),
        (b"HTTP/1.1 301 Moved\r\n", "status 301"),
        (b"HTTP/1.1 404 x", "status 404"),
        (b"HTTP/1.1 100 Continue\r\n", "status 100"),
        (b"HTTP/2.0 200 OK\r\n", "not an HTTP response"),
        (b"HTTP/1.1 2000 OK", "not an HTTP response"),
        (b"SSH-2.0-OpenSSH_9.2", "not an HTTP response"),
        (b"\x15\x03\x01\x00\x02\x02" + bytes(20), "not an HTTP response"),
    ],
)
def test_what_is_an_answer_over_http(octets: bytes, objection: str | None) -> None:
    assert http_answer.objection(octets) == objection


def test_a_request_over_http() -> None:
    text = http_answer.request("2001:db8::1", 10256, "/healthz").decode()
    assert text.startswith("GET /healthz HTTP/1.1\r\nHost: [2001:db8::1]:10256\r\n")
    assert text.endswith("\r\nConnection: close\r\n\r\n")
    assert "Host: 10.0.0.1:80\r\n" in http_answer.request("10.0.0.1", 80, "/").decode()
