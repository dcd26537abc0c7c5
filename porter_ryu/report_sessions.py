"""What is wrong with the sessions, one problem for each peer: it is one router that is to be
mended, however many sessions it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from porter_ryu.bgp.peer_report import ESTABLISHED
from porter_ryu.domain import problems
from porter_ryu.domain.problems import Problem, ProblemReason, problem
from porter_ryu.report_losses import Tally

Json = dict[str, Any]

BFD_UP = "up"
_MAX_SESSIONS = 3  # that are told with their text


def of_sessions(peers: Sequence[Json], tally: Tally) -> Iterator[Problem]:
    """The peers whose sessions are down, and those that BFD does not watch although it should;
    `peers` are the sessions as `report_peers.peers` makes them."""
    by_peer: dict[str, list[Json]] = {}
    for session in peers:
        by_peer.setdefault(session["peer"], []).append(session)
    for name, sessions in by_peer.items():
        down = [session for session in sessions if session["state"] != ESTABLISHED]
        if down:
            yield _down(name, sessions, down, tally.of_peer(name))
        up = [session for session in sessions if session["state"] == ESTABLISHED]
        without_bfd = [entry for entry in up if entry["bfd"] and entry["bfd"]["state"] != BFD_UP]
        if without_bfd:
            yield _without_bfd(name, sessions, without_bfd)


def _since(session: Json) -> str:
    """Since when a session is down, as a part of a sentence; empty where nothing is known.  What
    was not up in this process may have been down before it."""
    if not session["since"]:
        return ""
    return f"since {'' if session['lastDown'] is not None else 'at least '}{session['since']}"


def _down(name: str, sessions: Sequence[Json], down: Sequence[Json], services: int) -> Problem:
    """Some sessions of a peer are down, nearly always all of them."""
    last = max(down, key=lambda session: session["since"] or "")
    if len(sessions) == 1:
        subject = f"the session with {name} ({last['address']}) is down"
    else:
        of = f"{len(down)} of {len(sessions)} sessions with {name} ({last['address']})"
        subject = f"{of} {'is' if len(down) == 1 else 'are'} down"
    when = _since(last)
    why = _each([(entry["name"], entry["lastError"] or "not connected yet") for entry in down])
    what = f"{subject} {when}: {why}" if when else f"{subject}: {why}"
    mend = _each([(entry["name"], entry["hint"]) for entry in down if entry["hint"]])
    mend = mend or f"porter-ryu history peer {problems.quoted(name)}"
    names = [entry["name"] for entry in down]
    return problem(ProblemReason.SESSION_DOWN, what, mend, names, services)


def _each(told: Sequence[tuple[str, str]]) -> str:
    """What is told of all sessions alike, or else of the first ones, each with its name."""
    if len({text for _, text in told}) == 1:
        return told[0][1]
    shown = "; ".join(f"{name}: {text}" for name, text in told[:_MAX_SESSIONS])
    more = len(told) - _MAX_SESSIONS
    return f"{shown}; and {more} more" if more > 0 else shown


def _without_bfd(name: str, sessions: Sequence[Json], silent: Sequence[Json]) -> Problem:
    """Some sessions of a peer are up, and their BFD is not."""
    of = f" in {len(silent)} of {len(sessions)} sessions" if len(sessions) > 1 else ""
    hold_time = max(session["holdTime"] for session in silent)
    seen = f"only after {hold_time:g} s" if hold_time else "by nothing"
    told = [(entry["name"], _bfd_text(entry["bfd"])) for entry in silent]
    what = (
        f"BFD with {name} ({silent[0]['address']}) is not up{of}, so a broken path is seen {seen}: "
        f"{_each(told)}"
    )
    mend = "turn on BFD for this host on the router, or set bfd = false in its group"
    return problem(ProblemReason.BFD_DOWN, what, mend, [session["name"] for session in silent])


def _bfd_text(bfd: Json) -> str:
    reason = f", {bfd['reason']}" if bfd["reason"] else ""
    return f"{bfd['state']} since {bfd['since']}{reason}"
