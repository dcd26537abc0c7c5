"""Why a session was not sent a prefix: the export policy, asked for its reason.  Pure."""

from __future__ import annotations

from collections.abc import Collection, Set

from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.domain.announcement import Announcement
from porter_ryu.domain.model import Address, Network


def unsent(
    policy: ExportPolicy,
    announcements: Collection[Announcement],
    prefix: Network,
    withheld: Set[Address | Network],
) -> str:
    """One sentence about a prefix of which an Established session has no path.  `withheld`: the
    prefixes and next hops that the peer refused."""
    family = prefix.version
    if not announcements:
        return "nothing is announced for it"
    if all(path.elsewhere for path in announcements):
        return "another instance announces it"
    if family not in policy.families:
        return f"the session does not carry IPv{family}: both sides must offer it"
    if prefix in withheld:
        return "the peer refused this prefix; it is announced again later"
    if not any(policy.selects(path.next_hop) for path in announcements):
        return "its node_selector selects none of the next hops"
    admitted = [address for _, address in policy.admitted(announcements, family)]
    if not admitted:
        named = (a for path in announcements for a in path.advertisements)
        if not any(a.names(policy.peer) for a in named) and all(
            path.advertisements for path in announcements
        ):
            return "no entry of spec.advertisements that selects a next hop names it"
        return f"no next hop that it may get has an IPv{family} address"
    if withheld >= set(admitted):
        return "the peer refused all its next hops; they are announced again later"
    return "it has not been sent yet"
