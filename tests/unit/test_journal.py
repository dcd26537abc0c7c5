"""The journal of announced paths: what it has said stays said, whatever the disk does."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path as File

import pytest

from porter_ryu.bgp.output.journal import Journals, RouteJournal
from porter_ryu.bgp.output.journal_line import kept, may_be_next_hop, struck_out
from porter_ryu.bgp.protocol.rib_out import SentPaths
from porter_ryu.bgp.protocol.update import PathId
from porter_ryu.domain.announcement import SentPath
from porter_ryu.domain.model import Network
from tests.unit.later import Later

FIRST, SECOND = ip_network("203.0.113.1/32"), ip_network("2001:db8::/64")
HOPS: dict[Network, SentPaths] = {
    FIRST: {7: SentPath(ip_address("192.168.0.7"))},
    SECOND: {None: SentPath(ip_address("fd00::1"))},
}
GOOD = "+ 203.0.113.1/32 7 192.168.0.7\n"


def journal_of(folder: File, peer: str = "leaf", later: Later | None = None) -> RouteJournal:
    """The journal of a peer as a process reads it that has just started."""
    return Journals(str(folder), later or Later()).of(peer)


class Peer:
    """What is told to a peer, with its journal, as a session does it."""

    def __init__(self, journal: RouteJournal) -> None:
        self.journal = journal
        self.has: dict[Network, SentPaths] = {}
        journal.begin(self)

    @property
    def path_count(self) -> int:
        """As journal.Told."""
        return sum(map(len, self.has.values()))

    def paths(self) -> list[tuple[Network, SentPaths]]:
        """As journal.Told."""
        return list(self.has.items())

    def add(self, paths: Iterable[tuple[Network, SentPaths]]) -> None:
        """Announces paths."""
        paths = list(paths)
        for prefix, told in paths:
            self.has[prefix] = {**self.has.get(prefix, {}), **told}
        self.journal.append(kept(paths))

    def remove(self, paths: Iterable[tuple[Network, Collection[PathId]]]) -> None:
        """The peer has read the withdrawal of these."""
        paths = list(paths)
        for prefix, path_ids in paths:
            left = {i: hop for i, hop in self.has.pop(prefix).items() if i not in path_ids}
            if left:
                self.has[prefix] = left
        self.journal.append(struck_out(paths))


def write(folder: File, octets: bytes, peer: str = "leaf") -> File:
    """A journal that an earlier run left."""
    (folder / "announced").mkdir(exist_ok=True)
    file = folder / "announced" / peer
    file.write_bytes(octets)
    return file


def test_it_outlives_the_process_and_a_torn_line(tmp_path: File) -> None:
    Peer(journal_of(tmp_path, "rack/leaf 1")).add(HOPS.items())
    (file,) = (tmp_path / "announced").iterdir()
    file.write_text(file.read_text() + "+ 203.0.113.9/32 1")
    again = journal_of(tmp_path, "rack/leaf 1")
    assert again.left == HOPS
    again.strike_out([(FIRST, [7])])
    assert again.left == {SECOND: HOPS[SECOND]}
    assert journal_of(tmp_path, "rack/leaf 1").left == {SECOND: HOPS[SECOND]}


def test_a_prefix_with_many_paths_has_several_lines(tmp_path: File) -> None:
    numbers = range(0xC0A80001, 0xC0A80065)
    many: SentPaths = {number: SentPath(ip_address(number)) for number in numbers}
    Peer(journal_of(tmp_path)).add([(FIRST, many), (SECOND, HOPS[SECOND])])
    (file,) = (tmp_path / "announced").iterdir()
    assert len(file.read_text().splitlines()) == 8
    assert journal_of(tmp_path).left == {FIRST: many, SECOND: HOPS[SECOND]}


def test_a_file_of_an_earlier_version_has_a_line_for_each_path(tmp_path: File) -> None:
    lines = "".join(f"+ 203.0.113.1/32 {number} 192.168.0.{number}\n" for number in (7, 8, 9))
    write(tmp_path, f"{lines}- 203.0.113.1/32 8\n".encode())
    want = {FIRST: {number: SentPath(ip_address(f"192.168.0.{number}")) for number in (7, 9)}}
    assert journal_of(tmp_path).left == want


def test_it_does_not_grow_with_history(tmp_path: File) -> None:
    later = Later()
    peer = Peer(journal_of(tmp_path, later=later))
    for _ in range(2000):
        peer.add([(FIRST, HOPS[FIRST])])
        peer.remove([(FIRST, [7])])
        later.passes()
    (file,) = (tmp_path / "announced").iterdir()
    assert len(file.read_text().splitlines()) <= 1001


def test_what_is_added_while_it_is_rewritten_is_in_it(tmp_path: File) -> None:
    later = Later()
    peer = Peer(journal_of(tmp_path, later=later))
    for _ in range(501):
        peer.add([(FIRST, HOPS[FIRST])])
        peer.remove([(FIRST, [7])])
    peer.add([(SECOND, HOPS[SECOND])])
    later.passes()
    peer.add([(FIRST, HOPS[FIRST])])
    assert journal_of(tmp_path).left == HOPS


BAD_LINES = {
    "a path identifier below 0": b"+ 2001:db8::/64 -5 fd00::1\n",
    "a path identifier beyond 32 bits": b"+ 203.0.113.9/32 4294967296 192.168.0.9\n",
    "a path identifier of 5,000 digits": b"+ 203.0.113.9/32 " + b"9" * 5000 + b" 192.168.0.9\n",
    "a path identifier that Python would read": b"+ 203.0.113.9/32 1_0 192.168.0.9\n",
    "a path identifier with a sign": b"+ 203.0.113.9/32 +9 192.168.0.9\n",
    "a prefix with host bits": b"+ 203.0.113.9/24 9 192.168.0.9\n",
    "a prefix without length": b"+ 203.0.113.9 9 192.168.0.9\n",
    "a netmask": b"+ 203.0.113.0/255.255.255.0 9 192.168.0.9\n",
    "a prefix too long": b"+ 203.0.113.9/33 9 192.168.0.9\n",
    "an IPv6 prefix with an IPv4 next hop": b"+ 2001:db8::/64 - 192.168.0.9\n",
    "a scope": b"+ 2001:db8::/64 - fe80::1%\xc3\xa9\n",
    "two lines merged": b"+ 203.0.113.9/32 9 192.168.0.9+ 203.0.113.8/32 8 192.168.0.8\n",
    "two lines merged in a number": b"+ 203.0.113.9/32 9+ 203.0.113.8/32 8 192.168.0.8\n",
    "an announcement without next hop": b"+ 203.0.113.9/32 9\n",
    "a withdrawal with next hop": b"- 203.0.113.1/32 7 192.168.0.7\n",
    "an unknown sign": b"* 203.0.113.9/32 9 192.168.0.9\n",
    "a blank line": b"\n",
    "spaces": b"  + 203.0.113.9/32  9 192.168.0.9\n",
    "CR LF": b"+ 203.0.113.9/32 9 192.168.0.9\r\n",
    "octets": bytes(range(11, 256)) + b"\n",
    "NULs, as after a power loss": b"\0" * 4096 + b"\n",
    "digits of another script": "+ 203.0.113.9/32 \u0669 192.168.0.9\n".encode(),
    "a path identifier twice": b"+ 203.0.113.9/32 9 192.168.0.9 9 192.168.0.8\n",
    "a path identifier struck out twice": b"- 203.0.113.9/32 9 9\n",
    "a path without next hop": b"+ 203.0.113.9/32 9 192.168.0.9 8\n",
    "a line cut at the end": b"+ 203.0.113.9/32 9 192.168.0.9",
}


# what can only be withdrawn: the next hops of whole paths in a bad line, by the end of the prefix
REMAINS = {
    "two lines merged": {8: 8},
    "two lines merged in a number": {8: 8},
    "a path identifier twice": {9: 8},
    "a path without next hop": {9: 9},
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_reported_once_and_costs_itself_alone(
    tmp_path: File, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    line = BAD_LINES[name]
    after = b"+ 2001:db8::/64 - fd00::1\n" if line.endswith(b"\n") else b""
    write(tmp_path, GOOD.encode() + line + after)
    want = dict(HOPS) if after else {FIRST: HOPS[FIRST]}
    for last, hop in REMAINS.get(name, {}).items():
        unknown = SentPath(ip_address(f"192.168.0.{hop}"), None)
        want[ip_network(f"203.0.113.{last}")] = {last: unknown}
    assert journal_of(tmp_path).left == want
    assert caplog.text.count("leaf:2: left out") == 1
    caplog.clear()
    assert journal_of(tmp_path).left == want
    assert caplog.text == ""


def test_a_file_of_garbage_is_told_in_a_few_lines(
    tmp_path: File, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, b"garbage\n" * 5000 + GOOD.encode())
    assert journal_of(tmp_path).left == {FIRST: HOPS[FIRST]}
    assert len(caplog.records) == 11
    assert "5000 lines were left out" in caplog.text


@pytest.mark.parametrize(
    "next_hop",
    [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "169.254.1.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "::ffff:192.168.0.1",
    ],
)
def test_an_impossible_next_hop_is_never_replayed_but_its_path_may_be_taken_back(
    tmp_path: File, next_hop: str
) -> None:
    prefix = "2001:db8::9/128" if ":" in next_hop else "203.0.113.9/32"
    write(tmp_path, f"{GOOD}+ {prefix} 9 {ip_address(next_hop)}\n".encode())
    journal = journal_of(tmp_path)
    assert journal.left == {FIRST: HOPS[FIRST]}
    assert journal.unfit == {ip_network(prefix): {9}}
    assert journal_of(tmp_path).unfit == {}


def test_addresses_of_real_nodes_may_be_next_hops() -> None:
    for text in ("192.168.0.1", "10.0.0.1", "100.64.0.1", "8.8.8.8", "fd00::1", "2001:db8::1"):
        assert may_be_next_hop(ip_address(text))


@pytest.mark.parametrize("kind", ["a symbolic link", "a folder", "a pipe", "a dangling link"])
def test_what_cannot_be_read_is_told_set_aside_and_not_followed(
    tmp_path: File, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    file = write(tmp_path, b"")
    file.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(GOOD)
    if kind == "a symbolic link":
        file.symlink_to(elsewhere)
    elif kind == "a dangling link":
        file.symlink_to(tmp_path / "nowhere")
    elif kind == "a folder":
        file.mkdir()
    else:
        os.mkfifo(file)
    journal = journal_of(tmp_path)
    assert not journal.known
    assert journal.left == {}
    assert "cannot be read" in caplog.text
    assert "which routes its peer still has from an earlier run is not known" in caplog.text
    Peer(journal).add(HOPS.items())
    assert journal_of(tmp_path).left == HOPS
    assert elsewhere.read_text() == GOOD
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("peer", ["..", ".", ".leaf.next", "../../evil", "a/b", "leaf\n", "\u00e9"])
def test_whatever_a_peer_is_called_its_journal_is_a_file_in_its_folder(
    tmp_path: File, peer: str
) -> None:
    Peer(journal_of(tmp_path, peer)).add(HOPS.items())
    assert journal_of(tmp_path, peer).left == HOPS
    (file,) = (tmp_path / "announced").iterdir()
    assert not file.name.startswith(".")


def test_a_file_that_somebody_removed_is_written_as_a_whole(tmp_path: File) -> None:
    later = Later()
    peer = Peer(journal_of(tmp_path, later=later))
    peer.add([(FIRST, HOPS[FIRST])])
    (tmp_path / "announced" / "leaf").unlink()
    peer.add([(SECOND, HOPS[SECOND])])
    later.passes(10)
    assert journal_of(tmp_path).left == HOPS


@pytest.fixture
def small_disk(tmp_path: File) -> Iterator[File]:
    """A state_dir on a disk of 64 kB."""
    if os.geteuid() != 0:
        pytest.fail("a real full disk needs root, to mount one")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def many(count: int) -> list[tuple[Network, SentPaths]]:
    """So many prefixes with a path each."""
    paths: SentPaths = {7: SentPath(ip_address("192.168.0.7"))}
    return [(ip_network(0xCB007100 + number), paths) for number in range(count)]


def fill(disk: File) -> File:
    """Leaves no block of a disk free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 512):
            pass
    return filler


def test_a_disk_that_is_full_for_a_while_costs_no_line(
    small_disk: File, caplog: pytest.LogCaptureFixture
) -> None:
    later = Later()
    journals = Journals(str(small_disk), later)
    peer = Peer(journals.of("leaf"))
    paths = many(200)
    peer.add(paths[:50])
    filler = fill(small_disk)
    for path in paths[50:]:
        peer.add([path])
    later.passes(60)
    assert not journals.writable
    assert caplog.text.count("cannot be written") == 1
    filler.unlink()
    later.passes(6)
    assert journals.writable
    assert "is written again" in caplog.text
    caplog.clear()
    assert journal_of(small_disk).left == dict(paths)
    peer.remove(paths[:150])
    assert journal_of(small_disk).left == dict(paths[150:])
    assert caplog.text == ""


def test_a_line_that_the_full_disk_cut_is_no_part_of_the_next(small_disk: File) -> None:
    later = Later()
    peer = Peer(journal_of(small_disk, later=later))
    paths = many(300)
    peer.add(paths[:1])
    filler = fill(small_disk)
    peer.add(paths[1:])
    after_a_kill = journal_of(small_disk).left
    assert 1 < len(after_a_kill) < 300
    assert after_a_kill.items() <= dict(paths).items()
    filler.unlink()
    peer.remove(paths[10:])
    later.passes(6)
    assert journal_of(small_disk).left == dict(paths[:10])


def test_the_end_of_the_process_is_one_more_try(small_disk: File) -> None:
    journal = journal_of(small_disk)
    filler = fill(small_disk)
    Peer(journal).add(HOPS.items())
    filler.unlink()
    journal.save()
    assert journal_of(small_disk).left == HOPS
