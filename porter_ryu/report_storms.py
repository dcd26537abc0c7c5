"""Folds the record of changes for people: many changes with one cause are one entry.

A lost node changes a route of every Service that it runs; a flapping endpoint changes one route a
hundred times.  Each is one entry that says what happened, to how many, and because of what.  A few
changes stay single.  Changes with different causes are one entry only where each is about the
Service that caused it: what many are blamed on is never joined with anything else.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from porter_ryu.domain.text import changed_text, listed
from porter_ryu.report_changes import Json, duration, head, kind_of_parts, tail, wrapped
from porter_ryu.report_text import numbers_in_order

_FEW_OBJECTS, _FEW_CHANGES = 5, 20  # so many stay single
_MAX_ROWS = 4  # of one kind in an entry
_READ_BEFORE = re.compile(r", read [0-9.]+ s before")
_OWN = re.compile(r"(Service|EndpointSlice) (\S+)( deleted)?")
_NAMES = re.compile(r"(Service|EndpointSlice|Node|Eip|Namespace) \S")
_AND_MORE = re.compile(r" and [0-9]+ more$")
_PROBES = re.compile(r"probes of (\S+)")
_MAX_FLAPS, _FLAP_GAP, _FLAP_SPAN = 5, 120.0, 600.0  # entries of one cause, and seconds
_REASON = re.compile(r"[A-Z][A-Za-z]+")
_PLURALS = {
    "route": "routes",
    "address": "Services",
    "binding": "addresses",
    "session": "sessions",
    "node": "nodes",
    "pool": "Eips",
}


class _Rule(NamedTuple):
    """Changes with one key are one entry, if none comes more than `gap` seconds after the one
    before, nor more than `span` after the first.  `node_once`: if a node changes again, that begins
    the next entry, because routes follow from it."""

    key: Callable[[Json], Hashable]
    gap: float
    span: float
    node_once: bool = True


def entries(changes: Iterable[Json], width: int) -> Iterator[list[str]]:
    """The lines of each entry, at most `width` columns wide, in the order of their first change.
    `changes` are as in `report_changes`, the oldest first."""
    for group in _grouped(list(changes)):
        yield list(_single(group[0], width) if len(group) == 1 else _lines(group, width))


def _single(change: Json, width: int) -> Iterator[str]:
    yield from head(change, width)
    kind = kind_of_parts(change)
    for row in _rows({**part, "kind": kind} for part in change["parts"]):
        yield from wrapped(f"  {row}", width)
    yield from tail(change, width)


def _grouped(changes: list[Json]) -> list[list[Json]]:
    groups = [[change] for change in changes if change["parts"]]
    changes = [change for change in changes if not change["parts"]]
    flaps = _flaps(_by(_BY_CAUSE, changes))
    changes = _without(changes, flaps)
    groups += flaps
    for rule in (_BY_CAUSE, _BY_OWN_CAUSE, _BY_OBJECT):
        found = [group for group in _by(rule, changes) if _is_storm(group)]
        groups += found
        changes = _without(changes, found)
    groups += ([change] for change in changes)
    return sorted(groups, key=lambda group: int(group[0]["sequence"]))


def _without(changes: list[Json], groups: list[list[Json]]) -> list[Json]:
    taken = {change["sequence"] for group in groups for change in group}
    return [change for change in changes if change["sequence"] not in taken]


def _flaps(groups: list[list[Json]]) -> list[list[Json]]:
    """Of groups with a cause each, those that follow each other again and again because of one
    culprit, as one group."""
    runs: dict[str, list[list[list[Json]]]] = {}
    for group in groups:
        if not _NAMES.match(_culprit(group[0])):  # a timer, or why sessions ended
            continue
        of_culprit = runs.setdefault(_culprit(group[0]), [[]])
        run, at = of_culprit[-1], _seconds(group[0])
        ended = max((_seconds(earlier[-1]) for earlier in run), default=at)
        if run and (at - ended > _FLAP_GAP or at - _seconds(run[0][0]) > _FLAP_SPAN):
            of_culprit.append([group])
        else:
            run.append(group)
    found = (run for of_culprit in runs.values() for run in of_culprit if len(run) > _MAX_FLAPS)
    joined = (sorted(itertools.chain(*run), key=lambda c: int(c["sequence"])) for run in found)
    return [group for group in joined if _is_storm(group)]


def _by(rule: _Rule, changes: list[Json]) -> list[list[Json]]:
    """The groups by a rule, in the order of their first change."""
    open_groups: dict[Hashable, list[Json]] = {}
    groups: list[list[Json]] = []
    nodes: dict[Hashable, set[str]] = {}
    for change in changes:
        key, at = rule.key(change), _seconds(change)
        group = open_groups.get(key)
        late = group is None or (
            at - _seconds(group[-1]) > rule.gap or at - _seconds(group[0]) > rule.span
        )
        is_node = change["kind"] == "node"
        if group is None or late or (rule.node_once and is_node and change["object"] in nodes[key]):
            group = open_groups[key] = []
            nodes[key] = set()
            groups.append(group)
        group.append(change)
        if is_node:
            nodes[key].add(change["object"])
    return groups


def _is_storm(group: list[Json]) -> bool:
    objects = {(change["kind"], change["object"]) for change in group}
    return len(objects) > _FEW_OBJECTS or len(group) > _FEW_CHANGES


def _seconds(change: Json) -> float:
    return datetime.fromisoformat(change["time"].replace("Z", "+00:00")).timestamp()


def _cause(change: Json) -> str:
    """What was read or happened, without the reason that follows from it for one Service."""
    return _READ_BEFORE.sub("", change["cause"]).partition(": ")[0]


def _culprit(change: Json) -> str:
    """The cause, equal for an object that is read, gone, or found dead by probes."""
    return _PROBES.sub(r"Node \1", _cause(change)).replace(" deleted", "")


def _own(change: Json) -> Hashable:
    """The kinds of what was read, if the change is about the Services that caused it (or about the
    Eip that they draw from); else nothing that two changes have in common."""
    cause = _cause(change)
    if change["kind"] == "pool":
        cause = _AND_MORE.sub("", cause)
    kinds: dict[Hashable, None] = {}
    for part in cause.split(", "):
        found = _OWN.fullmatch(part)
        if found is None:
            return int(change["sequence"])
        kind, name, deleted = found.groups()
        concerned = {change["object"], *change["about"]}
        if kind == "Service" and change["kind"] != "pool" and name not in concerned:
            return int(change["sequence"])
        kinds[kind, bool(deleted)] = None
    return tuple(kinds)


_BY_CAUSE = _Rule(_cause, gap=2.0, span=60.0)
_BY_OWN_CAUSE = _Rule(_own, gap=10.0, span=60.0)
_BY_OBJECT = _Rule(
    lambda change: (change["kind"], change["object"]), gap=120.0, span=600.0, node_once=False
)


def _lines(group: list[Json], width: int) -> Iterator[str]:
    """What happened, each kind by itself, and then the causes."""
    first, *others = _rows(group)
    yield from wrapped(f"{group[0]['time']} {first}", width)
    for row in others:
        yield from wrapped(f"  {row}", width)
    span = _seconds(group[-1]) - _seconds(group[0])
    causes = list(dict.fromkeys(map(_cause, group)))
    is_one = len({_culprit(change) for change in group}) == 1
    objects = {(change["kind"], change["object"]) for change in group}
    own = "" if is_one or len(objects) == 1 else "each because of its own"
    told = [*([f"within {span:.0f} s"] if span >= 1 else []), *([own] if own else [])]
    within = f"{', '.join(told)}: " if told else ""
    seconds = [c["secondsToWire"] for c in group if c["secondsToWire"] is not None]
    wire = f"; sent at most {duration(max(seconds))} after it was read" if seconds else ""
    yield from wrapped(f"    {within}{listed(causes, 3)}{wire}", width)


def _rows(changes: Iterable[Json]) -> Iterator[str]:
    """A line for each thing that happened, and to which objects; `changes` have kind, object, from
    and to."""
    by_kind: dict[str, dict[str, list[Json]]] = {}
    for change in changes:
        by_kind.setdefault(change["kind"], {}).setdefault(change["object"], []).append(change)
    for kind, objects in by_kind.items():
        yield from _rows_of_kind(kind, objects)


def _rows_of_kind(kind: str, objects: dict[str, list[Json]]) -> Iterator[str]:
    told: dict[str, list[str]] = {}
    for name, changes in objects.items():
        told.setdefault(_what(kind, changes), []).append(name)
    most = Counter({what: len(names) for what, names in told.items()}).most_common(_MAX_ROWS)
    shown = {what for what, _ in most} if len(told) > _MAX_ROWS else set(told)
    for what, names in told.items():
        if what not in shown:
            continue
        if len(names) == 1:
            yield f"{kind} {names[0]}: {_net(objects[names[0]])}"
        else:
            yield f"{len(names)} {_PLURALS.get(kind, f'of {kind}')} {what}: {_listed(names)}"
    rest = [name for what, names in told.items() if what not in shown for name in names]
    if rest:
        other = "1 other" if len(rest) == 1 else f"{len(rest)} other"
        yield f"{other} {_PLURALS.get(kind, kind)} changed: {_listed(rest)}"


def _listed(names: list[str]) -> str:
    return listed(sorted(names, key=numbers_in_order))


def _net(changes: list[Json]) -> str:
    text = changed_text(changes[0]["from"], changes[-1]["to"])
    return text if len(changes) == 1 else f"{len(changes)} changes, in all {text}"


def _what(kind: str, changes: list[Json]) -> str:
    """What became of one object, in words that are equal for objects that it happened to alike."""
    told = list(dict.fromkeys(_what_once(kind, change) for change in changes))
    return told[0] if len(told) == 1 else f"changed several times, at last {told[-1]}"


def _what_once(kind: str, change: Json) -> str:
    before, after = change["from"], change["to"]
    if kind == "address":
        return _what_address(before, after)
    if kind == "binding":
        return "bound" if after else "unbound"
    if kind == "route" and not (before and after):
        reason = change.get("cause", "").partition(": ")[2]
        why = f" ({reason})" if _REASON.fullmatch(reason) else ""
        return "announced" if after else f"withdrawn{why}"
    if kind != "route":
        return f"{before or 'none'} -> {after or 'none'}"
    had, has = before.split(", "), after.split(", ")
    lost, got = (", ".join(sorted(set(a) - set(b))) for a, b in ((had, has), (has, had)))
    if lost and got:
        return f"{lost} -> {got}"
    return f"lost {lost}" if lost else f"got {got}" if got else "with other attributes"


def _what_address(before: str, after: str) -> str:
    if not after and before.startswith("no address"):
        return "ask for no address any more, and had none"
    if not after:
        return "lost their address"
    if after.startswith("no address"):
        return f"have {after}"
    return "got another address" if before and not before.startswith("no a") else "got an address"
