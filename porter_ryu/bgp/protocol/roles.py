"""BGP roles (RFC 9234): their values, which of them go together, and which routes are marked.

A role says what its sender's AS is to the other AS.  A session comes up only if the roles of both
sides correspond, so that neither side has misunderstood the relationship.
"""

from __future__ import annotations

from porter_ryu.bgp.protocol.notification import BgpError
from porter_ryu.domain.peering import BgpRole

ROLE_VALUES = {BgpRole.PROVIDER: 0, BgpRole.CUSTOMER: 3, BgpRole.PEER: 4}
"""The value of each role that we can have in its capability (RFC 9234, 4.1)."""

_NAMES = {0: "provider", 1: "rs", 2: "rs-client", 3: "customer", 4: "peer"}
_COUNTERPARTS = {0: 3, 1: 2, 2: 1, 3: 0, 4: 4}  # RFC 9234, 4.2, table 2
_OPEN_ERROR, _ROLE_MISMATCH = 2, 11


def role_name(value: int) -> str:
    """The name of a role as RFC 9234 has it, or its number if it is not assigned."""
    return _NAMES.get(value, str(value))


def check_roles(ours: frozenset[int], theirs: frozenset[int]) -> None:
    """Checks the role values in the OPEN of a peer against ours; raises BgpError, Role Mismatch
    (RFC 9234, 4.2).

    A peer without a role is accepted.  Without a role of ours, that of the peer is ignored.
    """
    if not ours or not theirs:
        return
    (role,) = ours
    expected = _COUNTERPARTS[role]
    if theirs != {expected}:
        said = " and ".join(role_name(value) for value in sorted(theirs))
        raise BgpError(
            _OPEN_ERROR,
            _ROLE_MISMATCH,
            why=f"role mismatch: our role is {role_name(role)}, so the peer's must be "
            f"{role_name(expected)}, but it says {said}",
        )


def marks_routes(role: BgpRole | None) -> bool:
    """Whether routes that we originate get the Only to Customer attribute in this role: those that
    are sent to a customer or a peer (RFC 9234, 5)."""
    return role in (BgpRole.PROVIDER, BgpRole.PEER)
