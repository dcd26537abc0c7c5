"""Many changes with one cause are one entry for people."""

from __future__ import annotations

from typing import Any

from porter_ryu import report_storms, rfc3339
from tests.unit.instance_answers import change

Json = dict[str, Any]
BEGAN = 1_772_353_862.0  # 2026-03-01T08:31:02Z
TIME = "2026-03-01T08:31:02.000Z"


class Record:
    """Changes, one after the other."""

    def __init__(self) -> None:
        self.changes: list[Json] = []

    def add(self, kind: str, name: str, told: str, cause: str, at: float = 0.0) -> None:
        """A change; `told` is from -> to."""
        before, _, after = told.partition("->")
        more = {"kind": kind, "object": name, "from": before.strip(), "cause": cause}
        more["time"] = rfc3339.text(BEGAN + at)
        number = len(self.changes) + 1
        self.changes.append(change(after.strip(), sequence=number, secondsToWire=None, **more))

    def told(self) -> list[list[str]]:
        """The entries, as wide as they are."""
        return list(report_storms.entries(self.changes, 1000))


def test_a_lost_node_is_one_entry() -> None:
    record = Record()
    record.add("node", "n3", "usable -> not usable: it is not Ready", "Node n3")
    for number in range(119):
        others = "n1" if number % 2 else "n2, n4"
        record.add("route", f"203.0.113.{number}", f"{others}, n3 -> {others}", "Node n3")
    record.add("route", "203.0.113.200", "n3 ->", "Node n3: NoUsableNode")
    record.add("route", "203.0.113.201", "n3 ->", "Node n3, read 6.0 s before: NoUsableNode")
    record.add("pool", "main", "2 of 8 used -> 1 of 8 used", "Node n3")
    record.add("node", "n5", "usable -> draining because it is cordoned", "Node n5")
    addresses = ", ".join(f"203.0.113.{number}" for number in range(5))
    assert record.told() == [
        [
            f"{TIME} node n3: usable -> not usable: it is not Ready",
            f"  119 routes lost n3: {addresses} and 114 more",
            "  2 routes withdrawn (NoUsableNode): 203.0.113.200, 203.0.113.201",
            "  pool main: 2 of 8 used -> 1 of 8 used",
            "    Node n3",
        ],
        [f"{TIME} node n5: usable -> draining because it is cordoned", "    Node n5"],
    ]


def test_a_node_that_is_lost_and_comes_back_is_two_entries() -> None:
    record = Record()
    for told, second in (("usable -> not usable: x", 0), ("not usable: x -> usable", 3)):
        record.add("node", "n3", told, "Node n3", second)
        for number in range(9):
            before, after = ("n1, n3", "n1") if second == 0 else ("n1", "n1, n3")
            record.add("route", f"r{number}", f"{before} -> {after}", "Node n3", second)
    lost, back = record.told()
    assert lost[1].startswith("  9 routes lost n3: ")
    assert back[1].startswith("  9 routes got n3: ")


def test_two_nodes_are_two_entries_unless_routes_lost_both() -> None:
    record = Record()
    for number in range(20):
        lost = "n3" if number < 10 else "n4"
        record.add("route", f"r{number}", f"n1, {lost} -> n1", f"Node {lost}")
    for number in range(3):
        record.add("route", f"b{number}", "n3, n4 ->", "Node n3, Node n4: NoUsableNode")
    first, second, *others = record.told()
    assert first[0].startswith(f"{TIME} 10 routes lost n3: r0, r1, ")
    assert second[0].startswith(f"{TIME} 10 routes lost n4: r10, ")
    assert [entry[0] for entry in others] == [
        f"{TIME} route b{number}: n3, n4 -> none" for number in range(3)
    ]


def test_many_objects_read_at_once_are_one_entry_and_a_few_stay_single() -> None:
    record = Record()
    for number in range(5):
        record.add("route", f"a{number}", "-> n1", f"Service default/s{number}")
    assert len(record.told()) == 5
    for number in range(200):
        record.add("address", f"default/x{number}", "-> 10.0.0.1", f"Service default/x{number}", 30)
    record.add(
        "address", "default/full", "-> no address: PoolExhausted", "Service default/full", 30
    )
    told = record.told()
    assert len(told) == 6
    assert told[-1] == [
        "2026-03-01T08:31:32.000Z 200 Services got an address: default/x0, default/x1, "
        "default/x2, default/x3, default/x4 and 195 more",
        "  address default/full: none -> no address: PoolExhausted",
        "    Service default/x0, Service default/x1, Service default/x2 and 198 more",
    ]


def test_churn_of_ten_minutes_is_ten_entries() -> None:
    record = Record()
    for second in range(600):
        name = f"10.0.0.{second % 50}"
        told = "n1 -> n2" if second // 50 % 2 else "n2 -> n1"
        record.add("route", name, told, f"EndpointSlice default/s{second % 50}-x", second)
    entries = record.told()
    assert len(entries) == 10
    assert entries[0][0].startswith(
        f"{TIME} 11 routes changed several times, at last n1 -> n2: 10.0.0.0, 10.0.0.1, "
    )
    assert entries[0][1].startswith("  39 routes n2 -> n1: 10.0.0.11, ")
    assert entries[0][2].startswith("    within 60 s: EndpointSlice default/s0-x, ")


def test_one_object_that_flaps_is_one_entry() -> None:
    record = Record()
    for number in range(22):
        up = number % 2
        told, cause = ("down -> up", "connected") if up else ("up -> down", f"reason {number}")
        record.add("session", "leaf1", told, cause, 30 * number)
    record.add("session", "leaf2", "up -> down", "reason", 31)
    assert record.told() == [
        [
            f"{TIME} session leaf1: 21 changes, in all up -> down",
            "    within 600 s: reason 0, connected, reason 2 and 9 more",
        ],
        ["2026-03-01T08:41:32.000Z session leaf1: down -> up", "    connected"],
        ["2026-03-01T08:31:33.000Z session leaf2: up -> down", "    reason"],
    ]


def test_the_changes_of_one_service_stay_single() -> None:
    record = Record()
    for number in range(10):
        record.add("address", "default/web", f"10.0.0.{number} -> x", "Service default/web", number)
        record.add("route", f"10.0.0.{number % 2}", "n1 -> n2", "Service default/web", number)
    assert len(record.told()) == 20


def test_of_many_different_things_the_most_frequent_are_told() -> None:
    record = Record()
    for number in range(40):
        record.add("route", f"r{number}", f"n1 -> m{number % 8}", "resync")
    (lines,) = record.told()
    assert lines[0] == f"{TIME} 5 routes n1 -> m0: r0, r8, r16, r24, r32"
    assert lines[-2] == "  20 other routes changed: r4, r5, r6, r7, r12 and 15 more"


def test_what_a_restart_did_is_folded() -> None:
    record = Record()
    record.add("restart", "routes", "9 -> 1 as before, 7 changed, 1 gone, 0 new", "it started")
    parts = [{"object": "10.0.0.9", "from": "n1", "to": "", "about": []}]
    for number in range(7):
        same = {"from": "n1, n4", "to": "n1", "about": []}
        parts.append({"object": f"10.0.0.{number}", **same})
    record.changes[0]["parts"] = parts
    assert record.told() == [
        [
            f"{TIME} restart routes: 9 -> 1 as before, 7 changed, 1 gone, 0 new",
            "  route 10.0.0.9: n1 -> none",
            "  7 routes lost n4: 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 2 more",
            "    it started",
        ]
    ]


def test_no_line_is_too_wide() -> None:
    record = Record()
    for number in range(100):
        record.add("route", f"2001:db8:0:1234::{number}", "n1 ->", "Service a/b: NoUsableNode")
    assert all(len(line) <= 80 for e in report_storms.entries(record.changes, 80) for line in e)
