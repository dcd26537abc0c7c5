"""The probes of [liveness] probes, as values and as text."""

from __future__ import annotations

import enum
import re

from msgspec import Struct

from porter_ryu.domain.text import quoted

_FORM = "icmp, tcp:PORT or http:PORT/PATH"
PROBES_MAX = 8
_PORT_MAX = 65535
_PATH_MAX_CHARACTERS = 200
_PORT = re.compile(r"[0-9]{1,5}")
_PATH = re.compile(r"/[!-~]*")  # RFC 3986: no space, no control character, ASCII


class ProbeKind(enum.Enum):
    """How a node is asked: ICMP echo, a TCP connection, or a GET over HTTP."""

    ICMP = "icmp"
    TCP = "tcp"
    HTTP = "http"


class Probe(Struct, frozen=True):
    """One probe; `port` is 0 for ICMP, `path` empty but for HTTP."""

    kind: ProbeKind
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.port}{self.path}" if self.port else self.kind.value


class LivenessSettings(Struct, frozen=True):
    """[liveness]: no probes: nodes are not asked.  `interval` is in seconds."""

    probes: tuple[Probe, ...] = ()
    interval: float = 0.25
    multiplier: int = 3


def parse_probe(text: str) -> Probe:
    """The probe that a text describes; raises ValueError, which says what is wrong."""
    if not text:
        raise ValueError("has an empty entry")
    kind, colon, rest = text.partition(":")
    if text == ProbeKind.ICMP.value:
        return Probe(ProbeKind.ICMP)
    if kind not in (ProbeKind.TCP.value, ProbeKind.HTTP.value) or not colon:
        raise ValueError(f"{quoted(text)} is not {_FORM}")
    port_text, slash, path = rest.partition("/")
    if not _PORT.fullmatch(port_text) or not 0 < int(port_text) <= _PORT_MAX:
        raise ValueError(f"{quoted(text)}: the port must be a number from 1 to {_PORT_MAX}")
    port = int(port_text)
    if kind == ProbeKind.TCP.value:
        if slash:
            raise ValueError(f"{quoted(text)}: a TCP probe has no path")
        return Probe(ProbeKind.TCP, port)
    if not slash:
        raise ValueError(f"{quoted(text)} has no path; write http:{port}/healthz, for example")
    if not _PATH.fullmatch(f"/{path}"):
        raise ValueError(f"{quoted(text)}: the path must be printable ASCII without spaces")
    if len(path) >= _PATH_MAX_CHARACTERS:
        raise ValueError(
            f"{quoted(text)}: the path is longer than {_PATH_MAX_CHARACTERS} characters"
        )
    return Probe(ProbeKind.HTTP, port, f"/{path}")
