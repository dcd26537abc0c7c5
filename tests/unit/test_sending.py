"""What is told of a path is what the export policy of a session sends."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from porter_ryu.domain.announcement import Advertisement, Announcement, NextHop, PathAttributes
from porter_ryu.domain.labels import EVERYTHING, parse_selector
from porter_ryu.domain.model import Family
from porter_ryu.domain.sending import PeerTerms, Sending
from porter_ryu.report_paths import attributes_text, path
from tests.unit.outbound_scene import POLICY

ATTRIBUTES = st.builds(
    PathAttributes,
    st.sampled_from([(), (1,), (1, 2)]),
    st.sampled_from([(), ((1, 2, 3),)]),
    st.none() | st.integers(0, 3),
    st.none() | st.integers(0, 3),
    st.integers(0, 2),
)
ADVERTISEMENTS = st.builds(
    Advertisement, st.frozensets(st.sampled_from(["a", "b"]), max_size=2), ATTRIBUTES
)
HOP = NextHop("n1", ip_address("192.0.2.11"), frozenset([("rack", "a")]))
SELECTORS = st.sampled_from([EVERYTHING, parse_selector("rack=a"), parse_selector("rack=b")])


@given(
    st.booleans(),
    ATTRIBUTES,
    ATTRIBUTES,
    st.lists(ADVERTISEMENTS, max_size=3).map(tuple),
    SELECTORS,
)
def test_it_is_what_a_session_sends(internal, group, own, advertisements, selector) -> None:  # type: ignore[no-untyped-def]
    announcement = Announcement(HOP, own, advertisements=advertisements)
    policy = replace(POLICY, internal=internal, attributes=group, selector=selector, peer="a")
    told = PeerTerms("a", internal, group, selector).sent(announcement)
    admitted = list(policy.admitted([announcement], Family.IPV4))
    assert bool(admitted) == (told is not None)
    for path_, address in admitted:
        sent = policy.path_attributes(address, path_.attributes)
        assert told is not None
        assert (sent.communities, sent.large_communities) == (
            told.communities,
            told.large_communities,
        )
        assert (sent.med, sent.local_pref) == (told.med, told.local_pref)
        assert len(sent.as_path) == (0 if internal else 1 + told.as_path_prepend)


def test_the_text_has_what_each_peer_is_sent_and_nobody_else() -> None:
    sending = Sending([
        PeerTerms("in", internal=True, attributes=PathAttributes(med=9)),
        PeerTerms("out", attributes=PathAttributes(med=9)),
        PeerTerms("other", selector=parse_selector("rack=b")),
    ])  # fmt: skip
    entries = (
        Advertisement(frozenset(["in", "out", "ghost"]), PathAttributes(local_pref=200, med=5)),
        Advertisement(frozenset(["out"]), PathAttributes(med=7, as_path_prepend=1)),
    )
    told = attributes_text(path(Announcement(HOP, advertisements=entries), None, sending))
    assert told == "to in: local-pref 200, MED 5; to out: MED 5, AS path prepended 1 times"
    told = attributes_text(path(Announcement(HOP), None, sending))
    assert told == "to in, out: MED 9"
    same = Sending([PeerTerms("in"), PeerTerms("out")])
    assert attributes_text(path(Announcement(HOP, PathAttributes(med=3)), None, same)) == "MED 3"
    assert attributes_text(path(Announcement(HOP), None, same)) == ""
