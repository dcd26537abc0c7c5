"""Formats the JSON of `report` as text for a terminal.

The JSON is the only input, so a running instance over HTTP and a dry run look alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from porter_ryu import report_last_good
from porter_ryu.domain.address_states import AddressState
from porter_ryu.domain.ports import NOT_KNOWN
from porter_ryu.domain.text import counted, listed
from porter_ryu.domain.verdict import Reason
from porter_ryu.report_paths import attributes_text, share_text, shares_text

Json = dict[str, Any]

_MAX_NEXT_HOPS = 16  # that are shown of one address
_MAX_DEPENDENTS = 20
_NO_HOLDER = {  # what is said, by its state, of an address that no Service is known to have
    NOT_KNOWN: "",
    AddressState.RECORD_UNKNOWN.value: "which Service has it is not known; ",
}


def explanation(entry: Json) -> str:
    """The text of an explanation; its first line is the summary."""
    name = f"{entry['namespace']}/{entry['name']}"
    if not entry["ours"]:
        first = f"{name}: {entry['state']}: {entry['message']}"
        return "\n".join([first, *report_last_good.lines(entry["lastGood"])])
    lines = [f"{name}: {_headline(entry)}", *report_last_good.lines(entry["lastGood"])]
    if entry["mend"]:
        lines.append(f"  to mend it: {entry['mend']}")
    if entry["request"]:
        lines.append(f"  asks for {entry['request']['text']} ({entry['request']['source']})")
    if "refusedCommunities" in entry:
        lines.append(f"  communities left out: {entry['refusedCommunities']}")
    for route in entry["routes"]:
        lines += _route_lines(route)
    left = [address for address in entry["recorded"] if address not in entry["addresses"]]
    if left:
        lines.append(f"  {listed(left)}: on record in its status, and not assigned to it")
    if entry["pools"] or "unreadable" not in entry:
        lines.append("  pools:")
    lines += _pool_lines(entry["pools"])
    if not entry["pools"] and "unreadable" not in entry:
        lines.append("    there is no Eip")
    return "\n".join(lines)


def address(entry: Json) -> str:
    """The text of an address: the explanations of the Services that have it, or who else has it."""
    name, why = entry["address"], entry["why"]
    lines = [explanation(service) for service in entry["services"]]
    if not lines:
        known = _NO_HOLDER.get(entry["state"], "no Service has it; ")
        lines = [f"{name}: {known}{why}"]
    elif entry["owners"] or entry["foreign"] or not entry["holders"]:
        lines.append(f"{name}: {why}")
    asking = [f"{one['namespace']}/{one['name']}" for one in entry["claimants"]]
    if asking and not entry["holders"]:  # else it is told with the route of the holder
        lines.append(f"  {_claims(asking)}")
    return "\n".join(lines)


def _claims(names: list[str]) -> str:
    verb = "asks for it and does" if len(names) == 1 else "ask for it and do"
    return f"{listed(names)} {verb} not get it"


def _pool_lines(pools: list[Json]) -> Iterator[str]:
    texts = ((f"{'usable' if p['usable'] else 'no'}: {p['why']}", p["eip"]) for p in pools)
    for text, names in _grouped(texts):
        yield f"    {listed(names)}: {text}"


def _headline(entry: Json) -> str:
    addresses = ", ".join(entry["addresses"])
    if entry["announced"]:
        peers = sorted({peer for route in entry["routes"] for peer in _heard(route)})
        if not peers:
            return f"would be announced: {addresses}"
        return f"announced: {addresses} to {listed(peers)}"
    if entry["state"] == Reason.ALLOCATED.value:
        return f"{addresses}: {entry['message']}"
    return f"{entry['state']}: {entry['message']}"


def _heard(route: Json) -> set[str]:
    """The peers that were sent an address or an aggregate of it."""
    return {*route["peers"], *(name for one in route["aggregates"] for name in one["peers"])}


def _route_lines(route: Json) -> list[str]:
    record = "recorded in status" if route["recorded"] else "not recorded in status yet"
    eip = f" from Eip {route['eip']}" if route["eip"] else ", kept because an Eip cannot be read"
    lines = [f"  {route['address']}{eip}, {record}"]
    if route["sharedWith"]:
        lines.append(f"    shared with {listed(route['sharedWith'])}")
    if route["claimants"]:
        lines.append(f"    {_claims(route['claimants'])}")
    lines += _node_lines(route)
    lines += _sent_lines(route["peers"], "    ", lambda peer: shares_text(route, peer))
    for aggregate in route["aggregates"]:
        lines.append(f"    in the aggregate {aggregate['prefix']}")
        lines += _sent_lines(aggregate["peers"], "      ")
    for why, peers in _grouped((peer["why"], peer["peer"]) for peer in route["notSent"]):
        lines.append(f"    not sent to {listed(peers)}: {why}")
    return lines


def _node_lines(route: Json) -> Iterator[str]:
    """The next hops first, then the other nodes, those with the same reason in one line."""
    paths = {path["node"]: path for path in route["paths"]}
    nodes = sorted(route["nodes"], key=lambda node: numbers_in_order(node["node"]))
    hops = [node for node in nodes if node["nextHop"]]
    for node in hops[:_MAX_NEXT_HOPS]:
        yield f"    node {node['node']}: {_hop_text(node, paths.get(node['node']))}"
    if len(hops) > _MAX_NEXT_HOPS:
        yield f"    and {len(hops) - _MAX_NEXT_HOPS} more next hops"
    others = ((node["why"], node["node"]) for node in nodes if not node["nextHop"])
    for why, names in _grouped(others):
        yield f"    node{'s' if len(names) > 1 else ''} {listed(names)}: no: {why}"


def numbers_in_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts n2 before n10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(part[:18]), part) if part.isdecimal() else (-1, part) for part in parts]


def _sent_lines(
    peers: Json, indent: str, remark: Callable[[str], str] = lambda _peer: ""
) -> Iterator[str]:
    """What was sent to peers, those that were sent the same in one line, with a remark on each."""
    texts = {name: (listed(hops, _MAX_NEXT_HOPS), remark(name)) for name, hops in peers.items()}
    for text, names in _grouped(
        (f"{hops} ({said})" if said else hops, name) for name, (hops, said) in texts.items()
    ):
        yield f"{indent}sent to {listed(names)}: {text}"


def _grouped(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, list[str]]]:
    """The names that each text belongs to, in order of the first."""
    found: dict[str, list[str]] = {}
    for text, name in pairs:
        found.setdefault(text, []).append(name)
    return found.items()


def _hop_text(node: Json, path: Json | None) -> str:
    text = f"next hop {node['nextHop']}"
    share = "but not of this address" if path is None else share_text(path)
    text += f", {share}" if share else ""
    text += f" ({node['why']})" if node["why"] else ""
    attributes = "" if path is None else attributes_text(path)
    return f"{text}; {attributes}" if attributes else text


def node(entry: Json) -> str:
    """The text of a node and of the Services that depend on it."""
    if not entry["found"]:
        return "\n".join([f"node {entry['node']}: {entry['why']}", *_unserved_lines(entry)])
    verdict = "usable" if entry["usable"] else f"not usable: {entry['why'] or entry['reason']}"
    if entry["usable"] and entry["why"]:
        verdict += f" ({entry['why']})"
    lines = [f"node {entry['node']}: {verdict}{_since(entry)}"]
    lines += report_last_good.lines(entry["lastGood"])
    lines.append(f"  addresses: {listed(entry['addresses']) or 'none'}")
    if entry["dead"]:
        lines.append("  dead")
    if not entry["usable"] and entry["mend"]:
        lines.append(f"  to mend it: {entry['mend']}")
    dependents, alone = entry["dependents"], entry["dependentsAlone"]
    drained = entry["dependentsOthersDrained"]
    if not dependents:
        return "\n".join([*lines, "  next hop of no Service", *_unserved_lines(entry)])
    only = f", {len(alone):,} of which {_have(alone)} no other" if alone else ""
    if drained:
        only += f", {len(drained):,} of which {_have(drained)} no other that is not drained"
    percent = entry["share"]
    share = "" if percent is None else f", {percent:g} % of all paths that get traffic"
    lines.append(f"  next hop of {counted(len(dependents), 'Service')}{only}{share}:")
    remarks = dict.fromkeys(alone, "no other next hop")
    remarks |= dict.fromkeys(drained, "no other next hop that is not drained")
    lines += _dependent_lines(dependents, remarks)
    return "\n".join([*lines, *_unserved_lines(entry)])


def _since(entry: Json) -> str:
    """Since when a node is as it is, as the end of a sentence; empty for a dry run."""
    if entry["recordedSince"] is None:
        return ""
    before, time = "" if entry["since"] else "before ", entry["since"] or entry["recordedSince"]
    return f", since {before}{time.partition('.')[0].rstrip('Z')}Z"


def _unserved_lines(entry: Json) -> Iterator[str]:
    """The Services that would use a node and do not, those with the same reason together."""
    for group in entry["unserved"]:
        services, alone = group["services"], group["alone"]
        only = f"; {len(alone):,} of them {_have(alone)} no next hop" if alone else ""
        yield f"  not used by {counted(len(services), 'Service')}, because {group['why']}{only}:"
        yield from _dependent_lines(services, dict.fromkeys(alone, "no next hop"))


def _dependent_lines(services: list[str], remarks: dict[str, str]) -> Iterator[str]:
    """The names of Services, those first on which there is a remark, by name; the first of a long
    list."""
    others = (name for name in services if name not in remarks)
    for name in [*remarks, *others][:_MAX_DEPENDENTS]:
        yield f"    {name} ({remarks[name]})" if name in remarks else f"    {name}"
    if len(services) > _MAX_DEPENDENTS:
        yield f"    and {len(services) - _MAX_DEPENDENTS} more (-o json has all)"


def _have(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"
