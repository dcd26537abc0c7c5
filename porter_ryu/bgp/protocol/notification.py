"""NOTIFICATION (RFC 4271, 4.5) as a value, as octets and as text for people.

+---------------+---------------+-------------------------------+
|  Error code   | Error subcode |      Data (variable)          |
+---------------+---------------+-------------------------------+

Its data may carry a text of the peer (RFC 9003) or another NOTIFICATION (RFC 8538).  Both are
shown, with a bounded length and printable, and neither becomes a metric label.
"""

from __future__ import annotations

import enum
import struct

from msgspec import Struct

_COMMUNICATION_OCTETS = range(1, 256)  # RFC 9003, 2: a length octet and UTF-8 text


class Cease(enum.IntEnum):
    """Subcodes of Cease (RFC 4486, 8538, 9384)."""

    MAXIMUM_PREFIXES = 1
    ADMINISTRATIVE_SHUTDOWN = 2
    PEER_DECONFIGURED = 3
    ADMINISTRATIVE_RESET = 4
    CONNECTION_REJECTED = 5
    OTHER_CONFIGURATION_CHANGE = 6
    COLLISION = 7
    OUT_OF_RESOURCES = 8
    HARD_RESET = 9
    BFD_DOWN = 10


CEASE = 6
_WITH_COMMUNICATION = (Cease.ADMINISTRATIVE_SHUTDOWN, Cease.ADMINISTRATIVE_RESET)
_CODE_NAMES = {
    1: "Message Header Error",
    2: "OPEN Message Error",
    3: "UPDATE Message Error",
    4: "Hold Timer Expired",
    5: "Finite State Machine Error",
    6: "Cease",
    7: "ROUTE-REFRESH Message Error",
    8: "Send Hold Timer Expired",
    9: "Loss of LSDB Synchronization",
}
_SUBCODE_NAMES = {
    (1, 1): "Connection Not Synchronized",
    (1, 2): "Bad Message Length",
    (1, 3): "Bad Message Type",
    (2, 1): "Unsupported Version Number",
    (2, 2): "Bad Peer AS",
    (2, 3): "Bad BGP Identifier",
    (2, 4): "Unsupported Optional Parameter",
    (2, 5): "Authentication Failure",
    (2, 6): "Unacceptable Hold Time",
    (2, 7): "Unsupported Capability",
    (2, 11): "Role Mismatch",
    (3, 1): "Malformed Attribute List",
    (3, 2): "Unrecognized Well-known Attribute",
    (3, 3): "Missing Well-known Attribute",
    (3, 4): "Attribute Flags Error",
    (3, 5): "Attribute Length Error",
    (3, 6): "Invalid ORIGIN Attribute",
    (3, 7): "AS Routing Loop",
    (3, 8): "Invalid NEXT_HOP Attribute",
    (3, 9): "Optional Attribute Error",
    (3, 10): "Invalid Network Field",
    (3, 11): "Malformed AS_PATH",
    (5, 1): "Unexpected Message in OpenSent",
    (5, 2): "Unexpected Message in OpenConfirm",
    (5, 3): "Unexpected Message in Established",
    (6, 1): "Maximum Number of Prefixes Reached",
    (6, 2): "Administrative Shutdown",
    (6, 3): "Peer De-configured",
    (6, 4): "Administrative Reset",
    (6, 5): "Connection Rejected",
    (6, 6): "Other Configuration Change",
    (6, 7): "Connection Collision Resolution",
    (6, 8): "Out of Resources",
    (6, 9): "Hard Reset",
    (6, 10): "BFD Down",
    (7, 1): "Invalid Message Length",
}


class Notification(Struct, frozen=True):
    """Error code, subcode and data (RFC 4271, 4.5)."""

    code: int
    subcode: int
    data: bytes = b""

    def __str__(self) -> str:
        """Name, numbers and the readable part of the data, in one printable line."""
        inner = self.inner
        if inner is not None:
            return f"{self._name}: {inner}"
        text = self.communication
        return f'{self._name}: "{text}"' if text else self._name

    @property
    def _name(self) -> str:
        name = _SUBCODE_NAMES.get((self.code, self.subcode))
        if name is None:
            name = _CODE_NAMES.get(self.code, "unknown")
        return f"{name} ({self.code}/{self.subcode})"

    @property
    def is_hard_reset(self) -> bool:
        """Whether it removes the routes also where others do not (RFC 8538, 3)."""
        return (self.code, self.subcode) == (CEASE, Cease.HARD_RESET)

    @property
    def inner(self) -> Notification | None:
        """The NOTIFICATION inside a Hard Reset (RFC 8538, 3.1); None if there is none."""
        if not self.is_hard_reset or len(self.data) < 2:  # noqa: PLR2004
            return None
        if self.data[:2] == bytes((CEASE, Cease.HARD_RESET)):
            return None
        return Notification(self.data[0], self.data[1], self.data[2:])

    @property
    def communication(self) -> str:
        """The text of an Administrative Shutdown or Reset (RFC 9003, 2), empty if there is none.

        It has at most 255 octets of UTF-8; `\N{REPLACEMENT CHARACTER}` replaces each character that
        is not printable.
        """
        if self.code != CEASE or self.subcode not in _WITH_COMMUNICATION or not self.data:
            return ""
        length = self.data[0]
        if length not in _COMMUNICATION_OCTETS or length > len(self.data) - 1:
            return ""
        text = self.data[1 : 1 + length].decode("utf-8", "replace")
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class BgpError(Exception):
    """A protocol error of the peer; `notification` is the NOTIFICATION to send."""

    def __init__(self, code: int, subcode: int, data: bytes = b"", why: str = "") -> None:
        self.notification = Notification(code, subcode, data)
        super().__init__(why or str(self.notification))


UNSPECIFIC = Notification(CEASE, 0)  # RFC 4271, 4.5: no subcode applies
ADMINISTRATIVE_SHUTDOWN = Notification(CEASE, Cease.ADMINISTRATIVE_SHUTDOWN)
PEER_DECONFIGURED = Notification(CEASE, Cease.PEER_DECONFIGURED)
CONNECTION_REJECTED = Notification(CEASE, Cease.CONNECTION_REJECTED)
COLLISION = Notification(CEASE, Cease.COLLISION)
BFD_DOWN = Notification(CEASE, Cease.BFD_DOWN)  # RFC 9384
HOLD_TIMER_EXPIRED = Notification(4, 0)
SEND_HOLD_TIMER_EXPIRED = Notification(8, 0)  # RFC 9687
_REMOVES_ROUTES = (ADMINISTRATIVE_SHUTDOWN, PEER_DECONFIGURED, BFD_DOWN)


def hard_reset(notification: Notification) -> Notification:
    """The NOTIFICATION to send to a peer that keeps our routes over a NOTIFICATION (RFC 8538, 3):
    a Hard Reset around one that shall remove the routes; any other as it is."""
    if notification not in _REMOVES_ROUTES:
        return notification
    inner = bytes((notification.code, notification.subcode)) + notification.data
    return Notification(CEASE, Cease.HARD_RESET, inner)


def encode_body(notification: Notification, max_length: int) -> bytes:
    """Code, subcode and data, cut to `max_length` octets."""
    head = struct.pack(">BB", notification.code, notification.subcode)
    return (head + notification.data)[:max_length]


def decode_notification(body: bytes) -> Notification:
    """Decodes a body of at least two octets (RFC 4271, 4.5)."""
    return Notification(body[0], body[1], body[2:])
