"""Which stop requests are accepted: those from this host that carry the control token.

A web page in a browser on this host can send requests to loopback as well, either with its own
Origin or, by DNS rebinding, with a Host that resolves to loopback.  Both are refused before their
token is checked.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct

from porter_ryu.domain.model import Address
from porter_ryu.http.hosts import names_loopback

_SCHEME = "bearer "


class StopRequest(Struct, frozen=True):
    """A request to stop: the addresses of its connection and the relevant header fields."""

    local: Address
    remote: Address
    host: str
    origins: Sequence[str]
    authorization: str


def refusal(request: StopRequest, token: str) -> tuple[HTTPStatus, str] | None:
    """Why a request is refused; None if it is accepted.  With an empty `token` all are refused."""
    if not (request.local.is_loopback and request.remote.is_loopback):
        return HTTPStatus.FORBIDDEN, "accepted only over loopback"
    if not names_loopback(request.host):
        return HTTPStatus.FORBIDDEN, "the Host field must name loopback"
    if request.origins:
        return (
            HTTPStatus.FORBIDDEN,
            "an Origin field, as in requests from web pages, is refused",
        )
    if not token:
        return (
            HTTPStatus.FORBIDDEN,
            "there is no control token: state_dir could not be written",
        )
    scheme = request.authorization[: len(_SCHEME)].lower()
    offered = request.authorization[len(_SCHEME) :].strip()
    if scheme != _SCHEME or not hmac.compare_digest(offered.encode(), token.encode()):
        return HTTPStatus.UNAUTHORIZED, "the token in state_dir/control.token is required"
    return None
