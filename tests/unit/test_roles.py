"""BGP roles (RFC 9234): which roles go together, in octets as a peer sends them."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from porter_ryu.bgp.offer import export_policy, our_open
from porter_ryu.bgp.protocol.fsm import Fsm, State, Step
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.open_message import Capability, encode_open
from porter_ryu.bgp.protocol.update import announce
from porter_ryu.bgp.protocol.wire import MessageType, message
from porter_ryu.domain.peering import BgpRole
from tests.unit.peers import peer, speaker

MISMATCH = Notification(2, 11)
PROVIDER, RS, RS_CLIENT, CUSTOMER, PEER, UNASSIGNED = b"\0", b"\1", b"\2", b"\3", b"\4", b"\5"
ONLY_TO_CUSTOMER = "c02304" + "0000fde8"


def open_with(*values: bytes) -> bytes:
    """The OPEN of a peer with these values of role capabilities."""
    capabilities = b"".join(
        struct.pack(">BB", Capability.ROLE, len(value)) + value for value in values
    )
    parameter = struct.pack(">BB", 2, len(capabilities)) + capabilities if values else b""
    head = struct.pack(">BHHIB", 4, 65001, 90, int(ip_address("192.0.2.1")), len(parameter))
    return message(MessageType.OPEN, head + parameter)


def meets(role: BgpRole | None, *values: bytes) -> tuple[Fsm, Step]:
    """What a session with this role of ours makes of that OPEN."""
    ours = our_open(peer(role=role), speaker(), restarting=False)
    fsm = Fsm(65001)
    assert fsm.start(ours, 0.0).send == encode_open(ours)
    return fsm, fsm.receive(open_with(*values), 0.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "name"),
    [
        (BgpRole.PROVIDER, CUSTOMER, 3),
        (BgpRole.CUSTOMER, PROVIDER, 0),
        (BgpRole.PEER, PEER, 4),
    ],
)
def test_the_session_comes_up_if_the_roles_correspond(
    ours: BgpRole, theirs: bytes, name: int
) -> None:
    fsm, step = meets(ours, theirs)
    assert step.open_received
    assert fsm.negotiated.peer_role == name
    fsm, step = meets(ours, theirs, theirs, theirs)
    assert step.open_received, "the same role several times is one role"


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (BgpRole.PROVIDER, PROVIDER, "our role is provider, so the peer's must be customer, but it "
         "says provider"),
        (BgpRole.PROVIDER, PEER, "must be customer, but it says peer"),
        (BgpRole.CUSTOMER, CUSTOMER, "must be provider, but it says customer"),
        (BgpRole.CUSTOMER, RS, "must be provider, but it says rs"),
        (BgpRole.PEER, RS_CLIENT, "must be peer, but it says rs-client"),
        (BgpRole.PEER, UNASSIGNED, "must be peer, but it says 5"),
        (BgpRole.PEER, b"\xff", "must be peer, but it says 255"),
    ],
)  # fmt: skip
def test_roles_that_do_not_correspond_end_the_session(
    ours: BgpRole, theirs: bytes, words: str
) -> None:
    fsm, step = meets(ours, theirs)
    assert step.end is not None
    assert (step.end.sent, fsm.state) == (MISMATCH, State.IDLE)
    assert words in step.end.text


@pytest.mark.parametrize("ours", BgpRole)
def test_several_different_roles_are_a_mismatch_although_one_corresponds(ours: BgpRole) -> None:
    _, step = meets(ours, PROVIDER, CUSTOMER, PEER)
    assert step.end is not None
    assert step.end.sent == MISMATCH
    assert "it says provider and customer and peer" in step.end.text


@pytest.mark.parametrize("values", [(), (b"",), (b"\0\0",), (b"\3\3\3", b"")])
@pytest.mark.parametrize("ours", BgpRole)
def test_a_peer_without_a_role_or_with_a_malformed_one_is_accepted(
    ours: BgpRole, values: tuple[bytes, ...]
) -> None:
    fsm, step = meets(ours, *values)
    assert step.open_received
    assert fsm.negotiated.peer_role is None


@pytest.mark.parametrize("values", [(PROVIDER,), (UNASSIGNED,), (CUSTOMER, PEER)])
def test_without_a_role_of_ours_no_role_is_sent_and_none_is_checked(
    values: tuple[bytes, ...],
) -> None:
    fsm, step = meets(None, *values)
    assert step.open_received
    assert fsm.negotiated.peer_role is None
    assert our_open(peer(), speaker(), restarting=False).roles == frozenset()


@given(
    ours=st.sampled_from([None, *BgpRole]),
    values=st.lists(st.binary(max_size=3), max_size=40),
)
@settings(max_examples=300, deadline=None)
def test_any_role_capabilities_lead_to_a_session_or_to_a_role_mismatch(
    ours: BgpRole | None, values: list[bytes]
) -> None:
    said = {value for value in values if len(value) == 1}
    counterpart = {
        BgpRole.PROVIDER: CUSTOMER, BgpRole.CUSTOMER: PROVIDER, BgpRole.PEER: PEER, None: None
    }[ours]  # fmt: skip
    _, step = meets(ours, *values)
    if ours is None or said <= {counterpart}:
        assert step.open_received
    else:
        assert step.end is not None
        assert step.end.sent == MISMATCH


@pytest.mark.parametrize(
    ("role", "value"), [(BgpRole.PROVIDER, 0), (BgpRole.CUSTOMER, 3), (BgpRole.PEER, 4)]
)
def test_our_role_is_a_capability_of_one_octet(role: BgpRole, value: int) -> None:
    octets = encode_open(our_open(peer(role=role), speaker(), restarting=False))
    assert bytes((9, 1, value)) in octets
    plain = encode_open(our_open(peer(), speaker(), restarting=False))
    assert len(octets) == len(plain) + 3


@pytest.mark.parametrize(
    ("role", "marked"),
    [(BgpRole.PROVIDER, True), (BgpRole.PEER, True), (BgpRole.CUSTOMER, False), (None, False)],
)
@pytest.mark.parametrize("prefix", ["203.0.113.1/32", "2001:db8:7::1/128"])
def test_a_route_to_a_customer_or_a_peer_goes_only_to_customers_from_there(
    role: BgpRole | None, marked: bool, prefix: str
) -> None:
    network = ip_network(prefix)
    policy = export_policy(peer(role=role), speaker(), _Session(), None)  # type: ignore[arg-type]
    hop = ip_address("192.0.2.11" if network.version == 4 else "2001:db8::11")
    (octets,) = announce([(network, {None: policy.path_attributes(hop)})])
    assert (ONLY_TO_CUSTOMER in octets.hex()) is marked
    old = replace(policy, four_octet_as=False, local_as=70000)
    (octets,) = announce([(network, {None: old.path_attributes(hop)})])
    assert ("c02304" + "00011170" in octets.hex()) is marked, "four octets, whatever the peer reads"


class _Session:
    """What two OPENs agreed on."""

    families = add_path = frozenset({4})
    four_octet_as = ipv4_over_ipv6 = True
    local_name = ("192.0.2.200", 179)
    max_message_length = 4096
