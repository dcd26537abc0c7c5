"""Checks the framing of received UPDATEs.  Their routes are neither decoded nor stored.

Because no route is stored, "treat-as-withdraw" and "attribute discard" of RFC 7606 need no action.
Only the few errors that reset a session remain.
"""

from __future__ import annotations

from porter_ryu.bgp.protocol.notification import BgpError
from porter_ryu.bgp.protocol.update import MP_REACH, MP_UNREACH

_EXTENDED_LENGTH = 0x10
_MP_REACH_MIN_OCTETS = 5
_MP_UNREACH_MIN_OCTETS = 3
_NEXT_HOP_LENGTH_OFFSET = 3
_MALFORMED_ATTRIBUTE_LIST = 1
_OPTIONAL_ATTRIBUTE_ERROR = 9


def check_update(body: bytes) -> str:
    """Checks the body of an UPDATE; returns the error that is treated as withdraw (RFC 7606, 2),
    or an empty string.

    Raises BgpError where the session must be reset: the two length fields exceed the message
    (RFC 4271, 6.3), or MP_REACH_NLRI or MP_UNREACH_NLRI is duplicate or malformed (RFC 7606, 3 g
    and 7.11).
    """
    position, end = _attributes_bounds(body)
    kinds: set[int] = set()
    malformed = ""
    while position < end:
        extended = body[position] & _EXTENDED_LENGTH
        header = 4 if extended else 3
        if position + header > end:
            return "an attribute is truncated"
        kind = body[position + 1]
        length = int.from_bytes(body[position + 2 : position + header], "big")
        value = position + header
        if value + length > end:
            return f"attribute {kind} exceeds the attribute list"
        if kind in kinds:
            malformed = f"attribute {kind} is duplicate"
            if kind in (MP_REACH, MP_UNREACH):
                raise BgpError(3, _MALFORMED_ATTRIBUTE_LIST, why=malformed)
        kinds.add(kind)
        _check_multiprotocol(kind, body[value : value + length])
        position = value + length
    return malformed


def _attributes_bounds(body: bytes) -> tuple[int, int]:
    """Where the path attributes begin and end."""
    start = 2 + int.from_bytes(body[:2], "big")
    if start + 2 > len(body):
        raise BgpError(3, _MALFORMED_ATTRIBUTE_LIST, why="the withdrawn routes exceed the UPDATE")
    end = start + 2 + int.from_bytes(body[start : start + 2], "big")
    if end > len(body):
        raise BgpError(3, _MALFORMED_ATTRIBUTE_LIST, why="the path attributes exceed the UPDATE")
    return start + 2, end


def _check_multiprotocol(kind: int, value: bytes) -> None:
    if kind == MP_REACH:
        truncated = len(value) < _MP_REACH_MIN_OCTETS
        if truncated or _MP_REACH_MIN_OCTETS + value[_NEXT_HOP_LENGTH_OFFSET] > len(value):
            raise BgpError(3, _OPTIONAL_ATTRIBUTE_ERROR, why="MP_REACH_NLRI is truncated")
    elif kind == MP_UNREACH and len(value) < _MP_UNREACH_MIN_OCTETS:
        raise BgpError(3, _OPTIONAL_ATTRIBUTE_ERROR, why="MP_UNREACH_NLRI is truncated")
