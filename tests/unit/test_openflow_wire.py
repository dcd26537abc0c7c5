"""Octets of OpenFlow: what is written is read by Ryu, and what cannot be read is a ValueError."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable
from ipaddress import ip_address

import pytest
from ryu.ofproto import ofproto_v1_5, ofproto_v1_5_parser

from porter_ryu.openflow import oxm, replies, wire


def fields_by_ryu(match: bytes) -> dict[str, object]:
    """The fields of a match as Ryu reads them."""
    return dict(ofproto_v1_5_parser.OFPMatch.parser(wire.encoded_match(match), 0).items())


def test_ryu_reads_our_matches() -> None:
    match = (
        oxm.ETH_DST.is_(b"\2\0\0\0\0\1")
        + oxm.ETH_TYPE.is_(0x0800)
        + oxm.IPV4_DST.is_(ip_address("203.0.113.1"))
        + oxm.IP_PROTO.is_(6)
        + oxm.TCP_DST.is_(80)
    )
    assert fields_by_ryu(match) == {
        "eth_dst": "02:00:00:00:00:01",
        "eth_type": 0x0800,
        "ipv4_dst": "203.0.113.1",
        "ip_proto": 6,
        "tcp_dst": 80,
    }
    assert fields_by_ryu(oxm.NODE_REGISTER.is_(7) + oxm.CT_MARK.is_(9)) == {
        "reg0": 7,
        "ct_mark": 9,
    }
    assert fields_by_ryu(oxm.CT_STATE.masked(0x20, 0x31)) == {"ct_state": (0x20, 0x31)}


def test_ryu_reads_our_actions() -> None:
    actions = (
        oxm.set_field(oxm.ETH_DST, b"\2\0\0\0\0\1")
        + oxm.move(wire.VERSION_13, oxm.ARP_SPA, oxm.ARP_TPA)
        + oxm.resubmit(205)
        + oxm.group(7)
        + oxm.commit(9, 205, oxm.move(wire.VERSION_13, oxm.NODE_REGISTER, oxm.CT_MARK))
        + oxm.output(3)
    )
    read, offset = [], 0
    while offset < len(actions):
        action = ofproto_v1_5_parser.OFPAction.parser(actions, offset)
        read.append(action)
        offset += action.len
    names = [type(action).__name__ for action in read]
    assert names == [
        "OFPActionSetField",
        "NXActionRegMove",
        "NXActionResubmitTable",
        "OFPActionGroup",
        "NXActionCT",
        "OFPActionOutput",
    ]
    assert (read[1].src_field, read[1].dst_field, read[1].n_bits) == ("arp_spa", "arp_tpa", 32)
    assert (read[4].zone_ofs_nbits, read[4].recirc_table) == (9, 205)
    assert read[4].actions[0].dst_field == "ct_mark"


def test_a_group_is_read_as_it_was_written() -> None:
    buckets = [oxm.set_field(oxm.NODE_REGISTER, n) + oxm.resubmit(205) for n in (1, 2, 2)]
    body = wire.group_mod(wire.VERSION_15, wire.GROUP_ADD, 7, buckets)
    length = struct.unpack_from("!H", body, 8)[0]
    array, properties = body[16 : 16 + length], body[16 + length :]
    described = struct.pack("!HBxIH6x", 16 + len(array) + len(properties), 1, 7, length)
    [group] = replies.groups(wire.VERSION_15, described + array + properties)
    assert group == replies.GroupOnSwitch(7, tuple(buckets), True)
    plain = struct.pack("!HBxIH6x", 16 + len(array), 1, 7, length) + array
    parsed = ofproto_v1_5_parser.OFPGroupDescStats.parser(plain, 0)
    assert [bucket.bucket_id for bucket in parsed.buckets] == [0, 1, 2]
    assert parsed.type == ofproto_v1_5.OFPGT_SELECT


def test_a_flow_of_openflow_13_is_read() -> None:
    match, instructions = oxm.NODE_REGISTER.is_(7), wire.apply(oxm.output(3))
    encoded = wire.encoded_match(match)
    head = struct.pack(
        "!HBxIIHHHHxxxxQQQ",
        *(48 + len(encoded) + len(instructions), 205, 1, 2, 3, 0, 0, 0, 99, 1000, 64),
    )
    [flow] = replies.flows(wire.VERSION_13, head + encoded + instructions)
    assert flow == replies.FlowOnSwitch(205, 3, 99, 1000, match, instructions)
    assert [oxm.output_port(action) for action in flow.actions] == [3]


READERS: list[Callable[[bytes], Iterable[object]]] = [
    lambda data: list(replies.flows(wire.VERSION_13, data)),
    lambda data: list(replies.flows(wire.VERSION_15, data)),
    lambda data: list(replies.groups(wire.VERSION_13, data)),
    lambda data: list(replies.groups(wire.VERSION_15, data)),
    lambda data: [replies.packet_in(data)],
    lambda data: [replies.refusal(data)],
    lambda data: [replies.multipart(data)],
    lambda data: [a for f in replies.flows(wire.VERSION_13, data) for a in f.actions],
]


@pytest.mark.parametrize("read", READERS)
def test_octets_that_mean_nothing_are_a_value_error(
    read: Callable[[bytes], Iterable[object]],
) -> None:
    random_ = random.Random(7)
    for _ in range(3000):
        size = random_.randrange(120)
        data = bytearray(random_.randbytes(size))
        if size > 1:
            data[:2] = random_.choice([size, size // 2, 8, 0]).to_bytes(2, "big")
        try:
            list(read(bytes(data)))
        except ValueError:
            continue


def test_a_refusal_has_the_words_of_the_specification() -> None:
    assert replies.refusal(bytes([0, 5, 0, 1])).text == (
        "flow refused (type 5, code 1): the table is full"
    )
    assert replies.refusal(bytes([0, 99, 0, 1])).text == "error type 99 (type 99, code 1)"


def port_15(properties: bytes, length: int | None = None) -> bytes:
    """A port of OpenFlow 1.5.1, 7.2.1."""
    size = 40 + len(properties) if length is None else length
    return struct.pack("!IHH", 1, size, 0) + bytes(32) + properties


ETHERNET = struct.pack("!HHI", 0, 32, 0) + bytes(24)
BROKEN_PORTS = {
    "of 1.3, cut short": (wire.VERSION_13, bytes(63)),
    "a length of 0": (wire.VERSION_15, port_15(b"", 0)),
    "a length beyond the end": (wire.VERSION_15, port_15(b"", 41)),
    "a property with a length of 0": (wire.VERSION_15, port_15(bytes(8))),
    "a property without a length": (wire.VERSION_15, port_15(b"\0\0\0")),
    "half of a port": (wire.VERSION_15, port_15(ETHERNET) + bytes(5)),
}


@pytest.mark.parametrize("case", BROKEN_PORTS)
def test_a_list_of_ports_that_cannot_be_followed_is_refused(case: str) -> None:
    with pytest.raises(ValueError, match=r"octets|length"):
        replies.check_ports(*BROKEN_PORTS[case])


def test_a_list_of_ports_is_followed_to_its_end() -> None:
    replies.check_ports(wire.VERSION_13, bytes(128))
    replies.check_ports(wire.VERSION_15, port_15(ETHERNET) * 3)
    replies.check_ports(wire.VERSION_15, b"")
