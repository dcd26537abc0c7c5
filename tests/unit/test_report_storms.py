"""Many changes with one cause are one entry for people."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

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
        "    each because of its own: Service default/x0, Service default/x1, Service default/x2 "
        "and 198 more",
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
    own = "    within 60 s, each because of its own: EndpointSlice default/s0-x, "
    assert entries[0][2].startswith(own)


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


def test_what_many_are_blamed_on_is_never_joined_with_another_cause() -> None:
    """Two Services are deleted, and seconds later an Eip is halved."""
    record = Record()
    for name in ("s001", "s002"):
        cause = f"Service default/{name} deleted"
        record.add("address", f"default/{name}", "203.0.113.1 ->", cause)
        record.add("route", f"203.0.113.{name}", "n1 -> ", f"{cause}: NoAddress")
    record.add("address", "default/half", "no address: NoPool ->", "Service default/half deleted")
    for number in range(66):
        cause = "Eip main, Eip extra: 203.0.113.1 is not in its Eip"
        record.add("address", f"default/x{number}", "203.0.113.1 -> 198.51.100.1", cause, 9)
    for number in range(66):
        record.add("route", f"198.51.100.{number}", "-> n1", "Eip main, Eip extra", 9 + number / 99)
    record.add(
        "pool", "main", "63 of 64 used -> 62 of 64 used", "Service default/s001 deleted", 9.9
    )
    told = record.told()
    moved = [entry for entry in told if any("198.51.100" in line for line in entry)]
    assert len(moved) == 1
    [entry] = [entry for entry in told if "66 routes announced: " in " ".join(entry)]
    assert entry[0].startswith("2026-03-01T08:31:11.000Z 66 Services got another address: ")
    assert entry[-1] == "    Eip main, Eip extra"


def test_a_node_that_flaps_is_one_entry_and_hides_nothing() -> None:
    record = Record()
    for flap in range(400):
        up, at = flap % 2, 1.5 * flap
        told = "not usable: x -> usable" if up else "usable -> not usable: x"
        record.add("node", "n3", told, "Node n3" if up else "probes of n3", at)
        for number in range(3 if flap < 200 else 40):
            before, after = ("n1", "n1, n3") if up else ("n1, n3", "n1")
            cause = "Node n3" if up else "probes of n3"
            record.add("route", f"r{number}", f"{before} -> {after}", cause, at)
    record.add("session", "leaf2", "Established -> down", "hold timer expired", 301)
    record.changes.sort(key=lambda c: c["time"])
    for number, entry in enumerate(record.changes, 1):
        entry["sequence"] = number
    entries = record.told()
    assert [entry[0].partition(" ")[2] for entry in entries] == [
        "node n3: 400 changes, in all usable -> usable",
        "session leaf2: Established -> down",
    ]
    assert entries[0][-1] == "    within 598 s: probes of n3, Node n3"


def test_sessions_that_ended_for_one_reason_minutes_apart_are_entries_of_their_own() -> None:
    record = Record()
    for number in range(8):
        record.add("session", f"leaf{number}", "Established -> down", "hold timer", 60 * number)
    assert len(record.told()) == 8


def test_a_service_that_never_had_an_address_lost_none() -> None:
    record = Record()
    for number in range(6):
        told = "no address: NoPool ->" if number % 2 else "203.0.113.1 ->"
        name = f"default/s{number}"
        record.add("address", name, told, f"Service {name} deleted")
    [(first, second, _)] = record.told()
    assert first.endswith("3 Services lost their address: default/s0, default/s2, default/s4")
    assert second.startswith("  3 Services ask for no address any more, and had none: default/s1")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["route", "address", "node", "pool"]),
            st.integers(0, 7),
            st.sampled_from(
                ["Eip main", "Eip extra", "Node n1", "Service default/s1", "own", "own deleted"]
            ),
            st.sampled_from([0.0, 0.1, 3.0, 30.0]),
        ),
        max_size=60,
    )
)
def test_an_entry_has_one_culprit_or_each_is_its_own(
    steps: list[tuple[str, int, str, float]],
) -> None:
    record, at = Record(), 0.0
    for kind, number, cause, later in steps:
        at += later
        name = f"default/s{number}"
        record.add(kind, name, "a -> b", cause.replace("own", f"Service {name}"), at)
    groups = report_storms._grouped(record.changes)
    assert sorted(c["sequence"] for g in groups for c in g) == list(range(1, len(steps) + 1))
    for group in groups:
        causes = {change["cause"].replace(" deleted", "") for change in group}
        own = all(
            change["object"] in change["cause"] or change["kind"] == "pool" for change in group
        )
        assert len(causes) == 1 or own or len({change["object"] for change in group}) == 1
        assert group[0]["time"] == min(change["time"] for change in group)


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
