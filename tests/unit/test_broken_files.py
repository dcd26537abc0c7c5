"""A file of a directory that cannot be read any more: whoever asks is told that what was in it
counts as it was, and status tells the file once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from fabric import objects
from porter_ryu import report, report_nodes, report_text
from porter_ryu.domain.editing import Editing
from porter_ryu.domain.model import Eip, Kind, ObjectKey
from porter_ryu.domain.objects import Unreadable
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.what_if import Supposition, unknown
from porter_ryu.report_nodes import Record
from porter_ryu.report_problems import Stopped
from tests.unit.directory import Directory
from tests.unit.test_http_api import HEALTHY
from tests.unit.test_report_status import UP, ranked, status
from tests.unit.until import until
from tests.unit.world import World, key, node, service

MANIFESTS = {
    Kind.SERVICE: objects.service("web"),
    Kind.ENDPOINT_SLICE: objects.slice_of("web", "n1"),
    Kind.NODE: objects.node("n1", "192.168.9.11"),
    Kind.NAMESPACE: {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}},
    Kind.EIP: objects.eip("pool", "203.0.113.0/29"),
}
NAMES = {
    Kind.SERVICE: "Service default/web",
    Kind.ENDPOINT_SLICE: "EndpointSlice default/web-ipv4",
    Kind.NODE: "Node n1",
    Kind.NAMESPACE: "Namespace default",
    Kind.EIP: "Eip pool",
}
BROKEN = "kind: Service\nmetadata: {\n"


def feed(made: World, directory: Directory) -> World:
    """Gives a planner what the directory reports."""
    for reading in list(directory.recorder.values()):
        made.planner.put(reading)
    return made.turn()


def counts_as_it_was(reading: object) -> bool:
    """Whether an object is reported as one that cannot be read."""
    return isinstance(reading, Unreadable) or (isinstance(reading, Eip) and bool(reading.invalid))


def explained(made: World, name: str = "web") -> tuple[dict[str, Any], str]:
    """The explanation of a Service, and its text."""
    told = report.explanation(made.planner, key(name), report.nothing_sent)
    return told, report_text.explanation(told)


@pytest.mark.parametrize("kind", Kind)
def test_explain_names_the_file_whose_last_good_form_counts(tmp_path: Path, kind: Kind) -> None:
    with Directory(tmp_path) as directory:
        for of, manifest in MANIFESTS.items():
            directory.put(f"{of.value}.yaml", manifest)
        until(lambda: len(directory.recorder) == len(MANIFESTS), "all is read")
        made = feed(World(), directory)
        # as the process does: the status of an Eip has the form in which it serves
        eip = directory.recorder.eip("pool")
        directory.source.patch(eip, made.planner.allocator.pool_status("pool"))
        assert explained(made)[0]["lastGood"] == []
        (tmp_path / f"{kind.value}.yaml").write_text(BROKEN)
        (id_,) = [id_ for id_ in directory.recorder if id_[0] is kind]
        until(lambda: counts_as_it_was(directory.recorder[id_]), "the fault is read")
        told, text = explained(feed(made, directory))
        problem = status(made, UP, health=replace(HEALTHY, source=directory.source.state))
        assert ranked(problem) == [("FileUnreadable", 0)]
        (fault,) = directory.source.state.unreadable_first
        one = {"kind": kind.singular, "namespace": id_[1].namespace, "name": id_[1].name}
        assert told["lastGood"] == [{**one, "why": fault}]
        assert fault.startswith(f"{kind.value}.yaml:3: ")
        assert f"  {NAMES[kind]}: its last good form counts: {fault}" in text.splitlines()
        directory.put(f"{kind.value}.yaml", MANIFESTS[kind])
        until(lambda: not counts_as_it_was(directory.recorder[id_]), "it is mended")
        assert explained(feed(made, directory))[0]["lastGood"] == []


def test_a_file_with_many_objects_is_one_problem_that_counts_them(tmp_path: Path) -> None:
    others = [objects.service(f"s{number:03}") for number in range(20)]
    with Directory(tmp_path) as directory:
        directory.put("all.yaml", *MANIFESTS.values(), *others)
        until(lambda: len(directory.recorder) == 25, "all is read")
        made = feed(World(), directory)
        directory.source.patch(
            directory.recorder.eip("pool"), made.planner.allocator.pool_status("pool")
        )
        (tmp_path / "all.yaml").write_text(BROKEN)
        until(lambda: all(map(counts_as_it_was, directory.recorder.values())), "it is broken")
        feed(made, directory).unreadable(Kind.NODE, "n7", why="odd.yaml:2: nodes n7: spec is text")
        health = replace(HEALTHY, source=directory.source.state)
        problems = status(made, UP, health=health)["problems"]
        found = [one for one in problems if not one["services"]]
        assert [one["reason"] for one in found] == ["FileUnreadable", "ObjectUnreadable"]
        (fault,) = health.source.unreadable_first
        assert found[0]["what"] == (
            f"1 file cannot be read in full: {fault}; the last good form of 25 objects counts "
            "(21 Services, 1 EndpointSlice, 1 Node, 1 Namespace, 1 Eip)"
        )
        assert (found[0]["objects"], found[0]["objectsTotal"]) == (["all.yaml"], 1)
        assert found[1]["what"].startswith("1 Node cannot be read, no good form is known: n7:")
        told, text = explained(made)
        assert len(told["lastGood"]) == 5
        assert text.count("counts: all.yaml:3: ") + text.count("count: all.yaml:3: ") == 1


def test_of_an_object_that_never_was_readable_no_good_form_counts() -> None:
    made = World(Eip("pool", "203.0.113.0/29")).put(service("web"))
    made.unreadable(Kind.SERVICE, "lost", "203.0.113.5", why="a.yaml:3: odd")
    assert explained(made, "lost")[0]["lastGood"] == []
    source = replace(
        HEALTHY.source,
        unreadable=1,
        unreadable_first=("a.yaml:3: odd",),
        unreadable_reasons=frozenset(["a.yaml:3: odd"]),
    )
    told = status(made, UP, health=replace(HEALTHY, source=source))
    assert ranked(told) == [("NoReadyEndpoints", 1), ("FileUnreadable", 1)], "one cause, once"
    assert told["problems"][1]["what"] == (
        "1 Service cannot be reached: 1 file cannot be read in full: a.yaml:3: odd; of 1 object no "
        "good form is known"
    )
    made.remove(Kind.SERVICE, "web")
    told = status(made, UP, health=replace(HEALTHY, source=source))
    assert told["summary"].startswith("1 of 1 Services cannot be reached: 1 file cannot be read in")
    assert ranked(status(made, UP)) == [("ObjectUnreadable", 1)], "its file can be read"
    stopped = replace(HEALTHY, source=source, stopped=Stopped(900.0, withdraw=False))
    assert ranked(status(made, UP, health=stopped)) == [("Stopped", 0), ("FileUnreadable", 1)]


def test_a_service_that_is_not_ours_says_so_as_well_and_text_is_one_printable_line() -> None:
    made = World().put(structs.replace(service("web"), ours=False, not_ours="it has no annotation"))
    made.unreadable(Kind.SERVICE, "web", why="a.yaml:3: \x1b[2J\nodd")
    told, text = explained(made)
    assert told["state"] == "NotOurs"
    last = text.splitlines()[-1]
    assert last == "  Service default/web: its last good form counts: a.yaml:3: \\x1b[2J\\nodd"


def test_explain_of_a_node_says_so() -> None:
    made = World().put(node("n1", "192.168.9.11"))
    made.unreadable(Kind.NODE, "n1", why="n.yaml:4: odd")
    told = report_nodes.node(made.planner, {}, "n1", Record(1.0, 1.0), lambda: None)
    assert [one["why"] for one in told["lastGood"]] == ["n.yaml:4: odd"]
    text = report_text.node(told).splitlines()
    assert "  Node n1: its last good form counts: n.yaml:4: odd" in text


def test_another_node_or_eip_that_cannot_be_read_is_not_told() -> None:
    made = World(Eip("pool", "203.0.113.0/29"), Eip("zone", "203.0.113.8"))
    made.put(service("web"), node("n1", "192.168.9.11"), node("n2", "192.168.9.12"))
    made.unreadable(Kind.NODE, "n2").unreadable(Kind.EIP, "zone")
    assert explained(made)[0]["lastGood"] == []
    made.put(service("none", pool="nowhere"))
    told = explained(made, "none")[0]["lastGood"]
    assert [(one["kind"], one["name"]) for one in told] == [("Eip", "zone")]


def test_a_node_that_may_be_in_a_file_that_cannot_be_read_is_not_said_to_be_absent(
    tmp_path: Path,
) -> None:
    directory = Directory(tmp_path)
    directory.put("web.yaml", objects.service("web"), objects.slice_of("web", "n1"))
    directory.put("eip.yaml", objects.eip("pool", "203.0.113.0/29"))
    (tmp_path / "base.yaml").write_text(BROKEN)
    made = World(policy=Policy(editing=Editing(str(tmp_path))))
    n1 = (Kind.NODE, ObjectKey("", "n1"))
    with directory:
        assert isinstance(directory.recorder.get(n1), Unreadable)
        told, text = explained(feed(made, directory))
        (fault,) = directory.source.state.unreadable_first
        why = f"its Node cannot be read: it is in no file that can be read, and {fault}"
        assert f"n1: {why}" in told["message"]
        assert told["mend"] == f"correct the file base.yaml in {tmp_path}"
        assert "there is no such Node" not in text
        asked = report_nodes.node(made.planner, {}, "n1", None, lambda: None)
        assert (asked["why"], asked["mend"]) == (why, told["mend"])
        assert unknown(made.planner, Supposition(frozenset(), frozenset(["n1"]))) == ""
        directory.put("n2.yaml", objects.service("late"), objects.slice_of("late", "n2"))
        n2 = (Kind.NODE, ObjectKey("", "n2"))
        until(lambda: n2 in directory.recorder, "a node that is named later is not known either")
        directory.put("base.yaml", objects.node("n1", "192.168.9.11"))
        until(lambda: not isinstance(directory.recorder.get(n1), Unreadable), "it is mended")
        until(lambda: n2 not in directory.recorder, "and the other node is not there")
