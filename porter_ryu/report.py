"""What the program says about itself: JSON for tools, plain words for people.

HTTP and the command line print the same thing, because both print this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any

from porter_ryu.domain.decision import Decision
from porter_ryu.domain.explanation import AddressExplanation, Explanation, explain
from porter_ryu.domain.model import Address, Network, NextHop, ObjectKey
from porter_ryu.domain.planner import Planner

Json = dict[str, Any]
Sent = Callable[[Network], Mapping[str, tuple[Address, ...]]]


def nothing_sent(_prefix: Network) -> Mapping[str, tuple[Address, ...]]:
    """Stands for the sessions where there are none, as in `plan`."""
    return {}


def services(planner: Planner) -> list[Json]:
    """One entry for every Service of ours, in order of name."""
    return [service_line(planner.decisions[key]) for key in sorted(planner.decisions)]


def service_line(decision: Decision) -> Json:
    """One Service in short."""
    outcome, announced = decision.outcome, decision.announced
    refusal = outcome.refusal or announced
    return {
        "namespace": decision.service.key.namespace,
        "name": decision.service.key.name,
        "state": decision.state,
        "addresses": [str(held.address) for held in outcome.held],
        "eips": [held.eip for held in outcome.held],
        "recorded": [str(address) for address in decision.service.ingress],
        "message": refusal.message if refusal is not None else "",
    }


def eips(planner: Planner) -> list[Json]:
    """One entry for every Eip, in order of name."""
    entries = []
    for name in sorted(planner.cluster.eips):
        status = planner.allocator.pool_status(name)
        entries.append(
            {
                "name": name,
                "address": planner.cluster.eips[name].address,
                "ready": status.ready,
                "reason": status.reason.value,
                "message": status.message,
                "usage": status.usage,
                "poolSize": status.pool_size,
                "used": dict(status.used),
            }
        )
    return entries


def explanation(planner: Planner, key: ObjectKey, sent: Sent) -> Json:
    """The whole chain for one Service; `sent` tells which peer was sent which next hops."""
    chain = explain(planner, key)
    entry: Json = {"namespace": key.namespace, "name": key.name, "found": chain.service is not None}
    entry["ours"] = chain.decision is not None
    if chain.service is None:
        return {**entry, "state": "NotFound", "message": "there is no such Service"}
    if chain.decision is None:
        return {**entry, "state": "NotOurs", "message": chain.service.not_ours}
    entry |= service_line(chain.decision)
    if chain.unreadable:
        entry["unreadable"] = chain.unreadable
    entry["request"] = _request(chain)
    entry["pools"] = [{"eip": p.eip, "usable": p.usable, "why": p.why} for p in chain.pools]
    entry["routes"] = [_address(address, sent) for address in chain.addresses]
    announced = chain.decision.announced
    entry["announced"] = bool(
        announced is not None and any(route["peers"] for route in entry["routes"])
    )
    return entry


def _request(chain: Explanation) -> Json | None:
    request = chain.service.request if chain.service is not None else None
    return {"source": request.source, "text": request.text} if request is not None else None


def _address(entry: AddressExplanation, sent: Sent) -> Json:
    return {
        "address": str(entry.address),
        "eip": entry.eip,
        "recorded": entry.recorded,
        "sharedWith": [str(key) for key in entry.sharers],
        "nodes": [{"node": v.node, "nextHop": _hop(v.next_hop), "why": v.why} for v in entry.nodes],
        "peers": {
            name: [str(hop) for hop in hops]
            for name, hops in sorted(sent(ip_network(entry.address)).items())
            if hops
        },
    }


def _hop(hop: NextHop | None) -> str | None:
    if hop is None:
        return None
    return "self" if hop.is_self else str(hop.address or hop.ipv6)


def explanation_text(entry: Json) -> str:
    """An explanation in plain words; its first line says what matters most."""
    name = f"{entry['namespace']}/{entry['name']}"
    if not entry["ours"]:
        return f"{name}: {entry['state']}: {entry['message']}"
    lines = [f"{name}: {_headline(entry)}"]
    if entry["request"]:
        lines.append(f"  asks for {entry['request']['text']} ({entry['request']['source']})")
    for route in entry["routes"]:
        lines += _route_lines(route)
    lines.append("  pools:")
    for pool in entry["pools"]:
        lines.append(f"    {pool['eip']}: {'usable' if pool['usable'] else 'no'}: {pool['why']}")
    if not entry["pools"]:
        lines.append("    there is no Eip at all")
    return "\n".join(lines)


def _headline(entry: Json) -> str:
    addresses = ", ".join(entry["addresses"])
    if entry["announced"]:
        peers = sorted({peer for route in entry["routes"] for peer in route["peers"]})
        return f"announced: {addresses} to {', '.join(peers)}"
    if entry["state"] == "Announced":
        recorded = all(route["recorded"] for route in entry["routes"])
        why = "no peer has been sent it" if recorded else "it would be given; nothing recorded yet"
        return f"{addresses}: {why}"
    return f"{entry['state']}: {entry['message']}"


def _route_lines(route: Json) -> list[str]:
    record = "recorded in status" if route["recorded"] else "not recorded in status yet"
    lines = [f"  {route['address']} from Eip {route['eip']}, {record}"]
    if route["sharedWith"]:
        lines.append(f"    shared with {', '.join(route['sharedWith'])}")
    for node in route["nodes"]:
        verdict = f"next hop {node['nextHop']}" if node["nextHop"] else f"no: {node['why']}"
        if node["nextHop"] and node["why"]:
            verdict += f" ({node['why']})"
        lines.append(f"    node {node['node']}: {verdict}")
    for peer, hops in route["peers"].items():
        lines.append(f"    sent to {peer}: {', '.join(hops)}")
    return lines


def plan(planner: Planner, pause: Callable[[], None]) -> Json:
    """What would be, for the whole cluster; `pause` is called after each Service."""
    chains = []
    for key in sorted(planner.decisions):
        chain = explanation(planner, key, nothing_sent)
        if chain["ours"]:
            chains.append(chain)
        pause()
    for entry in chains:
        entry["nextHops"] = {
            route["address"]: sorted(n["nextHop"] for n in route["nodes"] if n["nextHop"])
            for route in entry["routes"]
        }
    return {"services": chains, "eips": eips(planner)}


def plan_text(entry: Json) -> str:
    """A plan in plain words, one line for each Service and Eip."""
    lines = []
    for chain in entry["services"]:
        name = f"{chain['namespace']}/{chain['name']}"
        where = "; ".join(
            f"{address} via {', '.join(hops) or 'nothing'}"
            for address, hops in chain["nextHops"].items()
        )
        reason = "" if chain["state"] == "Announced" else f": {chain['message']}"
        lines.append(f"{name}: {chain['state']}{reason}{' (' + where + ')' if where else ''}")
    for eip in entry["eips"]:
        used = f"{eip['usage']} of {eip['poolSize']} used"
        lines.append(f"eip {eip['name']}: {eip['reason']}, {used} ({eip['address']})")
    return "\n".join(lines)


def difference(running: Json, planned: Json) -> list[Json]:
    """What would change for each Service between two plans: `was` and `becomes` have state,
    addresses and next hops, None where it is not ours."""
    before, after = _essence(running), _essence(planned)
    return [
        {"service": name, "was": before.get(name), "becomes": after.get(name)}
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _essence(entry: Json) -> dict[str, Json]:
    return {
        f"{chain['namespace']}/{chain['name']}": {
            "state": chain["state"],
            "nextHops": chain["nextHops"],
        }
        for chain in entry["services"]
    }


def difference_text(changes: list[Json]) -> str:
    """A difference in plain words, one line for each Service that changes."""
    lines = [
        f"{change['service']}: {_short(change['was'])} -> {_short(change['becomes'])}"
        for change in changes
    ]
    return "\n".join(lines) or "nothing would change"


def _short(essence: Json | None) -> str:
    if essence is None:
        return "not ours"
    routes = (
        f"{address} via {', '.join(hops) or 'nothing'}"
        for address, hops in essence["nextHops"].items()
    )
    return "; ".join([essence["state"], *routes])
