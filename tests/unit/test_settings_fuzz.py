"""Whatever stands in a file, it is settings or lines about what is wrong, and never a traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from porter_ryu.options import GROUPS, PEER
from porter_ryu.settings import Settings, read
from porter_ryu.settings_file import BadConfigurationError

KEYS = sorted({option.name for options in (*GROUPS.values(), PEER) for option in options})
GROUP_LINES = ("[bgp]", "[peer:a]", "[porter]", "[DEFAULT]", "[kubernetes]", "[bound_ip]", "[\x1b]")
KEY_LINES = (
    "peers = a",
    "address = 192.0.2.1",
    "remote_as = 1",
    "wsapi_host = ::1",
    "log_file = $x",
)
SCRAPS = ("$", "=", "[", "]", "#", "\0", "\x1b", "é", "\r\n", "\n", " more\n", "\x1b]0;x\a = 1\n")
PIECES = st.sampled_from([*(f"{line}\n" for line in (*GROUP_LINES, *KEY_LINES)), *SCRAPS])
VALUES = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.sampled_from(["true", "$a", "${", "${a.b}", "$$", "a,b", ",", "::", "fe80::1%x", "()", "'"]),
)
LINES = st.builds("{} = {}\n".format, st.sampled_from(KEYS), VALUES)


def outcome(octets: bytes) -> Settings | BadConfigurationError:
    """What comes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "porter.conf")
        path.write_bytes(octets)
        try:
            return read([str(path)])
        except BadConfigurationError as error:
            return error


def check(octets: bytes) -> None:
    """A fault is one line, printable and not endless."""
    found = outcome(octets)
    for fault in found.faults if isinstance(found, BadConfigurationError) else ():
        assert str(fault).isprintable(), fault
        assert len(str(fault)) < 600, fault


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
@example(b"[bgp]\npeers = \xff\n")
def test_any_octets(octets: bytes) -> None:
    check(octets)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PIECES, LINES), max_size=30).map("".join))
@example("[bgp]\npeers = a\n[peer:a]\naddress = $address\nremote_as = $remote_as\n")
@example("[porter]\nannotation_values = $annotation_values\n")
@example("[bgp]\npeers = $peers\n")
@example("[bgp]\npeers = a\n[peer:a]\ncommunities = $communities\nfamilies = ${bgp.peers}\n")
def test_anything_that_looks_like_a_configuration(text: str) -> None:
    check(text.encode("utf-8", "replace"))
