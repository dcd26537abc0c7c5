"""List and watch with literal streams of an API server, and the calls of the observer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
from msgspec.json import Decoder

from fabric.objects import Json
from porter_ryu.domain.model import Kind, Node, ObjectKey
from porter_ryu.domain.objects import Reading, Unreadable
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.informer import Informer
from porter_ryu.kube.json_text import decoded
from porter_ryu.kube.metav1 import WatchEvent
from tests.unit.decoded import CODEC, text

EVENT = Decoder(WatchEvent)


def node(name: str, version: int, ready: str = "True") -> Json:
    """A Node of a resourceVersion."""
    return {
        "metadata": {"name": name, "resourceVersion": str(version)},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


Page = tuple[list[Any], str]
"""Objects, and the resourceVersion of the list."""
Step = Page | list[Any] | ApiError | Callable[[], "Page | list[Any]"]


class Script:
    """A Lister that plays lists and watches in order, then ends the informer."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.asked: list[str] = []
        self.now = "1000"
        self.time = 0.0
        self.lasts = 0.0
        self.lists: list[float] = []
        self.informer = Informer(Kind.NODE, self, CODEC, lambda: self.time, self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds <= 60
        self.time += seconds

    def pages(self, kind: Kind) -> Iterator[tuple[list[bytes], str]]:
        self.asked.append("list")
        self.lists.append(self.time)
        page = self.next_step()
        assert isinstance(page, tuple)
        yield [text(obj) for obj in page[0]], page[1]

    def version(self, kind: Kind) -> str:
        self.asked.append("version")
        return self.now

    def watch(self, kind: Kind, resource_version: str) -> Iterator[WatchEvent]:
        self.asked.append(f"watch {resource_version}")
        events = self.next_step()
        assert isinstance(events, list)
        return self._events(events)

    def _events(self, step: list[Any]) -> Iterator[WatchEvent]:
        self.time += self.lasts
        for event in step:
            if isinstance(event, ApiError):
                raise event
            yield decoded(EVENT, text(event))

    def next_step(self) -> Page | list[Any]:
        """What the server answers now; raises ApiError."""
        if not self.steps:
            self.informer.stop()
            raise ApiError(410, "Gone", "the script is over")
        step = self.steps.pop(0)
        if isinstance(step, ApiError):
            raise step
        return step() if callable(step) else step


def state(obj: Reading) -> object:
    """Whether a Node is ready, or why nobody can say."""
    if isinstance(obj, Unreadable):
        return obj.reason
    assert isinstance(obj, Node)
    return obj.ready


class Recorder:
    """An Observer that records its calls as text."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        words = sorted(f"{obj.key.name}={state(obj)}" for obj in objects)
        self.calls.append(" ".join(["listed", *words]))

    def put(self, obj: Reading, read_at: float) -> None:
        self.calls.append(f"put {obj.key.name}={state(obj)}")

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        self.calls.append(f"removed {key.name}")


def play(*steps: Step) -> tuple[list[str], list[str]]:
    """The calls of the observer, and the requests."""
    script, recorder = Script(*steps), Recorder()
    script.informer.run(recorder)
    return recorder.calls, script.asked


def event(kind: str, obj: Any) -> Json:
    """A watch event."""
    return {"type": kind, "object": obj}


def test_a_watch_goes_on_from_the_last_bookmark() -> None:
    bookmark = {"metadata": {"resourceVersion": "9"}}
    calls, asked = play(
        ([node("a", 1)], "5"),
        [event("ADDED", node("b", 6)), event("BOOKMARK", bookmark)],
        [event("MODIFIED", node("b", 10, "False")), event("DELETED", node("a", 11))],
    )
    assert calls == ["listed a=True", "put b=True", "put b=False", "removed a"]
    assert asked[:3] == ["list", "watch 5", "watch 9"]


def test_it_knows_when_it_listed_and_when_it_read_an_event_last() -> None:
    """A bookmark is an event; a watch in which nothing changes says nothing but that it began."""
    seen: list[tuple[float | None, float | None]] = []

    def look() -> list[Any]:
        seen.append((script.informer.last_list, script.informer.last_event))
        return []

    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    expired = event("ERROR", {"kind": "Status", "code": 500})
    refused = ApiError(403, "Forbidden", "no")
    script = Script(([node("a", 1)], "5"), look, [bookmark], look, [expired], refused)
    before = time.time()
    script.informer.run(Recorder())
    (listed, no_event), read = seen
    assert no_event is None
    assert listed is not None
    assert read[1] is not None
    assert script.informer.last_watch is not None
    assert before <= listed <= read[1] <= script.informer.last_watch <= time.time()
    now = script.informer.last_list, script.informer.last_event
    assert now == read, "neither an error nor a refused list counts"


@pytest.mark.parametrize(
    "gone",
    [
        ApiError(410, "Expired", "too old"),
        [event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})],
    ],
    ids=["answer", "event"],
)
def test_410_is_a_new_list(gone: ApiError | list[Json]) -> None:
    calls, asked = play(([node("a", 1)], "5"), gone, ([node("b", 7)], "8"), [])
    assert calls == ["listed a=True", "listed b=True"]
    assert asked[:4] == ["list", "watch 5", "list", "watch 8"]


def test_a_dead_server_changes_nothing_and_the_watch_goes_on_where_it_was() -> None:
    dead = ApiError(0, "ReadTimeoutError", "silence")
    calls, asked = play(([node("a", 1)], "5"), dead, [event("ADDED", node("b", 6))])
    assert calls == ["listed a=True", "put b=True"]
    assert asked[:4] == ["list", "watch 5", "version", "watch 5"]


def test_a_list_that_fails_is_tried_again_and_tells_nothing() -> None:
    calls, asked = play(ApiError(500, "Internal", "no"), ([node("a", 1)], "5"), [])
    assert calls == ["listed a=True"]
    assert asked[:2] == ["list", "list"]


def test_an_older_event_does_not_undo_what_a_write_was_answered() -> None:
    script, recorder = (
        Script(([node("a", 1)], "5"), [event("MODIFIED", node("a", 6, "False"))]),
        Recorder(),
    )
    script.informer.list_once(recorder)
    assert script.informer.accept(text(node("a", 7))) is not None
    script.steps.insert(0, ([node("a", 7)], "7"))
    script.informer.run(recorder)
    assert "put a=False" not in recorder.calls


def test_an_older_list_does_not_undo_what_a_write_was_answered() -> None:
    def slow_list() -> Page:
        assert script.informer.accept(text(node("a", 7, "False"))) is not None
        return [node("a", 1), node("b", 2)], "5"

    script, recorder = Script(([node("a", 1)], "5"), slow_list), Recorder()
    script.informer.list_once(recorder)
    script.informer.list_once(recorder)
    assert recorder.calls == ["listed a=True", "listed a=False b=True"]


def test_a_list_that_is_being_stored_does_not_undo_what_a_write_was_answered() -> None:
    class WritesMeanwhile(Recorder):
        """Storing a list gives way to the writer, and then goes on with the older form."""

        def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
            written = script.informer.accept(text(node("a", 7, "False")))
            assert written is not None
            self.put(written, read_at)
            super().replace(kind, objects, read_at)

    script, recorder = (
        Script(([node("a", 1)], "5"), [event("MODIFIED", node("a", 7, "False"))]),
        WritesMeanwhile(),
    )
    script.informer.run(recorder)
    assert recorder.calls[-1] == "put a=False"


def test_a_store_that_comes_from_a_backup_is_believed() -> None:
    """Its versions begin again below what was known, and it takes a watch from beyond them."""
    script, recorder = (
        Script(
            ([node("a", 901)], "905"),
            [event("MODIFIED", node("a", 910, "False"))],
            ApiError(0, "ProtocolError", "the server ended"),
            ([node("a", 501), node("b", 502)], "505"),
            [event("MODIFIED", node("a", 506, "False"))],
        ),
        Recorder(),
    )
    script.now = "505"
    script.informer.run(recorder)
    assert recorder.calls == ["listed a=True", "put a=False", "listed a=True b=True", "put a=False"]
    assert script.asked[2:6] == ["watch 910", "version", "list", "watch 505"]


def test_an_answer_that_comes_after_the_end_of_its_object_does_not_revive_it() -> None:
    script, recorder = Script(([node("a", 1)], "5"), [event("DELETED", node("a", 8))]), Recorder()
    script.informer.run(recorder)
    assert script.informer.accept(text(node("a", 7))) is None
    assert script.informer.accept(text(node("a", 9))) is not None, "it was made again"


BROKEN = {"metadata": {"name": "a", "resourceVersion": "6"}, "status": {"conditions": "odd"}}
WHY = "status.conditions is not a list"


def test_a_broken_object_is_unreadable_whether_it_is_listed_or_watched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls, _ = play(
        ([node("a", 1)], "5"),
        [event("MODIFIED", BROKEN), event("ADDED", node("b", 8))],
        ApiError(410, "Gone", "too old"),
        ([BROKEN, node("b", 8)], "9"),
        [event("DELETED", {**BROKEN, "metadata": {"name": "a", "resourceVersion": "10"}})],
    )
    assert calls == [
        "listed a=True",
        f"put a={WHY}",
        "put b=True",
        f"listed a={WHY} b=True",
        "removed a",
    ]
    assert f"nodes a: {WHY}" in caplog.text


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": {"resourceVersion": "6"}},
        {"metadata": {"name": "../a", "resourceVersion": "6"}},
        {"metadata": {"name": ["a"], "resourceVersion": {}}},
        {"metadata": "a"},
        {},
        [],
        "a",
        None,
    ],
)
def test_an_object_without_a_name_costs_itself_alone(
    odd: object, caplog: pytest.LogCaptureFixture
) -> None:
    calls, _ = play(
        ([odd, node("a", 1)], "5"),
        [{"type": "ADDED", "object": odd}, {"type": "DELETED", "object": odd}],
        [event("ADDED", node("b", 8))],
    )
    assert calls == ["listed a=True", "put b=True"]
    assert "one of the nodes is left out" in caplog.text


@pytest.mark.parametrize("version", ["²", "9" * 5000, "-1", "", 7, None, {}, "\ud800"])
def test_a_version_that_is_none_counts_as_the_oldest(version: object) -> None:
    odd = {"metadata": {"name": "a", "resourceVersion": version}}
    calls, _ = play(([odd], "0"), [{"type": "MODIFIED", "object": odd}])
    assert calls == ["listed a=False", "put a=False"]


STORMS = {
    "ends empty at once": [[]],
    "answers 410": [ApiError(410, "Expired", "too old")],
    "tells 410": [[event("ERROR", {"code": 410, "reason": "Expired"})]],
    "tells 500": [[event("ERROR", {"code": 500, "message": "etcdserver: no leader"})]],
    "tells nothing we know": [[event("ERROR", {"code": "many", "details": [1]})]],
    "tells no object": [[{"type": "ERROR"}]],
    "has an event and ends": [[event("BOOKMARK", {"metadata": {"resourceVersion": "6"}})]],
    "cannot be read": [[ApiError(0, "BadAnswer", "not JSON")]],
    "breaks": [[ApiError(0, "ConnectionLost", "ended")]],
}


@pytest.mark.parametrize("storm", STORMS.values(), ids=STORMS)
def test_a_watch_that_ends_at_once_again_and_again_is_begun_ever_more_seldom(
    storm: tuple[ApiError | list[Json]],
) -> None:
    class Storm(Script):
        """The same answer to every watch."""

        def next_step(self) -> Page | list[Any]:
            self.time += 0.001
            if self.time > 600:
                self.informer.stop()
            return ([node("a", 1)], "5") if self.asked[-1] == "list" else self.answer()

        def answer(self) -> list[Any]:
            if isinstance(storm[0], ApiError):
                raise storm[0]
            return storm[0]

    script, recorder = Storm(), Recorder()
    script.informer.run(recorder)
    watches = [word for word in script.asked if word.startswith("watch")]
    assert 10 < len(watches) < 40, "in ten minutes: it is tried on, and never more than that"
    for begin in range(0, 600, 10):
        lists = [at for at in script.lists if begin <= at < begin + 10]
        assert len(lists) <= 6
        assert all(b - a >= 0.999 for a, b in itertools.pairwise(lists))
    assert set(recorder.calls) == {"listed a=True"}


def test_a_watch_that_lived_goes_on_at_once() -> None:
    script, recorder = Script(([node("a", 1)], "5"), *([[]] * 20)), Recorder()
    script.lasts = 40.0
    script.informer.run(recorder)
    assert script.asked.count("list") == 1
    assert len(script.asked) == 22
    assert script.time == pytest.approx(20 * 40, abs=1), "no wait but the watches themselves"


def test_after_a_storm_a_watch_that_lives_starts_over() -> None:
    begun = []

    def watch(lasts: float) -> Step:
        def begin() -> list[Any]:
            begun.append(script.time)
            script.time += lasts
            return []

        return begin

    script = Script(([node("a", 1)], "5"), *map(watch, [0, 0, 0, 0, 0, 0, 10, 0, 0]))
    script.informer.run(Recorder())
    waits = [b - a for a, b in itertools.pairwise(begun)]
    assert waits[5] > 4
    assert waits[6:] == pytest.approx([10, 0.2], abs=0.1)


@pytest.mark.parametrize(
    "first",
    [ApiError(429, "TooManyRequests", "slow down", 7.0), ApiError(503, "No", "starting", 7.0)],
)
def test_retry_after_is_honoured_by_a_list(first: ApiError) -> None:
    script = Script(first, ([node("a", 1)], "5"), [])
    script.informer.run(Recorder())
    assert script.lists[1] - script.lists[0] >= 7.0


def test_retry_after_is_honoured_by_a_watch_and_never_for_more_than_a_minute() -> None:
    error = {"code": 429, "details": {"retryAfterSeconds": 10**9}}
    script = Script(([node("a", 1)], "5"), [event("ERROR", error)], ([node("a", 1)], "6"), [])
    script.informer.run(Recorder())
    assert script.lists[1] - script.lists[0] == pytest.approx(60, abs=0.1)


def test_a_list_that_is_too_old_under_way_begins_again() -> None:
    class Aging(Script):
        """The second page of the first list is asked for too late."""

        def pages(self, kind: Kind) -> Iterator[tuple[list[bytes], str]]:
            yield from super().pages(kind)
            if len(self.lists) == 1:
                self.steps.insert(0, ([node("a", 1), node("b", 2)], "7"))
                raise ApiError(410, "Expired", "the provided continue parameter is too old")

    script, recorder = Aging(([node("a", 1)], "5"), []), Recorder()
    script.informer.run(recorder)
    assert recorder.calls == ["listed a=True b=True"], "an incomplete list is not reported"
    assert script.lists[1] > script.lists[0]


def test_trouble_is_told_when_it_lasts_and_ends_when_the_kind_is_read_again() -> None:
    refused = ApiError(0, "ConnectionRefused", "the API server 10.0.0.1:6443 refuses connections")
    seen: dict[str, tuple[float, str]] = {}

    def look(name: str, step: ApiError | list[Any]) -> Step:
        def then() -> list[Any]:
            seen[name] = (script.time, script.informer.trouble)
            if isinstance(step, ApiError):
                raise step
            return step

        return then

    script = Script(([node("a", 1)], "5"))
    script.steps += [look(f"refused {i}", refused) for i in range(10)]
    script.steps += [look("back", []), look("well", [])]
    script.informer.run(Recorder())
    for name, (at, trouble) in seen.items():
        if name.startswith("refused"):
            assert bool(trouble) is (at > 10), f"{name} at {at}"
    assert seen["back"][1] == str(refused)
    assert seen["well"][1] == ""


def test_what_a_write_was_answered_is_not_reported_again_by_the_watch() -> None:
    def events() -> list[Any]:
        assert script.informer.accept(text(node("a", 7, "False"))) is not None
        return [event("MODIFIED", node("a", 7, "False")), event("MODIFIED", node("a", 8))]

    script, recorder = Script(([node("a", 1)], "5"), events), Recorder()
    script.informer.run(recorder)
    assert recorder.calls == ["listed a=True", "put a=True"]


def test_what_the_watch_reported_is_not_reported_again_as_the_answer_to_a_write() -> None:
    def events() -> list[Any]:
        assert script.informer.accept(text(node("a", 7, "False"))) is None
        return []

    changed = [event("MODIFIED", node("a", 7, "False"))]
    script, recorder = Script(([node("a", 1)], "5"), changed, events), Recorder()
    script.informer.run(recorder)
    assert recorder.calls == ["listed a=True", "put a=False"]


def test_an_answer_that_cannot_be_decoded_is_reported_by_the_watch() -> None:
    broken = {"metadata": {"name": "a", "resourceVersion": "7"}, "status": {"conditions": "odd"}}

    def events() -> list[Any]:
        assert script.informer.accept(text(broken)) is None
        return [event("MODIFIED", broken)]

    script, recorder = Script(([node("a", 1)], "5"), events), Recorder()
    script.informer.run(recorder)
    assert recorder.calls == ["listed a=True", f"put a={WHY}"]
