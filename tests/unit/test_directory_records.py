"""A record in `.status` that cannot be read: no other Service gets the address on it, now or later,
and the Service has it again when the record can be read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from fabric import objects
from porter_ryu import report_addresses, report_text
from porter_ryu.domain.address_states import is_holder_unknown
from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.domain.objects import Unreadable
from porter_ryu.domain.planner import Planner, Policy
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.manifests import Manifests
from porter_ryu.planner_feed import PlannerFeed
from porter_ryu.supervisor import Supervisor
from tests.unit.directory import CODEC

SMALL, BIG = "10.0.0.1-10.0.0.9", "10.0.0.1-10.0.15.255"
Damage = Callable[[Path], object]


class Life:
    """A process that reads a directory once, decides, and writes what it wants."""

    def __init__(self, path: Path) -> None:
        self.source = Manifests(str(path), CODEC, True, Supervisor())
        self.planner = planner = Planner(Policy(), leading=True)
        planner.reserve([], [])
        self.source.read_once(PlannerFeed(planner))
        self.refused: set[str] = set()
        while not planner.idle:
            for obj, status in planner.turn(lambda: None, now=0.0).statuses:
                if obj.status == status:
                    continue
                try:
                    written = self.source.patch(obj, status)
                except ApiError:
                    self.refused.add(str(obj.key))
                    continue
                if written is not None:
                    planner.put(written)

    def address(self, name: str) -> str:
        """What a Service holds."""
        namespace, _, name = name.partition("/")
        held = self.planner.allocator.held(ObjectKey(namespace, name))
        return ",".join(str(entry.address) for entry in held)

    def state(self, name: str) -> str:
        """The state of a Service."""
        namespace, _, name = name.partition("/")
        return self.planner.decisions[ObjectKey(namespace, name)].state

    def unreadable(self, name: str) -> Unreadable:
        """What is known of a Service that cannot be read."""
        namespace, _, name = name.partition("/")
        found = self.planner.cluster.unreadable(Kind.SERVICE, ObjectKey(namespace, name))
        assert found is not None
        return found


def put(path: Path, *names: str) -> None:
    """Writes manifests of Services."""
    for name in names:
        namespace, _, rest = name.partition("/")
        manifest = objects.service(rest)
        manifest["metadata"]["namespace"] = namespace
        (path / f"{namespace}-{rest}.yaml").write_text(yaml.safe_dump(manifest))


def begun(path: Path, addresses: str) -> Path:
    """A directory in which two Services have addresses."""
    (path / "pool.yaml").write_text(yaml.safe_dump(objects.eip("pool", addresses)))
    put(path, "team/old", "web/web")
    life = Life(path)
    assert {life.address("team/old"), life.address("web/web")} == {"10.0.0.1", "10.0.0.2"}
    return path


def other(path: Path) -> Path:
    """A place outside of the directory."""
    return path.parents[4] / "elsewhere"


def replaced(path: Path) -> None:
    """Removes a file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def text(content: bytes) -> Damage:
    """Writes something else into a file."""
    return lambda path: path.write_bytes(content)


def in_its_place(make: Damage) -> Damage:
    """Puts something else in the place of a file or a folder."""

    def damage(path: Path) -> None:
        replaced(path)
        make(path)

    return damage


def loop(path: Path) -> None:
    """A link that leads to itself."""
    path.symlink_to(path)


FILES: dict[str, Damage] = {
    "empty": text(b""),
    "truncated": text(b'{"status": {"loadBalancer": {"ingress": [{"ip": "10.'),
    "binary": text(bytes(range(256))),
    "zeros": text(bytes(4096)),
    "yaml": text(b"status: {}\n"),
    "no status": text(b'{"spec": {}}'),
    "ingress is no list": text(b'{"status": {"loadBalancer": {"ingress": 5}}}'),
    "entry is no object": text(b'{"status": {"loadBalancer": {"ingress": ["10.0.0.2"]}}}'),
    "half an address": text(b'{"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0."}]}}}'),
    "conditions are odd": text(b'{"status": {"conditions": {}, "loadBalancer": []}}'),
    "too large": text(b'{"status": {}}' + b" " * (2 << 20)),
    "a folder": in_its_place(Path.mkdir),
    "a fifo": in_its_place(os.mkfifo),
    "a dangling link": in_its_place(lambda path: path.symlink_to("/nowhere")),
    "a loop": in_its_place(loop),
    "a link elsewhere": lambda path: path.symlink_to(shutil.move(path, other(path))),
}
FOLDERS: dict[str, Damage] = {
    "a file": in_its_place(lambda path: path.write_text("in the way")),
    "a fifo": in_its_place(os.mkfifo),
    "a dangling link": in_its_place(lambda path: path.symlink_to("/nowhere")),
    "a loop": in_its_place(loop),
}
PLACES = [
    *(("services/web/web.json", name, damage) for name, damage in FILES.items()),
    *(("services/web", name, damage) for name, damage in FOLDERS.items()),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty directory."""
    found = tmp_path / "manifests"
    found.mkdir()
    return found


@pytest.mark.parametrize("addresses", [SMALL, BIG])
@pytest.mark.parametrize(("place", "_", "damage"), PLACES, ids=lambda v: v if v is not None else "")
def test_nobody_else_gets_the_address(
    path: Path, addresses: str, place: str, _: str, damage: Damage
) -> None:
    begun(path, addresses)
    good = shutil.copytree(path / ".status", path.parent / "good")
    damage(path / ".status" / place)
    put(path, "team/new")
    for _life in ("the first", "after a restart"):
        life = Life(path)
        assert life.address("team/old") == "10.0.0.1"
        assert life.state("web/web") == "Unreadable"
        assert life.unreadable("web/web").record_unread
        assert life.unreadable("web/web").file == f".status/{place}"
        if addresses is SMALL:
            assert (life.address("web/web"), life.address("team/new")) == ("10.0.0.2", "10.0.0.3")
        else:
            assert (life.address("team/new"), life.state("team/new")) == ("", "RecordUnknown")
    replaced(path / ".status" / place)
    name = (good / place).name
    if (good / place).is_dir():
        shutil.copytree(good / place, (path / ".status" / place).parent / name)
    else:
        shutil.copy(good / place, path / ".status" / place)
    life = Life(path)
    assert [life.address(name) for name in ("team/old", "web/web", "team/new")] == [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
    ]


@pytest.mark.parametrize("addresses", [SMALL, BIG])
def test_without_the_status_of_the_eip_nothing_is_assigned_from_it(
    path: Path, addresses: str
) -> None:
    """It is damaged too, or it was lost."""
    begun(path, addresses)
    record, pool = path / ".status/services/web/web.json", path / ".status/eips/pool.json"
    good, whole = record.read_text(), pool.read_text()
    record.write_text("")
    put(path, "team/new")
    pool.write_text("")
    life = Life(path)
    assert (life.address("team/old"), life.address("team/new")) == ("10.0.0.1", "")
    found = report_addresses.address(life.planner, ip_address("10.0.0.2"), lambda: None)
    assert found["state"] == "RecordUnknown"
    told = report_text.address({**found, "services": []})
    assert told.startswith("10.0.0.2: which Service has it is not known; the record of a Service ")
    assert is_holder_unknown(life.planner, ip_address("10.0.0.2"))
    pool.unlink()
    for _ in range(2):
        life = Life(path)
        assert (life.address("team/old"), life.state("team/new")) == ("10.0.0.1", "RecordUnknown")
        assert pool.exists() is (addresses is BIG), "a small one would say that .2 is free"
    pool.write_text(whole)
    assert Life(path).address("team/new") == ("10.0.0.3" if addresses is SMALL else "")
    record.write_text(good)
    assert Life(path).address("web/web") == "10.0.0.2"


def test_an_old_status_in_the_manifest_of_an_eip_does_not_count(path: Path) -> None:
    begun(path, SMALL)
    whole = yaml.safe_load((path / ".status/eips/pool.json").read_text())
    (path / ".status/eips/pool.json").write_text("")
    (path / ".status/services/web/web.json").write_text("")
    whole["status"] |= {"used": {}, "usage": 0}
    (path / "pool.yaml").write_text(yaml.safe_dump(objects.eip("pool", SMALL) | whole))
    put(path, "team/new")
    life = Life(path)
    assert (life.address("team/old"), life.state("team/new")) == ("10.0.0.1", "RecordUnknown")


def test_a_service_in_no_readable_file_whose_record_cannot_be_read_keeps_its_address(
    path: Path,
) -> None:
    begun(path, SMALL)
    folder, away = path / ".status/services/web", path.parent / "away"
    folder.rename(away)
    folder.write_text("in the way")
    (path / "web-web.yaml").write_text("kind: [oops\n")
    put(path, "team/new")
    for _ in range(2):
        life = Life(path)
        assert (life.address("web/web"), life.address("team/new")) == ("10.0.0.2", "10.0.0.3")
        assert life.unreadable("web/web").record_unread
    folder.unlink()
    away.rename(folder)
    life = Life(path)
    assert (life.address("web/web"), life.unreadable("web/web").record_unread) == (
        "10.0.0.2",
        False,
    )


def test_a_service_that_is_not_ours_has_no_record(path: Path) -> None:
    begun(path, BIG)
    manifest = objects.service("plain", ours=False)
    manifest["metadata"]["namespace"] = "plain"
    (path / "plain.yaml").write_text(yaml.safe_dump(manifest))
    (path / ".status/services/plain").write_text("in the way")
    put(path, "team/new")
    life = Life(path)
    assert not life.unreadable("plain/plain").record_unread
    assert life.address("team/new") == "10.0.0.3"


def test_the_mend_names_the_file(path: Path) -> None:
    begun(path, BIG)
    (path / ".status/services/web/web.json").write_text("{")
    put(path, "team/new")
    found = Life(path).unreadable("web/web")
    assert found.file == ".status/services/web/web.json"
    assert found.reason.startswith(".status/services/web/web.json cannot be parsed")


def test_an_eip_whose_file_cannot_be_read_since_the_start_serves_and_says_so(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun(path, SMALL)
    (path / "pool.yaml").write_text("{a: [")
    caplog.clear()
    life = Life(path)
    assert life.address("web/web") == "10.0.0.2"
    status = life.planner.allocator.pool_status("pool")
    assert (status.ready, status.reason.value) == (False, "FileUnreadable")
    assert "pool.yaml:1: " in status.message
    assert "valid objects stay" not in caplog.text, "no valid form was read"
    assert Life(path).address("web/web") == "10.0.0.2", "its status can be read again"
    (path / "pool.yaml").write_text(yaml.safe_dump(objects.eip("pool", SMALL)))
    assert Life(path).planner.allocator.pool_status("pool").ready


def test_of_several_files_none_is_blamed_for_an_object(path: Path) -> None:
    begun(path, SMALL)
    (path / "pool.yaml").write_text("{")
    (path / "web-web.yaml").write_text("{")
    assert Life(path).unreadable("web/web").file == ""
    (path / "pool.yaml").write_text(yaml.safe_dump(objects.eip("pool", SMALL)))
    assert Life(path).unreadable("web/web").file == "web-web.yaml"


def test_a_link_in_place_of_a_folder_of_records_is_called_a_link(path: Path) -> None:
    begun(path, SMALL)
    folder = path / ".status/services/web"
    shutil.move(folder, path.parent / "elsewhere")
    folder.symlink_to(path.parent / "elsewhere")
    assert Life(path).unreadable("web/web").reason == (
        ".status/services/web cannot be read: it is a symbolic link, and no link is followed here"
    )
