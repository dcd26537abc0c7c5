"""A plan as JSON: what is wanted of everything, how two plans differ, and what the loss or the
drain of nodes would change (`domain.what_if`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from porter_ryu.bgp.peer_report import ESTABLISHED
from porter_ryu.domain import reserved_addresses, what_if
from porter_ryu.domain.consequences import Consequence, Standing
from porter_ryu.domain.effect import Effect, NodesByAddress, effect_of
from porter_ryu.domain.model import Family
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.sending import Sending
from porter_ryu.domain.text import MAX_LISTED, counted, listed, shortened
from porter_ryu.domain.verdict import NodeReason
from porter_ryu.domain.what_if import AskedNode, Supposition
from porter_ryu.report import eips, explanation
from porter_ryu.report_paths import path
from porter_ryu.time_slice import TimeSlice

Json = dict[str, Any]

_MAX_TEXT_CHARACTERS = 1_000
_DRAINS = frozenset({NodeReason.DRAINING, NodeReason.DRAINED, NodeReason.LAST_NEXT_HOP})
_WOULD = {
    Effect.NOT_ANNOUNCED: "would not be announced any more",
    Effect.OTHER_ADDRESS: "would have another address",
    Effect.ADDRESS_NOT_ANNOUNCED: "would not be announced by one of {their} addresses any more",
    Effect.LAST_NEXT_HOP: "{have} no other node and would stay on {drained}",
    Effect.NOT_TO_EVERY_PEER: "would not be announced to every peer any more",
    Effect.OTHER_PATH: "would have the one path of a peer move to another node",
    Effect.FEWER_NEXT_HOPS: "would lose {one} of several nodes",
    Effect.OTHER_NEXT_HOPS: "would have other nodes",
    Effect.OTHER: "would change otherwise",
    Effect.ANNOUNCED: "would be announced",
}
_HAS = {
    Effect.NOT_ANNOUNCED: "{be} already not announced any more",
    Effect.OTHER_ADDRESS: "{have} already another address",
    Effect.ADDRESS_NOT_ANNOUNCED: "{be} already not announced by one of {their} addresses",
    Effect.LAST_NEXT_HOP: "{have} no other node and {stay} on {drained}",
    Effect.NOT_TO_EVERY_PEER: "{be} already not announced to every peer any more",
    Effect.OTHER_PATH: "{have} already the one path of a peer on another node",
    Effect.FEWER_NEXT_HOPS: "{have} already lost {one} of several nodes",
    Effect.OTHER_NEXT_HOPS: "{have} already other nodes",
    Effect.OTHER: "{have} already changed otherwise",
    Effect.ANNOUNCED: "{be} already announced",
}


def planned(planner: Planner) -> Iterator[Json]:
    """The wanted state of every Service of ours, in order of name.  The planner may change between
    two entries."""
    for key in sorted(planner.decisions):
        entry = explanation(planner, key, None)
        if entry["ours"]:
            entry["nextHops"] = {
                route["address"]: sorted(path["nextHop"] for path in route["paths"])
                for route in entry["routes"]
            }
            yield entry


def plan(planner: Planner) -> Json:
    """The wanted state of the whole cluster."""
    return {
        "services": list(planned(planner)),
        "eips": list(eips(planner)),
        "warnings": list(warnings(planner)),
    }


def warnings(planner: Planner) -> Iterator[str]:
    """What is wrong with nodes, their addresses and their weights, and which addresses of Eips no
    Service gets; each in order of name.  The planner may change between two entries."""
    for name in sorted(planner.nodes.names()):
        yield from planner.nodes.warnings(name)
    yield from reserved_addresses.in_eips(planner).values()


class Answer:
    """What a supposition would change, as JSON (`/v1/plan?drain=NODE`).  `peers` are the sessions;
    what one that is not up will negotiate is taken from the configuration."""

    def __init__(self, planner: Planner, supposed: Supposition, peers: Sequence[Json] = ()) -> None:
        self._supposed = supposed
        self._sending = planner.sending
        single_path = _single_path(planner, peers)
        self._found = what_if.what_if(planner, supposed, time.monotonic(), TimeSlice(), single_path)

    def head(self) -> Json:
        """All but the lists: the nodes in question, the whole in a sentence, and each effect
        with the number of its Services."""
        effects = [
            *_effects(self._found.changes, self._supposed, already=False),
            *_effects(self._found.already, self._supposed, already=True),
        ]
        return {
            "nodes": [self._node(node) for node in self._found.nodes],
            "sentence": self._sentence(effects),
            "effects": effects,
        }

    def aggregates(self) -> Iterator[Json]:
        """The aggregates that would change, the worst effect first, then those that have changed
        already, and would not change further."""
        for already in (False, True):
            for change in self._found.aggregates_already if already else self._found.aggregates:
                entry = self._entry(change)
                yield {"prefix": str(change.about), "already": already, **entry}

    def lists(self) -> Mapping[str, Iterator[Json]]:
        """The lists of the answer by name."""
        services = (self._of_service(change) for change in self._found.changes)
        already = (self._of_service(change) for change in self._found.already)
        return {"services": services, "already": already, "aggregates": self.aggregates()}

    def whole(self) -> Json:
        """The whole answer."""
        return self.head() | {name: list(entries) for name, entries in self.lists().items()}

    def _node(self, node: AskedNode) -> Json:
        return {
            "node": node.name,
            "event": "loss" if node.name in self._supposed.lost else "drain",
            "usable": node.verdict.ok,
            "reason": node.verdict.reason.value,
            "why": shortened(node.verdict.message, _MAX_TEXT_CHARACTERS),
            "services": [str(key) for key in node.services],
        }

    def _sentence(self, effects: list[Json]) -> str:
        """The answer in a sentence."""
        would = [effect["text"] for effect in effects if not effect["already"]]
        count = len(self._found.aggregates)
        would += [f"{counted(count, 'aggregate')} would change"] if count else []
        parts = [
            f"{_subject(self._supposed)}, {'; '.join(would) or 'nothing would change'}",
            *filter(None, map(self._note, self._found.nodes)),
            *(effect["text"] for effect in effects if effect["already"]),
        ]
        return f"{'. '.join(parts)}."

    def _note(self, node: AskedNode) -> str:
        """What is said of a node that is not as every other; empty if nothing is."""
        reason, why = node.verdict.reason, node.verdict.message
        if node.verdict.ok:
            return f"{node.name} is {why}" if reason in _DRAINS else ""
        count = len(node.services)
        on_it = f"; {counted(count, 'Service')} {_have(count)} endpoints on it" if count else ""
        return f"{node.name} is no next hop now: {shortened(why, _MAX_TEXT_CHARACTERS)}{on_it}"

    def _of_service(self, change: Consequence) -> Json:
        return {"service": str(change.about), **self._entry(change)}

    def _entry(self, change: Consequence) -> Json:
        return {
            "effect": change.effect.value,
            "peers": list(change.peers),
            "moves": [{"peer": m.peer, "was": m.was, "becomes": m.becomes} for m in change.moves],
            "eips": list(change.eips),
            "was": _standing(change.was, self._sending),
            "becomes": _standing(change.becomes, self._sending),
        }


def _single_path(planner: Planner, peers: Sequence[Json]) -> Mapping[str, Set[Family]]:
    """The peers with one path for each prefix of some address families."""
    found: dict[str, Set[Family]] = {t.name: t.single_path for t in planner.sending.terms}
    sessions = Counter(peer["peer"] for peer in peers)
    for peer in peers:
        if peer["state"] == ESTABLISHED and sessions[peer["peer"]] == 1:
            single = set(peer["families"]).difference(peer["addPath"])
            found[peer["peer"]] = {f for f in Family if f"ipv{f.value}" in single}
    return {name: families for name, families in found.items() if families}


def _subject(supposed: Supposition) -> str:
    """The supposition as the beginning of a sentence."""
    lost, drained = _named(supposed.lost), f"{_named(supposed.drained)} drained"
    if not supposed.lost:
        return f"With {drained}"
    return f"Without {lost}, with {drained}" if supposed.drained else f"Without {lost}"


def _named(names: Iterable[str]) -> str:
    """The first names as a part of a sentence."""
    *others, last = sorted(names) or [""]
    if not others or len(others) >= MAX_LISTED:
        return listed([*others, last])
    return f"{listed(others)} and {listed([last])}"


def _effects(
    changes: Iterable[Consequence], supposed: Supposition, already: bool
) -> Iterator[Json]:
    """Each effect, with the number of Services that it has, in words."""
    counts = Counter(change.effect for change in changes)
    several = len(supposed.nodes) > 1
    for effect in Effect:
        count = counts[effect]
        if count:
            words = (_HAS if already else _WOULD)[effect].format(
                have=_have(count),
                be="is" if count == 1 else "are",
                stay="stays" if count == 1 else "stay",
                their="its" if count == 1 else "their",
                one="some" if several else "one",
                drained=_named(supposed.drained),
            )
            yield {
                "effect": effect.value,
                "already": already,
                "services": count,
                "text": f"{counted(count, 'Service')} {words}",
            }


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _standing(standing: Standing, sending: Sending) -> Json:
    paths = {
        str(address): [path(one, share, sending) for one, share in found]
        for address, found in standing.paths
    }
    hops = {address: sorted(p["nextHop"] for p in found) for address, found in paths.items()}
    return {"state": standing.state, "nextHops": hops, "paths": paths}


def difference(running: Json, wanted: Json) -> list[Json]:
    """The Services that differ between two plans, the worst effect first.  `was` and `becomes` have
    state, next hops and paths by address, None where the Service is not ours."""
    before, after = _chains(running), _chains(wanted)
    found = []
    for name in sorted(before.keys() | after.keys()):
        chain, chain_then = before.get(name), after.get(name)
        was, becomes = _summary(chain), _summary(chain_then)
        if was == becomes:
            continue
        state, state_then = (side["state"] if side else "" for side in (was, becomes))
        effect = effect_of(state, state_then, _nodes(was), _nodes(becomes))
        entry = {
            "service": name,
            "effect": effect.value,
            "eips": _eips(chain_then) or _eips(chain),
            "was": was,
            "becomes": becomes,
        }
        found.append((effect.rank, entry))
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def changed_eips(running: Json, wanted: Json, fields: Mapping[str, list[str]]) -> list[Json]:
    """Of the Eips of a plan those that `fields` names, with the fields of their specs that differ,
    and those that serve otherwise than in another plan.  `differs` is said of those that are not as
    in the other plan."""
    before = {eip["name"]: eip for eip in running["eips"]}
    found = []
    for eip in wanted["eips"]:
        was, changed = before.get(eip["name"]), fields.get(eip["name"], [])
        otherwise = was is None or _service_of(was) != _service_of(eip)
        if otherwise or eip["name"] in fields:
            more = {"new": was is None, "changed": changed, "differs": otherwise or bool(changed)}
            found.append({**eip, **more})
    return found


def _service_of(eip: Json) -> tuple[bool, str, str]:
    """Whether an Eip serves, and what is wrong with it."""
    return eip["ready"], eip["message"], eip["problem"]


def _chains(entry: Json) -> dict[str, Json]:
    return {f"{chain['namespace']}/{chain['name']}": chain for chain in entry["services"]}


def _eips(chain: Json | None) -> list[str]:
    return [] if chain is None else list(dict.fromkeys(chain["eips"]))


def _summary(chain: Json | None) -> Json | None:
    if chain is None:
        return None
    return {
        "state": chain["state"],
        "nextHops": chain["nextHops"],
        "paths": {route["address"]: route["paths"] for route in chain["routes"]},
    }


def _nodes(summary: Json | None) -> NodesByAddress:
    paths = {} if summary is None else summary["paths"]
    return {address: {path["node"] for path in of} for address, of in paths.items()}
