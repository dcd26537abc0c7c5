"""Formats the JSON of `report` as text for a terminal.

The JSON is the only input, so a running instance over HTTP and a dry run look alike.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

from porter_ryu.domain.text import one_line
from porter_ryu.domain.verdict import Reason
from porter_ryu.report_paths import attributes_text, share_text

Json = dict[str, Any]

_MAX_TEXT_CHARACTERS = 1_000


def printable_json(value: Any, limit: int = _MAX_TEXT_CHARACTERS) -> Any:
    """A copy of a JSON value in which every text is one printable line of at most `limit`
    characters.

    Names, requests and messages come from outside: they go through here before they are shown on a
    terminal.
    """
    if isinstance(value, str):
        return one_line(value, limit)
    if isinstance(value, dict):
        return {one_line(key, limit): printable_json(e, limit) for key, e in value.items()}
    if isinstance(value, list | tuple):
        return [printable_json(entry, limit) for entry in value]
    return value


def explanation(entry: Json) -> str:
    """The text of an explanation; its first line is the summary."""
    name = f"{entry['namespace']}/{entry['name']}"
    if not entry["ours"]:
        return f"{name}: {entry['state']}: {entry['message']}"
    lines = [f"{name}: {_headline(entry)}"]
    if entry["request"]:
        lines.append(f"  asks for {entry['request']['text']} ({entry['request']['source']})")
    if "refusedCommunities" in entry:
        lines.append(f"  communities left out: {entry['refusedCommunities']}")
    for route in entry["routes"]:
        lines += _route_lines(route)
    if entry["pools"] or "unreadable" not in entry:
        lines.append("  pools:")
    for pool in entry["pools"]:
        lines.append(f"    {pool['eip']}: {'usable' if pool['usable'] else 'no'}: {pool['why']}")
    if not entry["pools"] and "unreadable" not in entry:
        lines.append("    there is no Eip")
    return "\n".join(lines)


def _headline(entry: Json) -> str:
    addresses = ", ".join(entry["addresses"])
    if entry["announced"]:
        peers = sorted({peer for route in entry["routes"] for peer in _heard(route)})
        if not peers:
            return f"would be announced: {addresses}"
        return f"announced: {addresses} to {', '.join(peers)}"
    if entry["state"] == Reason.ALLOCATED.value:
        return f"{addresses}: {entry['message']}"
    return f"{entry['state']}: {entry['message']}"


def _heard(route: Json) -> set[str]:
    """The peers that were sent an address or an aggregate of it."""
    return {*route["peers"], *(name for one in route["aggregates"] for name in one["peers"])}


def _route_lines(route: Json) -> list[str]:
    record = "recorded in status" if route["recorded"] else "not recorded in status yet"
    lines = [f"  {route['address']} from Eip {route['eip']}, {record}"]
    if route["sharedWith"]:
        lines.append(f"    shared with {', '.join(route['sharedWith'])}")
    paths = {path["node"]: path for path in route["paths"]}
    for node in route["nodes"]:
        lines.append(f"    node {node['node']}: {_node_text(node, paths.get(node['node']))}")
    for peer, hops in route["peers"].items():
        lines.append(f"    sent to {peer}: {', '.join(hops)}")
    for aggregate in route["aggregates"]:
        lines.append(f"    in the aggregate {aggregate['prefix']}")
        for peer, hops in aggregate["peers"].items():
            lines.append(f"      sent to {peer}: {', '.join(hops)}")
    if route["notFor"]:
        names = ", ".join(route["notFor"])
        lines.append(f"    not for {names}: no entry of spec.advertisements names them")
    return lines


def _node_text(node: Json, path: Json | None) -> str:
    if not node["nextHop"]:
        return f"no: {node['why']}"
    text = f"next hop {node['nextHop']}"
    share = "but not of this address" if path is None else share_text(path)
    text += f", {share}" if share else ""
    text += f" ({node['why']})" if node["why"] else ""
    attributes = "" if path is None else attributes_text(path)
    return f"{text}; {attributes}" if attributes else text


def plan(entry: Json) -> str:
    """The text of a plan: the Services, the Eips, and what is wrong with nodes."""
    lines = []
    for chain in entry["services"]:
        name = f"{chain['namespace']}/{chain['name']}"
        paths = {route["address"]: route["paths"] for route in chain["routes"]}
        where = "; ".join(_addresses_text(chain["nextHops"], paths))
        reason = "" if chain["announced"] else f": {chain['message']}"
        lines.append(f"{name}: {chain['state']}{reason}{' (' + where + ')' if where else ''}")
        if "refusedCommunities" in chain:
            lines.append(f"  communities left out: {chain['refusedCommunities']}")
    for eip in entry["eips"]:
        used = f"{eip['usage']} of {eip['poolSize']} used"
        problem = f": {eip['problem']}" if eip["problem"] else ""
        lines.append(f"eip {eip['name']}: {eip['reason']}, {used} ({eip['address']}){problem}")
    lines += [f"warning: {text}" for text in entry["warnings"]]
    return "\n".join(lines)


def status(found: Json) -> str:
    """The text of a status: a line for each peer, each Eip and each state of Services."""
    lines = []
    for peer in found["peers"]:
        paths = ", ".join(f"{count} {family} paths" for family, count in peer["paths"].items())
        error = f" ({peer['lastError']})" if peer["lastError"] else ""
        lines.append(f"peer {peer['name']} {peer['address']}: {peer['state']}, {paths}{error}")
    for eip in found["eips"]:
        used = f"{eip['usage']} of {eip['poolSize']} used"
        lines.append(f"eip {eip['name']}: {eip['reason']}, {used}")
    states = collections.Counter(service["state"] for service in found["services"])
    lines += [f"services {state}: {count}" for state, count in sorted(states.items())]
    return "\n".join(lines)


def difference(changes: list[Json]) -> str:
    """The text of a difference, one line for each Service that changes."""
    lines = [
        f"{change['service']}: {_summary_text(change['was'])} -> {_summary_text(change['becomes'])}"
        for change in changes
    ]
    return "\n".join(lines) or "nothing would change"


def _summary_text(summary: Json | None) -> str:
    if summary is None:
        return "not ours"
    return "; ".join([summary["state"], *_addresses_text(summary["nextHops"], summary["paths"])])


def _addresses_text(next_hops: Json, paths: Json) -> Iterator[str]:
    """Where each address leads to; what a path says is in brackets."""
    for address, hops in next_hops.items():
        said = {path["nextHop"]: path for path in paths[address]}
        routes = (f"{hop}{_said(said[hop])}" for hop in hops)
        yield f"{address} via {', '.join(routes) or 'nothing'}"


def _said(path: Json) -> str:
    attributes = attributes_text(path)
    if not path["weight"]:
        return f" [{attributes}]" if attributes else ""
    return f" [{share_text(path)}{'; ' if attributes else ''}{attributes}]"
