"""The order in which the result of a turn is applied, as the targets see it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import pytest
from msgspec import structs

from porter_ryu.domain.announcement import Announcement, Announcements, NextHop, Route
from porter_ryu.domain.model import Network, ServiceStatus
from porter_ryu.domain.planner import Planner, Policy
from porter_ryu.domain.ports import Role
from porter_ryu.domain.turn import Turn
from porter_ryu.effects import Effects
from porter_ryu.leadership import Leadership
from porter_ryu.null_parts import NoWriter
from tests.unit.world import service

ADDRESS, PREFIX = ip_address("10.0.0.1"), ip_network("10.0.0.1/32")
AGGREGATE = ip_network("10.0.0.0/24")
BY_N1 = frozenset([Announcement(NextHop("n1", ip_address("192.168.0.1")))])
BY_N2 = frozenset([Announcement(NextHop("n2", ip_address("192.168.0.2")))])
NOWHERE: Announcements = frozenset()


class Target(NoWriter):
    """A target of every kind that logs the calls that change something."""

    def __init__(self, log: list[str], name: str = "") -> None:
        self._log = log
        self._name = name
        self._announced: set[Network] = set()
        self._bound: frozenset[Network] = frozenset()

    def set_routes(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        """Logs the change of each prefix."""
        for prefix, announcements in routes.items():
            self._log.append(f"{self._name}{'announce' if announcements else 'withdraw'}")
            self._announced.discard(prefix)
            self._announced |= {prefix} if announcements else set()

    def announces(self, prefix: Network) -> bool:
        """Whether the prefix was announced last."""
        return prefix in self._announced

    def bind(self, addresses: frozenset[Network]) -> None:
        """Logs each new address."""
        self._log += ["bind"] * len(addresses - self._bound)
        self._bound |= addresses

    def unbind(self, addresses: frozenset[Network]) -> None:
        """Logs each address that was bound."""
        self._log += ["unbind"] * len(addresses & self._bound)
        self._bound -= addresses

    def complete(self) -> None:
        """Logs the call."""
        self._log.append(f"{self._name}complete")

    def want(self, *_: object) -> None:
        """Logs the call."""
        self._log.append("record")


def turn(bound: bool, announcements: Announcements) -> Turn:
    """A turn about one Service."""
    web = service("web")
    status = ServiceStatus((ADDRESS,) if bound else (), ())
    route = Route(ADDRESS, bound, announcements)
    return Turn(statuses=[(web, status)], routes={ADDRESS: route})


@pytest.fixture
def log() -> list[str]:
    """The calls of the targets, in order."""
    return []


def effects(log: list[str], leads: bool = True, bind_only_leading: bool = False) -> Effects:
    """Effects with one target of each kind."""
    target = Target(log)
    planner = Planner(Policy(), leading=leads)
    leadership = Leadership(planner, target, bind_only_leading)
    return Effects([target], target, target, leadership)


def test_a_new_address_is_recorded_then_bound_then_announced(log: list[str]) -> None:
    effects(log).apply(turn(True, BY_N1), None)
    assert log == ["record", "bind", "announce"]


def test_an_old_address_is_withdrawn_then_unbound_then_removed_from_status(log: list[str]) -> None:
    mine = effects(log)
    mine.apply(turn(True, BY_N1), None)
    log.clear()
    mine.apply(turn(False, NOWHERE), None)
    assert log == ["withdraw", "unbind", "record"]


def test_a_changed_announcement_comes_first(log: list[str]) -> None:
    mine = effects(log)
    mine.apply(turn(True, BY_N1), None)
    log.clear()
    mine.apply(turn(True, BY_N2), None)
    assert log == ["announce", "record"]


def test_what_was_never_announced_is_not_withdrawn(log: list[str]) -> None:
    effects(log).apply(turn(False, NOWHERE), None)
    assert log == ["record"]


def test_a_follower_writes_nothing(log: list[str]) -> None:
    effects(log, leads=False).apply(turn(True, BY_N1), None)
    assert log == ["bind", "announce"]


def test_bindings_stay_while_the_role_is_unknown(log: list[str]) -> None:
    target = Target(log)
    planner = Planner(Policy(), leading=False)
    leadership = Leadership(planner, target, bind_only_leading=True)
    mine = Effects([target], target, target, leadership)
    mine.apply(turn(True, BY_N1), None)
    mine.complete()
    assert log == ["announce", "complete"], "the bindings are not complete yet"
    leadership.set_role(Role.LEADER)
    log.clear()
    mine.apply(turn(True, BY_N1), None)
    mine.complete()
    assert log == ["announce", "record", "bind", "complete"]


def test_every_route_target_gets_the_routes(log: list[str]) -> None:
    both = [Target(log, "first "), Target(log, "second ")]
    planner = Planner(Policy(), leading=False)
    mine = Effects(both, Target([]), NoWriter(), Leadership(planner, NoWriter(), False))
    mine.apply(turn(True, BY_N1), None)
    mine.complete()
    assert log == ["first announce", "second announce", "first complete", "second complete"]


def test_a_target_that_fails_to_complete_is_told_again(log: list[str]) -> None:
    class Failing(Target):
        def complete(self) -> None:
            super().complete()
            if len(log) == 1:
                raise OSError("once")

    target = Failing(log)
    leadership = Leadership(Planner(Policy(), leading=True), target, bind_only_leading=False)
    mine = Effects([target], Target([]), target, leadership)
    with pytest.raises(OSError, match="once"):
        mine.complete()
    mine.complete()
    mine.complete()
    assert log == ["complete", "complete"]


def test_what_takes_the_place_of_a_prefix_is_announced_before_that_is_withdrawn(
    log: list[str],
) -> None:
    """An aggregate covers an address, then it gives way to it, then the address goes with it."""
    mine = effects(log)
    mine.apply(turn(True, BY_N1), None)
    covered = structs.replace(turn(True, NOWHERE), aggregates={AGGREGATE: BY_N2})
    covered = _covered_by(covered, AGGREGATE)
    log.clear()
    mine.apply(covered, None)
    assert log == ["record", "announce", "withdraw"]
    log.clear()
    mine.apply(structs.replace(turn(True, BY_N1), aggregates={AGGREGATE: NOWHERE}), None)
    assert log == ["record", "announce", "withdraw"]
    mine.apply(covered, None)
    log.clear()
    mine.apply(structs.replace(turn(False, NOWHERE), aggregates={AGGREGATE: NOWHERE}), None)
    assert log == ["withdraw", "unbind", "record"]


def test_what_some_peers_lose_is_sent_after_what_they_get_instead(log: list[str]) -> None:
    """An aggregate that is announced on, to fewer peers, and its address; then the reverse."""
    mine = effects(log)
    alone = structs.replace(turn(True, NOWHERE), aggregates={AGGREGATE: BY_N1})
    mine.apply(_covered_by(alone, AGGREGATE), None)
    log.clear()
    changed = structs.replace(turn(True, BY_N1), aggregates={AGGREGATE: BY_N2})
    mine.apply(_covered_by(changed, AGGREGATE), None)
    assert log == ["record", "announce", "announce"]
    mine.apply(structs.replace(turn(True, BY_N1), aggregates={AGGREGATE: NOWHERE}), None)
    log.clear()
    changed = structs.replace(turn(True, BY_N2), aggregates={AGGREGATE: BY_N1})
    mine.apply(_covered_by(changed, AGGREGATE), None)
    assert log == ["record", "announce", "announce"]


def test_an_aggregate_takes_the_place_of_another(log: list[str]) -> None:
    mine = effects(log)
    covered = structs.replace(turn(True, NOWHERE), aggregates={AGGREGATE: BY_N1})
    mine.apply(_covered_by(covered, AGGREGATE), None)
    log.clear()
    longer = ip_network("10.0.0.0/25")
    aggregates = {AGGREGATE: NOWHERE, longer: BY_N1}
    changed = structs.replace(turn(True, NOWHERE), aggregates=aggregates)
    mine.apply(_covered_by(changed, longer), None)
    assert log == ["record", "announce", "withdraw"]


def _covered_by(turn_: Turn, aggregate: Network) -> Turn:
    route = structs.replace(turn_.routes[ADDRESS], aggregates=(aggregate,))
    return structs.replace(turn_, routes={ADDRESS: route})


class Switch:
    """An AddressTarget that logs the calls that change something."""

    def __init__(self, log: list[str]) -> None:
        self._log = log
        self._known: set[Network] = set()

    def set_addresses(self, routes: Mapping[Network, Route], read_at: float | None) -> None:
        """Logs the change of each address."""
        for prefix, route in routes.items():
            self._log.append("forward" if route.paths else "stop")
            (self._known.add if route.paths else self._known.discard)(prefix)

    def forwards(self, prefix: Network) -> bool:
        """Whether the address was wanted last."""
        return prefix in self._known

    def complete(self) -> None:
        """Logs the call."""
        self._log.append("filled")


def test_a_switch_forwards_as_a_router_is_told(log: list[str]) -> None:
    target = Target(log)
    leadership = Leadership(Planner(Policy(), leading=True), target, False)
    mine = Effects([target], target, target, leadership, [Switch(log)])

    def applied(bound: bool, paths: Announcements) -> list[str]:
        log.clear()
        route = Route(ADDRESS, bound, paths, paths=paths)
        status = ServiceStatus((ADDRESS,) if bound else (), ())
        mine.apply(Turn(statuses=[(service("web"), status)], routes={ADDRESS: route}), None)
        return list(log)

    assert applied(True, BY_N1) == ["record", "bind", "announce", "forward"]
    assert applied(True, BY_N2) == ["announce", "forward", "record"]
    assert applied(False, NOWHERE) == ["withdraw", "stop", "unbind", "record"]
    assert applied(False, NOWHERE) == ["record"]
    mine.complete()
    assert log == ["record", "complete", "filled", "complete"]
