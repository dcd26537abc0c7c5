"""Any input of a peer is accepted or refused with a NOTIFICATION; nothing else is raised.

`EXAMPLES=100000` makes a long run.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from porter_ryu.bgp.bfd import packet as bfd_packet
from porter_ryu.bgp.protocol.inbound import check_update
from porter_ryu.bgp.protocol.notification import BgpError, Notification
from porter_ryu.bgp.protocol.open_message import decode_open, encode_open
from porter_ryu.bgp.protocol.wire import (
    MessageType,
    decode_refresh_request,
    message,
    split,
)
from tests.unit.messages import OF_EVERYTHING

MANY = settings(max_examples=int(os.environ.get("EXAMPLES", "500")), deadline=None)
OURS = encode_open(OF_EVERYTHING)


def refused(code: int, decode: Callable[[], object]) -> Notification | None:
    """The NOTIFICATION of this code that `decode` raises; None if it accepts its input."""
    try:
        decode()
    except BgpError as error:
        notification = error.notification
    else:
        return None
    assert notification.code == code
    return notification


@MANY
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_any_octets_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    pieces = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    buffer, read = bytearray(), 0
    for start, end in itertools.pairwise(pieces):
        buffer += data[start:end]
        sizes: list[int] = []
        if refused(1, lambda: sizes.extend(19 + len(body) for _, body in split(buffer))):  # noqa: B023
            return
        read += sum(sizes)
    assert read + len(buffer) == len(data)


@MANY
@given(st.integers(0, len(OURS) - 20), st.integers(0, 255), st.binary(max_size=20))
def test_a_damaged_open(place: int, octet: int, tail: bytes) -> None:
    body = bytearray(OURS[19:])
    body[place] = octet
    refused(2, lambda: decode_open(bytes(body) + tail))


@MANY
@given(st.binary(min_size=4, max_size=200))
def test_any_update(body: bytes) -> None:
    refused(3, lambda: check_update(body))


@MANY
@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=40)), max_size=6
    ),
    st.integers(-3, 3),
)
def test_an_update_of_whole_attributes_with_a_wrong_length(
    attributes: list[tuple[int, int, bytes]], off: int
) -> None:
    raw = b"".join(
        bytes((flags & 0xEF, kind, len(value))) + value for flags, kind, value in attributes
    )
    body = b"\0\0" + max(0, len(raw) + off).to_bytes(2, "big") + raw
    refused(3, lambda: check_update(body))


@MANY
@given(st.binary(max_size=12))
def test_any_route_refresh(body: bytes) -> None:
    notification = refused(7, lambda: decode_refresh_request(body))
    assert notification is None or notification.data == message(MessageType.ROUTE_REFRESH, body)


@MANY
@given(st.binary(max_size=64))
def test_any_bfd_packet(data: bytes) -> None:
    packet = bfd_packet.decode(data)
    assert packet is None or (packet.my_discriminator and packet.multiplier)
