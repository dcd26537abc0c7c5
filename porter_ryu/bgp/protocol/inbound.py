"""What a peer announces is looked at only for its framing: nothing of it is decoded or kept.

With nothing kept, "treat as withdraw" and "attribute discard" of RFC 7606 are both done by doing
nothing.  What is left are the few errors after which the octets cannot be trusted.
"""

from __future__ import annotations

from porter_ryu.bgp.protocol.notification import BgpError
from porter_ryu.bgp.protocol.update import MP_REACH, MP_UNREACH

_EXTENDED_LENGTH = 0x10
_MP_REACH_SHORTEST = 5
_MP_UNREACH_SHORTEST = 3
_NEXT_HOP_LENGTH_AT = 3
_MALFORMED_ATTRIBUTE_LIST = 1
_OPTIONAL_ATTRIBUTE_ERROR = 9


def check_update(body: bytes) -> str:
    """Looks at the body of an UPDATE; returns what is malformed in it and was treated as
    withdraw (RFC 7606, 2), or an empty string.

    Raises BgpError where the session must be reset: the two lengths overrun the message
    (RFC 4271, 6.3), MP_REACH_NLRI or MP_UNREACH_NLRI is there twice or cannot be read
    (RFC 7606, 3 g and 7.11).
    """
    position, end = _attributes_within(body)
    seen: set[int] = set()
    malformed = ""
    while position < end:
        extended = body[position] & _EXTENDED_LENGTH
        header = 4 if extended else 3
        if position + header > end:
            return "an attribute is cut short"
        kind = body[position + 1]
        length = int.from_bytes(body[position + 2 : position + header], "big")
        value = position + header
        if value + length > end:
            return f"attribute {kind} overruns the others"
        if kind in seen:
            if kind in (MP_REACH, MP_UNREACH):
                raise BgpError(3, _MALFORMED_ATTRIBUTE_LIST, why=f"attribute {kind} is there twice")
            malformed = f"attribute {kind} is there twice"
        seen.add(kind)
        _check_multiprotocol(kind, body[value : value + length])
        position = value + length
    return malformed


def _attributes_within(body: bytes) -> tuple[int, int]:
    start = 2 + int.from_bytes(body[:2], "big")
    if start + 2 > len(body):
        raise BgpError(3, _MALFORMED_ATTRIBUTE_LIST, why="the withdrawn routes overrun the UPDATE")
    end = start + 2 + int.from_bytes(body[start : start + 2], "big")
    if end > len(body):
        raise BgpError(3, _MALFORMED_ATTRIBUTE_LIST, why="the path attributes overrun the UPDATE")
    return start + 2, end


def _check_multiprotocol(kind: int, value: bytes) -> None:
    if kind == MP_REACH:
        short = len(value) < _MP_REACH_SHORTEST
        if short or _MP_REACH_SHORTEST + value[_NEXT_HOP_LENGTH_AT] > len(value):
            raise BgpError(3, _OPTIONAL_ATTRIBUTE_ERROR, why="MP_REACH_NLRI cannot be read")
    elif kind == MP_UNREACH and len(value) < _MP_UNREACH_SHORTEST:
        raise BgpError(3, _OPTIONAL_ATTRIBUTE_ERROR, why="MP_UNREACH_NLRI cannot be read")
