"""Formats plans, and what would change, as text for a terminal (`report_plan` has the JSON)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from porter_ryu.domain.effect import Effect
from porter_ryu.domain.text import MAX_LISTED, changed_names, counted, listed
from porter_ryu.domain.verdict import DrawReason
from porter_ryu.report_paths import attributes_text, share_text

Json = dict[str, Any]

_MAX_GROUPS = 20  # of Services with the same change, that are shown of one effect
_HAS_ALL = "(-o json has all)"
_LEAVING = "graceful-shutdown"
_UNREADABLE = DrawReason.UNREADABLE.value
_OUTAGES = {
    Effect.NOT_ANNOUNCED: "not be announced any more",
    Effect.OTHER_ADDRESS: "have another address",
}


def plan(entry: Json) -> str:
    """The text of a plan: the Services, the Eips, and the warnings."""
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
        lines.append(f"eip {_eip_text(eip)}")
    lines += [f"warning: {text}" for text in entry["warnings"]]
    return "\n".join(lines)


def _eip_text(eip: Json) -> str:
    where = f" ({eip['address']})" if eip["address"] else ""
    text = f"{eip['name']}: {eip['reason']}"
    if eip["reason"] != _UNREADABLE:
        text += f", {eip['usage']} of {eip['poolSize']} used{where}"
    text += ", disabled" if eip["disabled"] else ""
    why = eip["problem"] if eip["ready"] else eip["message"]
    return f"{text}: {why}" if why else text


def difference(changes: list[Json]) -> str:
    """The text of a difference: how many Services change, then each change with the Services that
    it concerns, those first that would not be announced any more."""
    if not changes:
        return "nothing would change"
    first = f"{counted(len(changes), 'Service')} would change"
    for effect, what in _OUTAGES.items():
        count = sum(change["effect"] == effect.value for change in changes)
        first += f"; {count} of them would {what}" if count else ""
    return "\n".join([first, *_changes(changes)])


def staged(found: Json) -> str:
    """The text of what manifests would change: the Eips in them, the warnings about these, then the
    Services that change."""
    lines = []
    for eip in found["eips"]:
        lines.append(f"eip {_eip_text(eip)}")
        if eip["changed"] and not eip["new"]:
            lines.append(f"  would change: {', '.join(f'spec.{name}' for name in eip['changed'])}")
    lines += [f"warning: {text}" for text in found["warnings"]]
    if not found["services"] and any(eip["differs"] for eip in found["eips"]):
        return "\n".join([*lines, "no Service would change"])
    return "\n".join([*lines, difference(found["services"])])


def what_if(found: Json) -> str:
    """The text of what the loss or the drain of nodes would change: the answer in a sentence, then
    for each effect the changes with the Services that they concern."""
    lines = [found["sentence"]]
    for effect in found["effects"]:
        changes = found["already" if effect["already"] else "services"]
        lines.append(f"{effect['text']}:")
        lines += _changes([c for c in changes if c["effect"] == effect["effect"]])
    for already in (False, True):
        aggregates = [entry for entry in found["aggregates"] if entry["already"] == already]
        if aggregates:
            lines.append("aggregates that have changed already:" if already else "aggregates:")
            lines += _aggregate_lines(aggregates)
    for node in found["nodes"]:
        if node["services"] and not node["usable"]:
            lines.append(f"endpoints on {node['node']}:")
            lines.append(f"    {_folded(node['services'])}")
    return "\n".join(lines)


def _changes(changes: Sequence[Json]) -> Iterator[str]:
    """Each change with the Services that it concerns.  Where there are too many, Services that gain
    and lose the same nodes are told together."""
    groups = _groups(changes, _change_text)
    if len(groups) > _MAX_GROUPS:
        groups = sorted(_groups(changes, _nodes_text), key=lambda group: -len(group[1]))
    return _group_lines(groups, "Services")


def _aggregate_lines(changes: Sequence[Json]) -> Iterator[str]:
    """Each change of aggregates, by the nodes that they gain and lose, with the aggregates."""
    return _group_lines(_groups(changes, _nodes_text), "aggregates")


def _group_lines(groups: Sequence[tuple[str, list[str]]], many: str) -> Iterator[str]:
    for text, names in groups[:_MAX_GROUPS]:
        if len(names) == 1:
            yield f"  {names[0]}{text}"
            continue
        yield f"  {len(names)} {many}{text}"
        yield f"    {_folded(names)}"
    rest = groups[_MAX_GROUPS:]
    if rest:
        count = sum(len(names) for _, names in rest)
        yield f"  and {len(rest)} other changes of {count} {many} {_HAS_ALL}"


def _groups(changes: Iterable[Json], to_text: Callable[[Json], str]) -> list[tuple[str, list[str]]]:
    """The Services or aggregates with the same change and Eips, in order of the first."""
    groups: dict[str, list[str]] = {}
    for change in changes:
        eips = f" in Eip {listed(change['eips'])}" if change["eips"] else ""
        groups.setdefault(f"{eips}: {to_text(change)}", []).append(_name(change))
    return list(groups.items())


def _folded(names: list[str]) -> str:
    shown = listed(names)
    return f"{shown} {_HAS_ALL}" if len(names) > MAX_LISTED else shown


def _name(change: Json) -> str:
    """A Service, with its addresses where these change, or an aggregate; and the peers that the
    change is about."""
    name = str(change["prefix"] if "prefix" in change else change["service"])
    was, becomes = (list(side["paths"]) if side else [] for side in _sides(change))
    said = []
    if was != becomes:
        said.append(" -> ".join(listed(side) for side in (was, becomes) if side))
    if change["effect"] == Effect.OTHER_PATH.value:
        moves = [f"{m['peer']}: {m['was']} -> {m['becomes']}" for m in change["moves"]]
        said.append(listed(moves))
    if change.get("peers"):
        said.append(f"for {listed(change['peers'])}")
    return f"{name} ({'; '.join(said)})" if said else name


def _sides(change: Json) -> tuple[Json | None, Json | None]:
    return change["was"], change["becomes"]


def _change_text(change: Json) -> str:
    """What changes, without the addresses of the Service: the nodes, and more of their paths where
    those of a node that stays change, or nothing else does."""
    was, becomes = _sides(change)
    if was == becomes:
        return "as it is for the other peers"
    states = ["not ours" if side is None else str(side["state"]) for side in (was, becomes)]
    if states[0] != states[1]:
        then = _told(becomes, _by_name)
        return " -> ".join(states) + (f" via {listed(then)}" if then else "")
    hops = _next_hops(was, becomes)
    return changed_names(*hops) if hops else "the same nodes by another address"


def _nodes_text(change: Json) -> str:
    """As `_change_text`, but of nodes only those that a Service loses, and those that it gains."""
    was, becomes = _sides(change)
    before, after = (set(_told(side, _by_name)) for side in (was, becomes))
    if before == after or not (was and becomes and was["state"] == becomes["state"]):
        return _change_text(change)
    sides = ("without", before - after), ("with", after - before)
    return ", ".join(f"{word} {listed(sorted(nodes))}" for word, nodes in sides if nodes)


def _next_hops(was: Json | None, becomes: Json | None) -> tuple[list[str], list[str]] | None:
    """The next hops on both sides, with as much of their paths as tells the sides apart, and
    without those that stay as they are if all nodes stay; None if all is the same."""
    names, attributes = ([_told(side, told) for side in (was, becomes)] for told in _BRIEFLY)
    if names[0] != names[1]:
        stay = set(names[0]) & set(names[1])
        unchanged = len(set(attributes[0]) & set(attributes[1])) == len(stay)
        before, after = names if unchanged else attributes
        return before, after
    for told in (_with_attributes, _with_address, _with_share):
        before, after = (_told(side, told) for side in (was, becomes))
        if before != after:
            both = set(before) & set(after)
            return [h for h in before if h not in both], [h for h in after if h not in both]
    return None


def _told(side: Json | None, told: Callable[[Json], str]) -> list[str]:
    """The next hops of a Service, in the words of `told`; where its addresses differ in them, with
    the address family."""
    paths = {} if side is None else side["paths"]
    lists = {address: list(map(told, of)) for address, of in paths.items()}
    first = next(iter(lists.values()), [])
    if all(hops == first for hops in lists.values()):
        return first
    return [f"{hop} for {_family(address)}" for address, hops in lists.items() for hop in hops]


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _by_name(path: Json) -> str:
    leaving = _LEAVING in path["communities"]
    return f"{path['node']} with GRACEFUL_SHUTDOWN" if leaving else str(path["node"])


def _with_attributes(path: Json) -> str:
    return f"{path['node']}{_said(path)}"


def _with_address(path: Json) -> str:
    return f"{path['node']} ({path['nextHop']})"


def _with_share(path: Json) -> str:
    return f"{path['node']} ({'share unknown' if path['share'] is None else share_text(path)})"


_BRIEFLY = (_by_name, _with_attributes)


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
