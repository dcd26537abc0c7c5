"""The default route in our table: added once, removed when unused; a foreign one stays."""

from __future__ import annotations

import pytest

from porter_ryu.node.command import RefusedError
from porter_ryu.node.iproute import IpRoute, Place
from porter_ryu.node.tables import ensure_default_routes, remove_default_routes

RULE, BLACKHOLE, ADDRESS = Place("rule", "101"), Place("blackhole", "101"), Place("address", "eth0")
OURS, FOREIGN = True, False


class Table(IpRoute):
    """The default routes in table 101 by IP version: their type, and whether they are ours."""

    def __init__(self, *both: tuple[str, bool]) -> None:
        super().__init__()
        self.routes = {4: list(both), 6: list(both)}
        self.changes: list[str] = []

    def default_routes_in(self, table: str, version: int) -> list[tuple[str, bool]]:
        """The default routes of the table."""
        assert table == "101"
        return self.routes[version]

    def add_default_route(self, mode: str, table: str, version: int) -> None:
        """Records an addition."""
        self.changes.append(f"add {mode} {version}")

    def remove_default_route(self, mode: str, table: str, version: int) -> None:
        """Records a removal."""
        self.changes.append(f"remove {mode} {version}")


@pytest.mark.parametrize("place", [RULE, BLACKHOLE])
def test_it_is_added_if_it_is_missing(place: Place) -> None:
    table = Table()
    ensure_default_routes(table, place, [4, 6])
    assert table.changes == [f"add {place.mode} 4", f"add {place.mode} 6"]


@pytest.mark.parametrize("mark", [OURS, FOREIGN])
def test_one_of_the_same_type_is_enough_also_a_foreign_one(mark: bool) -> None:
    table = Table(("local", mark))
    ensure_default_routes(table, RULE, [4, 6])
    assert table.changes == []


def test_the_one_of_an_earlier_mode_is_removed() -> None:
    table = Table(("local", OURS))
    ensure_default_routes(table, BLACKHOLE, [4])
    assert table.changes == ["remove rule 4", "add blackhole 4"]


def test_a_foreign_one_of_another_type_is_left_alone_and_reported() -> None:
    table = Table(("unicast", FOREIGN))
    with pytest.raises(RefusedError, match="table 101 has a foreign default route, left alone"):
        ensure_default_routes(table, RULE, [4, 6])
    assert table.changes == []


def test_only_our_own_is_removed_when_it_is_no_longer_used() -> None:
    table = Table(("local", OURS))
    remove_default_routes(table, [RULE, ADDRESS, BLACKHOLE])
    assert table.changes == ["remove rule 4", "remove rule 6"]
    foreign = Table(("local", FOREIGN))
    remove_default_routes(foreign, [RULE])
    assert foreign.changes == []
