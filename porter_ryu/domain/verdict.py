"""The one form of every answer to "why?" and "why not?": yes or no, a reason, and a message.

The reason is for programs (conditions, labels of metrics, filters), so the list is short and its
texts do not change.  The message is for people, and says what to do where that is known.
"""

from __future__ import annotations

import enum
from typing import Generic, TypeVar

from msgspec import Struct

R = TypeVar("R", bound=enum.Enum)


class Verdict(Struct, Generic[R], frozen=True, gc=False):
    """Whether something is so, the reason, and the reason as a sentence."""

    ok: bool
    reason: R
    message: str


class Reason(enum.Enum):
    """Why a Service has, or has not, an address and routes; the texts are public API.

    UNREADABLE is shown in reports, never in a condition: nothing is written to such a Service.
    """

    ALLOCATED = "Allocated"
    NO_POOL = "NoPool"
    POOL_EXHAUSTED = "PoolExhausted"
    POOL_DISABLED = "PoolDisabled"
    NOT_ALLOWED = "NotAllowed"
    ADDRESS_NOT_IN_POOL = "AddressNotInPool"
    ADDRESS_IN_USE = "AddressInUse"
    INVALID_REQUEST = "InvalidRequest"
    FAMILY_UNAVAILABLE = "FamilyUnavailable"
    RECORD_UNKNOWN = "RecordUnknown"
    ANNOUNCED = "Announced"
    NO_READY_ENDPOINTS = "NoReadyEndpoints"
    NO_USABLE_NODE = "NoUsableNode"
    NO_ADDRESS = "NoAddress"
    UNREADABLE = "Unreadable"


class PoolReason(enum.Enum):
    """Why an Eip serves, or does not; the texts are public API."""

    VALID = "Valid"
    INVALID_ADDRESS = "InvalidAddress"
    FILE_UNREADABLE = "FileUnreadable"
    OVERLAPS = "Overlaps"
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"


class DrawReason(enum.Enum):
    """Why a Service can or cannot draw an address from an Eip without requesting one."""

    AVAILABLE = "Available"
    NOT_SERVING = "NotServing"
    ANOTHER_NAMED = "AnotherNamed"
    NOT_ALLOWED = "NotAllowed"
    ONLY_ON_REQUEST = "OnlyOnRequest"
    DISABLED = "Disabled"
    FAMILY_UNAVAILABLE = "FamilyUnavailable"
    EXHAUSTED = "Exhausted"
    RECORD_UNKNOWN = "RecordUnknown"
    SERVICE_DELETED = "ServiceDeleted"
    UNREADABLE = "Unreadable"


class NodeReason(enum.Enum):
    """Why a node is a next hop of an address, or is not."""

    NEXT_HOP = "NextHop"
    NOT_READY = "NotReady"
    DEAD = "Dead"
    EXCLUDED = "Excluded"
    OUT_OF_SERVICE = "OutOfService"
    DRAINING = "Draining"
    DRAINED = "Drained"
    LAST_NEXT_HOP = "LastNextHop"
    NETWORK_UNAVAILABLE = "NetworkUnavailable"
    BEING_DELETED = "BeingDeleted"
    NO_ADDRESS = "NoAddress"
    NO_ENDPOINT = "NoEndpoint"
    NOT_THIS_NODE = "NotThisNode"
    NOT_SELECTED = "NotSelected"
    NOT_SHARED = "NotShared"
    NO_SUCH_NODE = "NoSuchNode"
    UNREADABLE = "Unreadable"
    UNDECIDED = "Undecided"


class AddressReason(enum.Enum):
    """Why an address that a node reports is no next hop."""

    SPECIAL_PURPOSE = "SpecialPurpose"
    PEER = "Peer"
    EIP = "Eip"


ServiceVerdict = Verdict[Reason]
