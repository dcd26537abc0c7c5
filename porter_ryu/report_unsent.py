"""Why a Service that is to be announced was sent to nobody: which peers would carry it, and since
when none of them has a session, and what they keep meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from porter_ryu.bgp.peer_report import ESTABLISHED, family_name
from porter_ryu.domain.carriers import Carriers
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.kept_routes import Kept, KeptBy, KeptRoutes
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import MAX_LISTED, listed

Json = dict[str, Any]

_NOT_YET = "no peer was sent it yet"
_NO_PEER = "no peer that is configured may have one of its next hops"
_OTHER_NODES = (
    "change node_selector or families of the peers, or start an endpoint on a node that they select"
)


class NotSent(Struct, frozen=True):
    """Why, as a sentence; what mends it, empty where that is told of each peer; `peers`: those that
    have no session and are the cause together, the one that had a session last first; empty for
    none."""

    text: str
    mend: str = ""
    peers: tuple[str, ...] = ()


class UnsentServices:
    """Answers for the Services of one report; `peers` are the sessions as `report_peers.peers`
    makes them."""

    def __init__(self, planner: Planner, peers: Sequence[Json], kept_by: KeptBy) -> None:
        self._carriers = Carriers(planner)
        self._kept_routes = KeptRoutes(planner, kept_by)
        self._up: dict[str, set[str]] = {}
        self._ended: dict[str, str] = {}
        self._had_routes: set[str] = set()
        self._kept_until: dict[str, str] = {}
        self._hints: dict[str, str] = {}
        for session in peers:
            name, down = session["peer"], session["lastDown"]
            if session["state"] == ESTABLISHED:
                self._up.setdefault(name, set()).update(session["families"])
            ended = down["time"] if down is not None else ""
            self._ended[name] = max(ended, self._ended.get(name, ""))
            if ended or session["pathsLeft"]:
                self._had_routes.add(name)
            if session["hint"] and session["state"] != ESTABLISHED:
                self._hints.setdefault(name, session["hint"])
            if session["routesKeptUntil"]:
                self._kept_until[name] = session["routesKeptUntil"].partition(".")[0] + "Z"

    def kept(self, decision: Decision) -> Kept:
        """What peers keep of a Service without a session."""
        return self._kept_routes.of(decision)

    def why(self, decision: Decision) -> NotSent:
        """Why a Service was not sent to any peer.  Of several peers without a session those are the
        cause that had one, in this process or, by their journals, in an earlier one; if none had,
        all of them."""
        if not self._ended:
            return NotSent(_NOT_YET)
        known = [c for c in self._carriers.of(decision) if c.peer in self._ended]
        if not known:
            return NotSent(_NO_PEER, _OTHER_NODES)
        if any(family_name(family) in self._up.get(peer, ()) for peer, family in known):
            return NotSent(_NOT_YET)
        down = sorted({carrier.peer for carrier in known} - self._up.keys())
        if not down:
            families = " and ".join(sorted({f"IPv{family.value}" for _, family in known}))
            peer = min(carrier.peer for carrier in known)
            mend = f"add {families} to families in [peer:{peer}], and turn it on on the router"
            return NotSent(f"no session that is up carries {families}", mend)
        had = [peer for peer in down if peer in self._had_routes] or down
        causes = tuple(sorted(had, key=self._ended.__getitem__, reverse=True))
        last = causes[0]
        mend = self._hints.get(last, "") or f"porter-ryu status says what is wrong with {last}"
        if self._ended[last]:
            since = f"the last one, with {last}, ended at {self._ended[last]}"
            told = [f"no peer that is to be sent it has a session: {since}", *self._kept(decision)]
            return NotSent("; ".join(told), mend, causes)
        text = f"no peer that is to be sent it has had a session yet: {listed(down)}"
        return NotSent(text, mend, causes)

    def _kept(self, decision: Decision) -> Iterator[str]:
        """What peers keep of a Service, a clause for those of which the same is to be said."""
        kept = self.kept(decision)
        if kept.peers:
            until = max(self._kept_until.get(peer, "") for peer in kept.peers)
            one = len(kept.peers) == 1
            keep = "keeps what it was sent" if one else "keep what they were sent"
            yield f"{_together(kept.peers)} {keep}{f' until about {until}' if until else ''}"
        alike: dict[str, list[str]] = {}
        for peer, where in kept.astray.items():
            alike.setdefault(where, []).append(peer)
        for where, peers in alike.items():
            keep = "keeps" if len(peers) == 1 else "keep"
            yield f"what {_together(peers)} {keep} leads only to {where}"


def _together(names: Sequence[str]) -> str:
    """The names as a list with `and`, the first of them if they are many."""
    if len(names) == 1 or len(names) > MAX_LISTED:
        return listed(names)
    return f"{listed(names[:-1])} and {listed(names[-1:])}"
