"""What was last good in a file stays in force over a restart, too."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from msgspec import json

from fabric import objects
from porter_ryu.domain.model import Eip, Kind, Node, ObjectKey, Service
from porter_ryu.domain.objects import Unreadable
from porter_ryu.kube.directory.last_good_files import LastGoodFiles
from porter_ryu.kube.directory.store import Definition
from tests.unit.clock import Clock
from tests.unit.directory import Directory, key
from tests.unit.until import until

NODE = (Kind.NODE, ObjectKey("", "n1"))
BROKEN = "a: [}"


def run_with_a_broken_file(path: Path, broken: str = BROKEN) -> Path:
    """A process that sees a good file, which breaks then; returns what is kept of it."""
    first = Directory(path)
    first.put("all.yaml", objects.service("web"), objects.node("n1", "192.168.7.11"))
    first.put("other.yaml", objects.service("other"))
    with first:
        (path / "all.yaml").write_text(broken)
        first.unreadable("web")
        kept = path / ".status" / "last-good" / "all.yaml.json"
        until(kept.exists, "the last good form is kept")
    return kept


def test_the_objects_of_a_broken_file_are_in_force_after_a_restart(tmp_path: Path) -> None:
    kept = run_with_a_broken_file(tmp_path)
    with Directory(tmp_path) as second:
        seen = second.recorder
        assert [type(each) for each in seen.readings(key("web"))] == [Service, Unreadable]
        assert [type(each) for each in seen.readings(NODE)] == [Node, Unreadable]
        assert "all.yaml" in second.unreadable("web").reason
        assert isinstance(seen[key("other")], Service)
        second.put("all.yaml", objects.service("web"))
        until(lambda: isinstance(seen.get(key("web")), Service), "it can be read")
        until(lambda: NODE not in seen, "what is in it no more is gone")
        until(lambda: not kept.exists(), "nothing is kept of a file that can be read")


def test_what_could_not_be_kept_is_tried_again_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And less and less often: as on a disk that stays full."""
    clock, text = Clock(), json.encode(objects.service("web"))
    kept = LastGoodFiles(str(tmp_path), True, clock)
    in_the_way = tmp_path / ".status"
    in_the_way.write_text("a file")
    kept.keep({"all.yaml": {key("web"): Definition("all.yaml", 1, text)}}, {})
    shown = ".status/last-good/all.yaml.json"
    assert caplog.messages == [
        f"{shown} cannot be written: Not a directory: after a restart nothing of the file is in "
        "force"
    ]
    clock.now += 1.0
    kept.try_again()
    in_the_way.unlink()
    clock.now += 1.0
    kept.try_again()
    assert not in_the_way.exists(), "the second time it waits longer"
    clock.now += 1.0
    kept.try_again()
    assert LastGoodFiles(str(tmp_path), False).read("all.yaml")[key("web")].text == text
    assert caplog.messages[1:] == [f"{shown} can be kept again"]
    written = (tmp_path / shown).stat().st_mtime_ns
    clock.now += 600.0
    kept.try_again()
    assert (tmp_path / shown).stat().st_mtime_ns == written, "once is enough"


def test_a_file_that_is_right_again_before_it_could_be_kept_is_no_problem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, text = Clock(), json.encode(objects.service("web"))
    kept = LastGoodFiles(str(tmp_path), True, clock)
    (tmp_path / ".status").write_text("a file")
    kept.keep({"all.yaml": {key("web"): Definition("all.yaml", 1, text)}}, {})
    kept.keep({}, {})
    assert caplog.messages[1:] == [".status/last-good/all.yaml.json can be kept again"]
    (tmp_path / ".status").unlink()
    clock.now += 600.0
    kept.try_again()
    assert not (tmp_path / ".status").exists()


def test_parts_that_can_be_read_count_as_they_are(tmp_path: Path) -> None:
    run_with_a_broken_file(tmp_path)
    document = "apiVersion: v1\nkind: Service\nmetadata: {name: new}\nspec: {type: LoadBalancer}\n"
    (tmp_path / "all.yaml").write_text(f"{document}---\n{BROKEN}\n")
    with Directory(tmp_path) as second:
        assert isinstance(second.recorder[key("new")], Service)
        second.unreadable("web")
        assert isinstance(second.recorder.readings(key("web"))[0], Service)


def test_an_object_that_is_invalid_in_a_good_file(tmp_path: Path) -> None:
    invalid = objects.service("web")
    invalid["spec"]["ports"] = [{"port": "80"}]
    first = Directory(tmp_path)
    first.put("all.yaml", objects.service("web"), objects.service("other"))
    with first:
        first.put("all.yaml", invalid, objects.service("other"))
        first.unreadable("web")
        kept = tmp_path / ".status" / "last-good" / "all.yaml.json"
        until(kept.exists, "the last good form is kept")
        assert "other" not in kept.read_text()
    for _ in range(2):
        with Directory(tmp_path) as again:
            seen = again.recorder.readings(key("web"))
            assert [type(each) for each in seen[:2]] == [Service, Unreadable]
            assert isinstance(again.recorder[key("other")], Service)
    with Directory(tmp_path) as last:
        last.put("all.yaml", objects.service("web"))
        until(lambda: isinstance(last.recorder.get(key("web")), Service), "it can be read")
        until(lambda: not kept.exists(), "nothing is kept any more")


def test_a_file_that_is_gone_or_mended_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    kept = run_with_a_broken_file(tmp_path)
    (tmp_path / "all.yaml").unlink()
    with Directory(tmp_path) as second:
        assert key("web") not in second.recorder
        until(lambda: not kept.exists(), "it is forgotten")


def test_another_instance_reads_it_and_does_not_touch_it(tmp_path: Path) -> None:
    kept = run_with_a_broken_file(tmp_path)
    before = kept.read_bytes()
    with Directory(tmp_path, keeps_status=False) as follower:
        assert isinstance(follower.recorder.readings(key("web"))[0], Service)
        (tmp_path / "all.yaml").unlink()
        until(lambda: key("web") not in follower.recorder, "it is gone")
    assert kept.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b"[]", b'{"file":1,"objects":[{}]}'])
def test_a_damaged_form_is_as_none(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    kept = run_with_a_broken_file(tmp_path)
    kept.write_bytes(content)
    with Directory(tmp_path) as second:
        assert key("web") not in second.recorder
        assert isinstance(second.recorder[key("other")], Service)
    assert ".status/last-good/all.yaml.json cannot be read" in caplog.text


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "victim"
    target.write_text("as it was")
    (tmp_path / ".status" / "last-good").mkdir(parents=True)
    os.symlink(target, tmp_path / ".status" / "last-good" / "all.yaml.json")
    run_with_a_broken_file(tmp_path)
    assert target.read_text() == "as it was"


def test_a_folder_that_cannot_be_written_is_reported_and_hurts_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".status").mkdir()
    (tmp_path / ".status" / "last-good").write_text("a file")
    with Directory(tmp_path) as directory:
        directory.put("all.yaml", objects.service("web"))
        until(lambda: key("web") in directory.recorder, "it is read")
        (tmp_path / "all.yaml").write_text(BROKEN)
        directory.unreadable("web")
        directory.is_alive("marker")
    assert "after a restart nothing of the file is in force" in caplog.text


def test_an_eip_keeps_its_last_good_form(tmp_path: Path) -> None:
    first = Directory(tmp_path)
    first.put("pool.yaml", objects.eip("pool", "203.0.113.0/29"))
    pool = (Kind.EIP, ObjectKey("", "pool"))
    with first:
        (tmp_path / "pool.yaml").write_text(BROKEN)
        kept = tmp_path / ".status" / "last-good" / "pool.yaml.json"
        until(kept.exists, "the last good form is kept")
    with Directory(tmp_path) as second:
        earlier, now = second.recorder.readings(pool)
        assert isinstance(earlier, Eip)
        assert earlier.address == "203.0.113.0/29"
        assert isinstance(now, Unreadable)


def test_a_file_whose_name_is_not_utf8_prevents_no_other_from_being_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """JSON has no form of such a name."""
    text = json.encode(objects.service("web"))
    names = (os.fsdecode(b"caf\xe9.yaml"), "all.yaml")
    files = {name: {key("web"): Definition(name, 1, text)} for name in names}
    with caplog.at_level(logging.CRITICAL):  # the runner of the tests cannot read such a name
        LastGoodFiles(str(tmp_path), True).keep(files, {})
    assert os.listdir(tmp_path / ".status" / "last-good") == ["all.yaml.json"]
