"""Who may end the process: somebody on this host who can read the control token.

A web page that a browser on this host shows can send requests to loopback as well, under its own
name (Origin) or under a name that was made to lead here (DNS rebinding, seen by its Host).  Neither
knows the token, and neither gets as far as being asked for it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from porter_ryu.domain.model import Address

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::\d{1,5})?")
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to stop: the addresses of its connection and the fields that count."""

    local: Address
    remote: Address
    host: str
    origins: Sequence[str]
    authorization: str


def refusal(asked: Asked, token: str) -> tuple[HTTPStatus, str] | None:
    """Why it is refused, None where it is not.  An empty `token` refuses everybody."""
    if not (asked.local.is_loopback and asked.remote.is_loopback):
        return HTTPStatus.FORBIDDEN, "only over loopback"
    if not names_loopback(asked.host):
        return HTTPStatus.FORBIDDEN, "only with a Host that names loopback"
    if asked.origins:
        return HTTPStatus.FORBIDDEN, "not from a web page: there is an Origin"
    if not token:
        return HTTPStatus.FORBIDDEN, "there is no control token: state_dir could not be written"
    scheme = asked.authorization[: len(_SCHEME)].lower()
    given = asked.authorization[len(_SCHEME) :].strip()
    if scheme != _SCHEME or not hmac.compare_digest(given.encode(), token.encode()):
        return HTTPStatus.UNAUTHORIZED, "only with the token in state_dir/control.token"
    return None


def names_loopback(host: str) -> bool:
    """Whether a Host is localhost, 127.0.0.0/8 or [::1], with any port."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    ipv6, name = found[1], found[2]
    if ipv6 is None and name.lower() == "localhost":
        return True
    try:
        return ip_address(ipv6 or name).is_loopback
    except ValueError:
        return False
