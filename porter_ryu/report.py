"""The state of the program as JSON, for the HTTP API and the command line."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from porter_ryu import report_last_good, report_losses, rfc3339
from porter_ryu.domain import overview, service_mending
from porter_ryu.domain.addresses.outcome import PoolVerdict
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.explanation import AddressExplanation, Explanation, explain
from porter_ryu.domain.kept_routes import KeptBy, nothing_kept
from porter_ryu.domain.model import Address, Eip, EipStatus, Kind, Network, ObjectKey
from porter_ryu.domain.nodes.backends import EndpointStates
from porter_ryu.domain.nodes.next_hops import NodeVerdict
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.pool_growth import PoolGrowth
from porter_ryu.domain.prefix import host_prefix
from porter_ryu.domain.reach import IsSent, Reach, is_recorded, reach, was_sent
from porter_ryu.domain.shares import shares_at
from porter_ryu.domain.text import shortened
from porter_ryu.domain.verdict import DrawReason, Reason
from porter_ryu.report_paths import hop_text, path, rounded
from porter_ryu.report_unsent import UnsentServices
from porter_ryu.time_slice import TimeSlice

Json = dict[str, Any]
Sent = Callable[[Network], Mapping[str, tuple[Address, ...]]]
Unsent = Callable[[Network], Mapping[str, str]]
Peers = Callable[[], list[Json]]

_MAX_TEXT_CHARACTERS = 1_000
_ANNOUNCED = Reason.ANNOUNCED.value


def nothing_sent(_prefix: Network) -> Mapping[str, tuple[Address, ...]]:
    """For callers without BGP sessions."""
    return {}


def nothing_unsent(_prefix: Network) -> Mapping[str, str]:
    """For callers without BGP sessions."""
    return {}


def services(
    planner: Planner,
    sent: Sent,
    wanted: Callable[[Decision], bool] = lambda _decision: True,
    peers: Sequence[Json] = (),
    kept_by: KeptBy = nothing_kept,
) -> Iterator[Json]:
    """One entry for every Service of ours that is `wanted`, in order of name; `peers` are the
    sessions, `kept_by` says what is kept without one.  The planner may change between two entries,
    and others run meanwhile."""
    give_way, unsent = TimeSlice(), UnsentServices(planner, peers, kept_by)
    for key in sorted(planner.decisions):
        give_way()
        decision = planner.decisions.get(key)
        if decision is not None and wanted(decision):
            announced = is_announced(planner, decision, _is_sent(sent))
            yield service_line(decision, announced, unsent)


def _is_sent(sent: Sent) -> IsSent:
    return lambda prefix: any(sent(prefix).values())


def is_announced(planner: Planner, decision: Decision, is_sent: IsSent) -> bool:
    """Whether a Service is to be announced, its addresses are on record, and one of them was sent
    to a peer, itself or as part of an aggregate."""
    if decision.announced is None or not decision.announced.ok:
        return False
    return is_recorded(decision) and was_sent(planner, decision, is_sent)


def state_now(planner: Planner, decision: Decision, is_sent: IsSent) -> str:
    """The state of a Service as it is: `Announced` only if it is announced; otherwise the reason
    why not, or `Allocated` while nothing prevents it."""
    return _state(decision, is_announced(planner, decision, is_sent))


def _state(decision: Decision, announced: bool) -> str:
    if decision.state == _ANNOUNCED and not announced:
        return Reason.ALLOCATED.value
    return decision.state


def service_line(decision: Decision, announced: bool, unsent: UnsentServices) -> Json:
    """One Service in short; `announced` says whether it is, `unsent` why it was not sent."""
    outcome, state = decision.outcome, _state(decision, announced)
    message = decision.verdict.message
    if decision.announced is None and outcome.verdict.ok:
        message = "BGP is not enabled"
    if state != decision.state:
        not_recorded = "the address is not recorded in its status yet"
        message = unsent.why(decision).text if is_recorded(decision) else not_recorded
    return {
        "namespace": decision.service.key.namespace,
        "name": decision.service.key.name,
        "state": state,
        "announced": announced,
        "addresses": [str(held.address) for held in outcome.held],
        "eips": [held.eip for held in outcome.held],
        "recorded": [str(address) for address in decision.service.ingress],
        "message": shortened(message, _MAX_TEXT_CHARACTERS),
    }


def eips(planner: Planner) -> Iterator[Json]:
    """One entry for every Eip, in order of name.  The planner may change between two entries."""
    unread = (_unread_eip(*entry) for entry in sorted(overview.unread_eips(planner).items()))
    return heapq.merge(_readable_eips(planner), unread, key=lambda entry: str(entry["name"]))


def _readable_eips(planner: Planner) -> Iterator[Json]:
    for eip, status in overview.eips(planner):
        unreadable = planner.cluster.why_unreadable(Kind.EIP, eip.key)
        problems_of_it = (
            f"it cannot be read, its last good form is in force: {unreadable}"
            if unreadable
            else "",
            planner.eip_problems.found().get(eip.name, ""),
        )
        yield {
            "name": eip.name,
            "address": shortened(_address_of(eip, status), _MAX_TEXT_CHARACTERS),
            "ready": status.ready,
            "reason": status.reason.value,
            "message": shortened(status.message, _MAX_TEXT_CHARACTERS),
            "problem": shortened("; ".join(filter(None, problems_of_it)), _MAX_TEXT_CHARACTERS),
            "disabled": overview.is_disabled(planner, eip),
            "usage": status.usage,
            "poolSize": status.pool_size,
            "used": dict(status.used),
        }


def _unread_eip(name: str, reason: str) -> Json:
    """An Eip that never was readable: what it has, and who holds that, is not known."""
    return {
        "name": name,
        "address": "",
        "ready": False,
        "reason": DrawReason.UNREADABLE.value,
        "message": shortened(f"it cannot be read: {reason}", _MAX_TEXT_CHARACTERS),
        "problem": "",
        "disabled": False,
        "usage": 0,
        "poolSize": 0,
        "used": {},
    }


def growth(found: PoolGrowth | str, epoch: float) -> Json:
    """How an Eip fills, or why there is nothing to say of that; `epoch`: Unix time when the clock
    of the samples was 0.  To the minute, because it is an estimate."""
    if isinstance(found, str):
        return {"growth": None, "growthReason": found}
    full_at = 60.0 * round((epoch + found.full_at) / 60.0)
    told = {
        "added": found.added,
        "seconds": round(found.seconds),
        "fullAt": rfc3339.text(full_at),
    }
    return {"growth": told, "growthReason": ""}


def _address_of(eip: Eip, status: EipStatus) -> str:
    """spec.address; of an Eip whose spec cannot be read that of the form in force."""
    return eip.address or (status.serving.address if status.serving is not None else "")


def explanation(
    planner: Planner,
    key: ObjectKey,
    sent: Sent | None,
    unsent: Unsent = nothing_unsent,
    peers: Sequence[Json] = (),
    kept_by: KeptBy = nothing_kept,
) -> Json:
    """Everything about one Service.  `sent` returns by peer the next hops that were sent to it;
    None: a dry run, which shows decisions as if they were applied.  `unsent` returns by peer why a
    prefix was not sent to it.  `peers` are the sessions, `kept_by` says what is kept
    without one."""
    now = time.monotonic()
    chain = explain(planner, key, now)
    entry: Json = {"namespace": key.namespace, "name": key.name, "found": chain.service is not None}
    entry["ours"] = chain.decision is not None
    entry["lastGood"] = report_last_good.entries(chain.last_good)
    if chain.service is None:
        unreadable = shortened(chain.unreadable, _MAX_TEXT_CHARACTERS)
        text = f"it cannot be read: {unreadable}" if unreadable else "there is no such Service"
        return {**entry, "state": "NotFound", "announced": False, "message": text}
    if chain.decision is None:
        text = shortened(chain.service.not_ours, _MAX_TEXT_CHARACTERS)
        return {**entry, "state": "NotOurs", "announced": False, "message": text}
    if sent is None:
        announced = chain.decision.state == _ANNOUNCED
    else:
        announced = is_announced(planner, chain.decision, _is_sent(sent))
    carried = UnsentServices(planner, peers, kept_by)
    entry |= service_line(chain.decision, announced, carried)
    if chain.unreadable:
        entry["unreadable"] = chain.unreadable
    entry["mend"] = "" if announced else report_losses.mend(planner, chain.decision, carried, now)
    entry["externalTrafficPolicy"] = "Local" if chain.service.local_traffic else "Cluster"
    entry["request"] = _request(chain)
    entry["pools"] = [_pool(pool) for pool in chain.pools]
    if chain.decision.refused_communities:
        entry["refusedCommunities"] = chain.decision.refused_communities
    entry["routes"] = [
        _address(planner, key, address, sent or nothing_sent)
        | _reach(
            address,
            reach(planner, address.address),
            sent or nothing_sent,
            _unselected(planner, address) if sent is None else _unsent(address, unsent),
        )
        for address in chain.addresses
    ]
    return entry


def _unsent(entry: AddressExplanation, unsent: Unsent) -> Mapping[str, str]:
    return unsent(host_prefix(entry.address)) if entry.recorded and entry.paths else {}


def _unselected(planner: Planner, entry: AddressExplanation) -> Mapping[str, str]:
    """The peers that would not be sent an address because of their node_selector."""
    labels = [dict(path.next_hop.labels) for path, _ in entry.paths]
    why = "its node_selector selects none of the next hops"
    terms = planner.sending.terms if labels else ()
    return {t.name: why for t in terms if not any(map(t.selector.matches, labels))}


def _request(chain: Explanation) -> Json | None:
    request = chain.service.request if chain.service is not None else None
    if request is None:
        return None
    return {"source": request.source, "text": shortened(request.text, _MAX_TEXT_CHARACTERS)}


def _pool(entry: PoolVerdict) -> Json:
    verdict = entry.verdict
    return {
        "eip": entry.eip,
        "usable": verdict.ok,
        "reason": verdict.reason.value,
        "why": shortened(verdict.message, _MAX_TEXT_CHARACTERS),
    }


def _address(planner: Planner, key: ObjectKey, entry: AddressExplanation, sent: Sent) -> Json:
    mend = service_mending.of_endpoints(key, planner.policy.editing)
    of_address = sent(host_prefix(entry.address))
    return {
        "address": str(entry.address),
        "eip": entry.eip,
        "recorded": entry.recorded,
        "sharedWith": [str(key) for key in entry.sharers],
        "claimants": [str(key) for key in entry.claimants],
        "nodes": [_node(planner, node, entry.eip) for node in entry.nodes],
        "paths": [path(one, share, planner.sending) for one, share in entry.paths],
        "endpoints": [_endpoints(states, mend) for states in entry.endpoints],
        "peers": _peers(of_address),
        "shares": _shares(planner, entry, of_address),
    }


def _shares(
    planner: Planner, entry: AddressExplanation, sent: Mapping[str, tuple[Address, ...]]
) -> dict[str, dict[str, float | None]]:
    """By peer and node, the share of the traffic of an address in per cent at this peer."""
    paths = [path for path, _ in entry.paths]
    found: dict[str, dict[str, float | None]] = {}
    for terms in planner.sending.terms:
        hops = sent.get(terms.name)
        if hops:
            at_peer = shares_at(paths, terms, hops)
            found[terms.name] = {p.next_hop.node: rounded(s) for p, s in at_peer.items()}
    return found


def _endpoints(states: EndpointStates, mend: str) -> Json:
    """The endpoints on a node; `mend` mends those that are not ready."""
    return {
        "node": states.node,
        "ready": states.ready,
        "terminating": states.terminating,
        "notReady": states.not_ready,
        "mend": mend if states.not_ready else "",
    }


def _reach(entry: AddressExplanation, found: Reach, sent: Sent, unsent: Mapping[str, str]) -> Json:
    """The aggregates of an address, and the peers that hear nothing of it: those that its Eip
    leaves out, and those that were not sent it."""
    aggregates = [
        {"prefix": str(prefix), "peers": _peers(sent(prefix))} for prefix in found.aggregates
    ]
    heard = {peer for aggregate in aggregates for peer in aggregate["peers"]}
    return {
        "aggregates": aggregates,
        "notFor": list(found.left_out),
        "notSent": [
            {"peer": peer, "why": shortened(text, _MAX_TEXT_CHARACTERS)}
            for peer, text in sorted({**unsent, **found.left_out}.items())
            if peer not in heard
        ],
    }


def _peers(sent: Mapping[str, tuple[Address, ...]]) -> dict[str, list[str]]:
    return {name: list(map(str, _sorted(hops))) for name, hops in sorted(sent.items()) if hops}


def _sorted(hops: Iterable[Address]) -> list[Address]:
    return sorted(hops, key=lambda hop: (hop.version, int(hop)))


def _node(planner: Planner, entry: NodeVerdict, eip: str) -> Json:
    return {
        "node": entry.node,
        "nextHop": None if entry.next_hop is None else hop_text(entry.next_hop),
        "reason": entry.verdict.reason.value,
        "why": entry.verdict.message,
        "mend": service_mending.of_node(planner, entry, eip),
    }
