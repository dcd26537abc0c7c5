"""The default route in our table: made once, taken back when unused; a foreign one stays."""

from __future__ import annotations

import pytest

from porter_ryu.node.iproute import IpRoute, Place
from porter_ryu.node.process import RefusedError
from porter_ryu.node.tables import drop_defaults, keep_defaults

RULE, BLACKHOLE, ADDRESS = Place("rule", "101"), Place("blackhole", "101"), Place("address", "eth0")
OURS, FOREIGN = True, False


class Table(IpRoute):
    """The default routes in table 101 by IP version: their type, and whether they are ours."""

    def __init__(self, *both: tuple[str, bool]) -> None:
        super().__init__()
        self.routes = {4: list(both), 6: list(both)}
        self.did: list[str] = []

    def defaults(self, table: str, version: int) -> list[tuple[str, bool]]:
        """What is there."""
        assert table == "101"
        return self.routes[version]

    def add_default(self, mode: str, table: str, version: int) -> None:
        """One more."""
        self.did.append(f"add {mode} {version}")

    def remove_default(self, mode: str, table: str, version: int) -> None:
        """One less."""
        self.did.append(f"remove {mode} {version}")


@pytest.mark.parametrize("place", [RULE, BLACKHOLE])
def test_it_is_made_where_there_is_none(place: Place) -> None:
    table = Table()
    keep_defaults(table, place, [4, 6])
    assert table.did == [f"add {place.mode} 4", f"add {place.mode} 6"]


@pytest.mark.parametrize("mark", [OURS, FOREIGN])
def test_one_of_its_type_is_enough_whoever_made_it(mark: bool) -> None:
    table = Table(("local", mark))
    keep_defaults(table, RULE, [4, 6])
    assert table.did == []


def test_the_one_of_an_earlier_mode_gives_way() -> None:
    table = Table(("local", OURS))
    keep_defaults(table, BLACKHOLE, [4])
    assert table.did == ["remove rule 4", "add blackhole 4"]


def test_a_foreign_one_of_another_type_is_left_alone_and_told() -> None:
    table = Table(("unicast", FOREIGN))
    with pytest.raises(RefusedError, match="table 101 has a foreign default route, left alone"):
        keep_defaults(table, RULE, [4, 6])
    assert table.did == []


def test_what_is_not_used_any_more_goes_where_it_is_ours() -> None:
    table = Table(("local", OURS))
    drop_defaults(table, [RULE, ADDRESS, BLACKHOLE])
    assert table.did == ["remove rule 4", "remove rule 6"]
    foreign = Table(("local", FOREIGN))
    drop_defaults(foreign, [RULE])
    assert foreign.did == []
