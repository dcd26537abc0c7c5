"""What to look at where a session does not come up, or lacks something: one sentence.

A router says little about why it does not answer: with a wrong TCP MD5 key, with GTSM and behind a
firewall a connection simply times out.  So the sentence names what the settings of the peer make
likely.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from porter_ryu.bgp.session_history import Failure
from porter_ryu.domain.peering import ConnectMode, PeerConfig
from porter_ryu.domain.text import counted


def of_failure(
    peer: PeerConfig,
    local_as: int,
    internal: bool,
    failure: Failure | None,
    connected: bool = False,
    keeps_routes: bool = False,
) -> str:
    """What to look at while the session is down; empty if nothing is known.  `internal`: the AS of
    the peer is ours.  `connected`: there is a TCP connection.  `keeps_routes`: the peer may keep
    ours without a session."""
    text = _of_failure(peer, local_as, internal, failure, connected)
    if peer.mode is not ConnectMode.PASSIVE or connected or not keeps_routes:
        return text
    helper = (
        "while the router keeps our routes it may not connect again (FRR as a graceful-restart "
        f"helper does not, once it was refused): set mode = both in [peer:{peer.peer}]"
    )
    return f"{helper}; {text}" if failure is None else f"{text}; {helper}"


def _of_failure(
    peer: PeerConfig, local_as: int, internal: bool, failure: Failure | None, connected: bool
) -> str:
    if failure is Failure.TIMED_OUT:
        return _no_answer(peer, internal)
    if failure is Failure.SILENT and peer.ttl_security:
        return (
            "the router accepts the connection, but no OPEN arrives: GTSM (ttl_security) may be "
            f"off there, or it is more than {_hops(peer)} away"
        )
    if failure is not None:
        return _TEXTS[failure].format(
            address=peer.address,
            group=f"[peer:{peer.peer}]",
            port=peer.port,
            local_as=local_as,
            remote_as=peer.remote_as,
            hold_time=peer.hold_time,
            hops=_hops(peer),
            us=peer.local_address or "this host",
            local_option=peer.local_option,
        )
    if peer.mode is ConnectMode.PASSIVE and not connected:
        return (
            f"the router has not connected (mode = passive): it needs a neighbour for this host, "
            f"AS {local_as}{_with_key(peer)}"
        )
    return ""


_TEXTS = {
    Failure.REFUSED: (
        "nobody listens on port {port} of {address}: start BGP there, or correct address and port "
        "in {group}"
    ),
    Failure.UNREACHABLE: (
        "no host answers as {address}, or it is more than {hops} away: look at the link, the "
        "route to it and multihop_ttl in {group}"
    ),
    Failure.NO_LOCAL_ADDRESS: (
        "this host does not have the address {us}: correct {local_option} in {group}"
    ),
    Failure.CLOSED_EARLY: (
        "the router closed the connection before the session came up: it may have no neighbour "
        "for {us}, or reach its limit of connections"
    ),
    Failure.SILENT: (
        "the router accepts the connection, but no OPEN arrives: look at its BGP process"
    ),
    Failure.TOO_FAR: (
        "the router does not send TTL 255, or is more than {hops} away: turn on GTSM (TTL "
        "security) there as well, or correct ttl_security and multihop_ttl in {group}"
    ),
    Failure.OTHER_AS: (
        "the router is in another AS than {remote_as}: correct remote_as in {group}, or the AS on "
        "the router"
    ),
    Failure.OUR_AS_REFUSED: (
        "the router expects another AS than {local_as} from us: correct its neighbour for {us}, or "
        "local_as in [bgp]"
    ),
    Failure.ROLE: "the roles do not fit (RFC 9234): correct role in {group}, or on the router",
    Failure.IDENTIFIER: (
        "the BGP identifier is not accepted: router_id in [bgp] must differ from that of the router"
    ),
    Failure.HOLD_TIME: (
        "the hold time is not accepted: change hold_time in {group} (now {hold_time} s), or on the "
        "router"
    ),
    Failure.SHUT_DOWN: "the session was shut down on the router: enable it there",
    Failure.REJECTED: "the router has no neighbour for {us}, or does not accept it now",
    Failure.TOO_MANY_PREFIXES: (
        "the router accepts fewer prefixes than it is sent: raise its maximum-prefix limit, or "
        "send an aggregate (aggregationLength in spec.advertisements)"
    ),
    Failure.RECONFIGURED: (
        "the neighbour for {us} was changed on the router: compare it there with {group}"
    ),
    Failure.RESET: "the session was reset on the router: if it stays down, look at the log there",
    Failure.OUT_OF_RESOURCES: "the router has no resources left: look at its memory and its log",
    Failure.BFD: (
        "BFD saw the path break: look at the link to {address}, and whether BFD for {us} is still "
        "on there"
    ),
    Failure.UNHEARD: (
        "one side heard nothing from the other for the hold time: look at the link to {address}, "
        "its MTU, and the load of both sides"
    ),
    Failure.BROKEN: (
        "the connection was closed without a word: look at the log of the router, whether its BGP "
        "process was started again, and at the link to {address}"
    ),
    Failure.PROTOCOL: (
        "one side does not accept a message of the other: look at the log of the router for the "
        "message, and report it"
    ),
    Failure.PEER_SAID: "the router ended the session: look at its log about {us}",
}


def _no_answer(peer: PeerConfig, internal: bool) -> str:
    """Why a connection may time out, the most likely first."""
    parts = []
    if peer.password is not None:
        parts.append("the TCP MD5 key (password_file) may be another one than on the router")
    if peer.ttl_security:
        parts.append(
            f"GTSM (ttl_security) may be off on the router, or it is more than {_hops(peer)} away"
        )
    parts.append(f"a firewall may drop port {peer.port} of {peer.address}")
    if peer.password is None:
        parts.append("the router may require a TCP MD5 key (password_file)")
    if not peer.ttl_security and not internal:
        parts.append("it may require GTSM (ttl_security)")
    return f"no answer: {', or '.join(parts)}"


def _hops(peer: PeerConfig) -> str:
    return counted(peer.multihop_ttl, "hop")


def _with_key(peer: PeerConfig) -> str:
    return " and the same TCP MD5 key" if peer.password is not None else ""


def of_waiting(seconds: float) -> str:
    """What to do while our OPEN waits, for so many seconds at most: nothing."""
    return (
        f"wait: our OPEN is sent at the latest in {math.ceil(seconds)} s (until then the router "
        "may keep the routes of the run before, which it could lose by an OPEN without a table)"
    )


def of_session(peer: PeerConfig, without_add_path: Iterable[str], families: Iterable[str]) -> str:
    """What an Established session lacks; empty if nothing.  `without_add_path`: the families that
    were negotiated without ADD-PATH, of all `families`."""
    if not tuple(families):
        return "no address family in common: nothing is announced; compare families on both sides"
    single = ", ".join(without_add_path)
    if not single or peer.fan_out or not peer.add_path:
        return ""
    return (
        f"no ADD-PATH for {single}: the router gets one next hop of each prefix, and no ECMP; turn "
        "on ADD-PATH receive there, or set local_addresses"
    )


def of_refusals(withheld: int) -> str:
    """That a peer refuses some of what it was sent; empty if it refuses nothing."""
    if not withheld:
        return ""
    what = "next hop or prefix" if withheld == 1 else "next hops or prefixes"
    return f"the router refuses {withheld} {what}, which it is not sent: the log names them"
