"""List and watch as the API server really does it: literal streams in, what is told out."""

from __future__ import annotations

import pytest

from porter_ryu.domain.model import Kind
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.informer import Informer

CODEC = Codec("lb.kubesphere.io/v1alpha1", frozenset(["porter"]))


def node(name: str, version: int, ready: str = "True") -> dict:
    """A Node of a resourceVersion."""
    return {
        "metadata": {"name": name, "resourceVersion": str(version)},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


class Script:
    """A Lister that plays lists and watches in order, then ends the informer."""

    def __init__(self, *steps) -> None:
        self.steps = list(steps)
        self.asked: list[str] = []
        self.now = "1000"
        self.informer = Informer(Kind.NODE, self, CODEC)

    def list(self, kind):
        self.asked.append("list")
        return self._next()

    def version(self, kind):
        self.asked.append("version")
        return self.now

    def watch(self, kind, resource_version):
        self.asked.append(f"watch {resource_version}")
        step = self._next()
        if step is not None:
            yield from step

    def _next(self):
        if not self.steps:
            self.informer.stop()
            raise ApiError(410, "Gone", "the script is over")
        step = self.steps.pop(0)
        if isinstance(step, ApiError):
            raise step
        return step() if callable(step) else step


class Told:
    """An Observer that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def replace(self, kind, objects, read_at):
        self.said.append(
            "listed " + " ".join(sorted(f"{o.name}={o.ready}" for o in objects.values()))
        )

    def put(self, kind, key, obj, read_at):
        self.said.append(f"put {key.name}={obj.ready}")

    def remove(self, kind, key, read_at):
        self.said.append(f"removed {key.name}")


def play(*steps) -> tuple[list[str], list[str]]:
    """What is told and what is asked."""
    script, told = Script(*steps), Told()
    script.informer.run(told)
    return told.said, script.asked


def event(kind: str, obj: dict) -> dict:
    """A watch event."""
    return {"type": kind, "object": obj}


def test_a_watch_goes_on_from_the_last_bookmark():
    bookmark = {"metadata": {"resourceVersion": "9"}}
    told, asked = play(
        ([node("a", 1)], "5"),
        [event("ADDED", node("b", 6)), event("BOOKMARK", bookmark)],
        [event("MODIFIED", node("b", 10, "False")), event("DELETED", node("a", 11))],
    )
    assert told == ["listed a=True", "put b=True", "put b=False", "removed a"]
    assert asked[:3] == ["list", "watch 5", "watch 9"]


@pytest.mark.parametrize(
    "gone",
    [
        ApiError(410, "Expired", "too old"),
        [event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})],
    ],
    ids=["answer", "event"],
)
def test_410_is_a_new_list(gone):
    told, asked = play(([node("a", 1)], "5"), gone, ([node("b", 7)], "8"), [])
    assert told == ["listed a=True", "listed b=True"]
    assert asked[:4] == ["list", "watch 5", "list", "watch 8"]


def test_a_dead_server_changes_nothing_and_the_watch_goes_on_where_it_was():
    dead = ApiError(0, "ReadTimeoutError", "silence")
    told, asked = play(([node("a", 1)], "5"), dead, [event("ADDED", node("b", 6))])
    assert told == ["listed a=True", "put b=True"]
    assert asked[:4] == ["list", "watch 5", "version", "watch 5"]


def test_a_list_that_fails_is_tried_again_and_tells_nothing():
    told, asked = play(ApiError(500, "Internal", "no"), ([node("a", 1)], "5"), [])
    assert told == ["listed a=True"]
    assert asked[:2] == ["list", "list"]


def test_an_older_event_does_not_undo_what_a_write_was_answered():
    script, told = Script(([node("a", 1)], "5"), [event("MODIFIED", node("a", 6, "False"))]), Told()
    script.informer.list_once(told)
    assert script.informer.accept(node("a", 7)) is not None
    script.steps.insert(0, ([node("a", 7)], "7"))
    script.informer.run(told)
    assert "put a=False" not in told.said


def test_an_older_list_does_not_undo_what_a_write_was_answered():
    def slow_list():
        assert script.informer.accept(node("a", 7, "False")) is not None
        return [node("a", 1), node("b", 2)], "5"

    script, told = Script(([node("a", 1)], "5"), slow_list), Told()
    script.informer.list_once(told)
    script.informer.list_once(told)
    assert told.said == ["listed a=True", "listed a=False b=True"]


def test_a_store_that_comes_from_a_backup_is_believed():
    """Its versions begin again below what was known, and it takes a watch from beyond them."""
    script, told = (
        Script(
            ([node("a", 901)], "905"),
            [event("MODIFIED", node("a", 910, "False"))],
            ApiError(0, "ProtocolError", "the server ended"),
            ([node("a", 501), node("b", 502)], "505"),
            [event("MODIFIED", node("a", 506, "False"))],
        ),
        Told(),
    )
    script.now = "505"
    script.informer.run(told)
    assert told.said == ["listed a=True", "put a=False", "listed a=True b=True", "put a=False"]
    assert script.asked[2:6] == ["watch 910", "version", "list", "watch 505"]


def test_an_answer_that_comes_after_the_end_of_its_object_does_not_revive_it():
    script, told = Script(([node("a", 1)], "5"), [event("DELETED", node("a", 8))]), Told()
    script.informer.run(told)
    assert script.informer.accept(node("a", 7)) is None
    assert script.informer.accept(node("a", 9)) is not None, "it was made again"


def test_a_broken_object_is_reported_once_and_counts_as_it_was(caplog):
    broken = {"metadata": {"name": "a", "resourceVersion": "6"}, "status": {"conditions": "odd"}}
    told, _ = play(
        ([node("a", 1)], "5"),
        [event("MODIFIED", broken), event("MODIFIED", broken), event("ADDED", node("b", 8))],
        [],
    )
    assert told[0] == "listed a=True"
    assert told[-1] == "put b=True"
    assert not any("a=False" in line for line in told)
    assert caplog.text.count("nodes a: status.conditions is not a list") == 1
