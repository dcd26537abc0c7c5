"""From what a switch has to what it should have: messages in an order in which no packet is lost.

Groups and the flows of nodes come first, then the flows that lead to them, then what is not used
any more.  The steps are separated by barriers.  A flow that is to be replaced is not deleted: the
switch does that in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from msgspec import Struct, field

from porter_ryu.openflow import flows, wire
from porter_ryu.openflow.flows import Flow
from porter_ryu.openflow.groups import GroupContent

Place = tuple[int, int, bytes]


class Change(Struct, frozen=True):
    """A message: its type and body.  `flow` or `group` is what it is about, `removes` whether it
    takes that away, `about` the same for people."""

    kind: int
    body: bytes
    about: str
    flow: int | None = None
    group: int | None = None
    removes: bool = False


class Present(Struct):
    """What a switch has of ours: flows by cookie, with the place of those that we have written or
    None, and groups by number, None for a content that is not as we write it."""

    flows: dict[int, Flow | None] = field(default_factory=dict)
    groups: dict[int, GroupContent | None] = field(default_factory=dict)


def steps(
    present: Present,
    wanted_flows: Mapping[int, Flow],
    wanted_groups: Mapping[int, GroupContent],
    cookies: Collection[int],
    numbers: Collection[int],
    version: int,
    give_way: Callable[[], None] = lambda: None,
) -> Iterator[list[Change]]:
    """The messages for these flows and groups, step by step; `give_way` is called for each."""

    def added(flow: Flow) -> Change:
        give_way()
        return _add(flow)

    new = [wanted_flows[c] for c in cookies if c in wanted_flows and c not in present.flows]
    yield [
        *_groups(present, wanted_groups, numbers, version),
        *(added(flow) for flow in new if flow.table != flows.CLASSIFY),
    ]
    yield [added(flow) for flow in new if flow.table == flows.CLASSIFY]
    places = {flow.place for flow in new}
    yield [
        *_stale_flows(present, wanted_flows, cookies, places),
        *(
            _delete_group(number, version)
            for number in numbers
            if number in present.groups and number not in wanted_groups
        ),
    ]


def _groups(
    present: Present,
    wanted: Mapping[int, GroupContent],
    numbers: Collection[int],
    version: int,
) -> Iterator[Change]:
    for number in numbers:
        content = wanted.get(number)
        if content is None or (number in present.groups and present.groups[number] == content):
            continue
        command = wire.GROUP_MODIFY if number in present.groups else wire.GROUP_ADD
        body = wire.group_mod(version, command, number, content.buckets(version))
        yield Change(wire.GROUP_MOD, body, f"group {number:#x}", group=number)


def _add(flow: Flow) -> Change:
    body = wire.flow_mod(
        wire.ADD,
        flow.table,
        flow.priority,
        flow.cookie,
        0,
        flow.match,
        flow.instructions,
        flow.flags,
    )
    return Change(wire.FLOW_MOD, body, f"flow for {flow.about}", flow=flow.cookie)


def _stale_flows(
    present: Present,
    wanted: Mapping[int, Flow],
    cookies: Collection[int],
    replaced: Collection[Place],
) -> Iterator[Change]:
    for cookie in cookies:
        if cookie in wanted or cookie not in present.flows:
            continue
        known = present.flows[cookie]
        about = "a flow of an earlier run" if known is None else f"flow for {known.about}"
        if known is not None and known.place in replaced:
            yield Change(0, b"", about, flow=cookie, removes=True)
            continue
        body = wire.flow_mod(wire.DELETE, wire.ALL_TABLES, 0, cookie, flows.EXACT, b"", b"")
        yield Change(wire.FLOW_MOD, body, about, flow=cookie, removes=True)


def _delete_group(number: int, version: int) -> Change:
    body = wire.group_mod(version, wire.GROUP_DELETE, number, ())
    return Change(wire.GROUP_MOD, body, f"group {number:#x}", group=number, removes=True)
