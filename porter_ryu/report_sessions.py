"""What is wrong with the sessions, one problem for each peer, or for those that cost Services
together: it is one router that is to be mended, however many sessions it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from porter_ryu.bgp.peer_report import ESTABLISHED
from porter_ryu.bgp.protocol.fsm import State
from porter_ryu.domain.problems import Problem, ProblemReason, problem
from porter_ryu.domain.text import counted, listed
from porter_ryu.report_losses import Loss, Tally

Json = dict[str, Any]

BFD_UP = "up"
_CONNECTED = (State.OPEN_SENT.value, State.OPEN_CONFIRM.value)
_MAX_SESSIONS = 3  # or peers, that are told with their text


def of_sessions(peers: Sequence[Json], tally: Tally) -> Iterator[Problem]:
    """The peers whose sessions are down, those together that cost Services together; those that
    BFD does not watch although it should; and the peers that keep routes without a session.
    `peers` are the sessions as `report_peers.peers` makes them."""
    by_peer: dict[str, list[Json]] = {}
    for session in peers:
        by_peer.setdefault(session["peer"], []).append(session)
    outages = {name: _Outage(name, sessions) for name, sessions in by_peer.items()}
    outages = {name: outage for name, outage in outages.items() if outage.down}
    for keepers, loss in tally.kept.items():
        yield _kept([outages[name] for name in keepers if name in outages], loss)
    alone = dict(outages)
    for names, services in tally.of_peers().items():
        together = [alone.pop(name) for name in sorted(names) if name in alone]
        if together:  # the one whose session ended last is the first
            together.sort(key=lambda outage: outage.ended, reverse=True)
            yield _down(together, services)
    for outage in alone.values():
        yield _down([outage], 0)
    for name, sessions in by_peer.items():
        up = [session for session in sessions if session["state"] == ESTABLISHED]
        without_bfd = [entry for entry in up if entry["bfd"] and entry["bfd"]["state"] != BFD_UP]
        if without_bfd:
            yield _without_bfd(name, sessions, without_bfd)


class _Outage:
    """The sessions of a peer that are down, nearly always all of them."""

    def __init__(self, name: str, sessions: Sequence[Json]) -> None:
        self.name = name
        self.down = [session for session in sessions if session["state"] != ESTABLISHED]
        self._sessions = sessions

    @property
    def ended(self) -> str:
        """When a session with the peer ended last; empty if none did."""
        return max((s["lastDown"]["time"] for s in self.down if s["lastDown"]), default="")

    @property
    def what(self) -> str:
        """What is down, since when, and why."""
        last = max(self.down, key=lambda session: session["since"] or "")
        count, address = len(self.down), last["address"]
        if len(self._sessions) == 1:
            subject = f"the session with {self.name} ({address}) is down"
        else:
            of = f"{count} of {len(self._sessions)} sessions with {self.name} ({address})"
            subject = f"{of} {'is' if count == 1 else 'are'} down"
        when = _since(last)
        why = _each([(s["name"], s["lastError"] or _progress(s)) for s in self.down])
        return f"{subject} {when}: {why}{_left(last)}" if when else f"{subject}: {why}{_left(last)}"

    @property
    def mend(self) -> str:
        """What mends it."""
        mend = _each([(entry["name"], entry["hint"]) for entry in self.down if entry["hint"]])
        address = self.down[0]["address"]
        return mend or f"look at the log of the router about this host; ping {address}"


def _progress(session: Json) -> str:
    """How far a session has come for which no reason is known why it is not up."""
    state = session["state"]
    return f"connected, and now {state}" if state in _CONNECTED else "not connected yet"


def _since(session: Json) -> str:
    """Since when a session is down, as a part of a sentence; empty where nothing is known.  What
    was not up in this process may have been down before it."""
    if not session["since"]:
        return ""
    return f"since {'' if session['lastDown'] is not None else 'at least '}{session['since']}"


def _left(session: Json) -> str:
    """That an earlier process announced paths to a peer that had no session in this one."""
    if session["lastUp"] is not None or not session["pathsLeft"]:
        return ""
    paths = counted(session["pathsLeft"], "path")
    return f"; an earlier process announced {paths} to it, which it may still have"


def _down(outages: Sequence[_Outage], services: int) -> Problem:
    """Peers without a session, which cost so many Services together."""
    names = [session["name"] for outage in outages for session in outage.down]
    told = [(outage.name, outage.what) for outage in outages]
    what = told[0][1]
    if len(told) > 1:
        shown = "; ".join(text for _, text in told[:_MAX_SESSIONS])
        what = f"no session with {listed([name for name, _ in told])}: {shown}"
    mend = _each([(outage.name, outage.mend) for outage in outages])
    return problem(ProblemReason.SESSION_DOWN, what, mend, names, services)


def _kept(outages: Sequence[_Outage], loss: Loss) -> Problem:
    """Services that are reached only by routes that peers keep without a session."""
    sessions = [session for outage in outages for session in outage.down]
    times = [session["routesKeptUntil"] for session in sessions if session["routesKeptUntil"]]
    names = listed([outage.name for outage in outages])
    verb, keep = "is" if loss.count == 1 else "are", "keeps" if len(outages) == 1 else "keep"
    until = f" until about {max(times).partition('.')[0]}Z" if times else ""
    what = (
        f"{counted(loss.count, 'Service')} {verb} announced in no session, and reached "
        f"only because {names} {keep} the routes{until}"
    )
    mend = _each([(outage.name, outage.mend) for outage in outages])
    about = [session["name"] for session in sessions]
    return problem(ProblemReason.ROUTES_KEPT, what, mend, about, at_risk=loss.count)


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
