"""bound.json: an unreadable file does not count as empty; a damaged row affects no other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from porter_ryu.node.binding_journal import BindingJournal, BindingJournalError
from porter_ryu.node.interfaces import InterfaceAddress, Interfaces, Link
from porter_ryu.node.iproute import Place

A, B = ip_network("203.0.113.1"), ip_network("203.0.113.2")
ETH = Place("address", "eth0", 2)


def loaded(folder: Path, boot: str = "boot") -> BindingJournal:
    """The journal as the next run reads it."""
    journal = BindingJournal(str(folder), boot)
    journal.load()
    return journal


def interfaces(**names: int) -> Interfaces:
    """Interfaces by name and index."""
    links = tuple(Link(index, name) for name, index in names.items())
    return Interfaces(links, (), {})


def test_bindings_are_read_back_until_a_reboot(tmp_path: Path) -> None:
    journal = BindingJournal(str(tmp_path), "boot")
    rule = (Place("rule", "101"), A)
    journal.add({(ETH, A), (ETH, B), rule})
    assert loaded(tmp_path).bindings == {(ETH, A), (ETH, B), rule}
    journal.remove({(ETH, A)})
    assert (journal.has(A), journal.has(B)) == (True, True), "A has a rule yet"
    journal.remove({rule, (ETH, B)})
    assert (journal.has(A), journal.has(B)) == (False, False)
    journal.add({(ETH, A), (ETH, B), rule})
    journal.remove({(ETH, A)})
    journal.write()
    assert loaded(tmp_path).bindings == {(ETH, B), rule}
    assert loaded(tmp_path, "another").bindings == frozenset(), "nothing is ours after a reboot"
    assert loaded(tmp_path).damage == ""


def test_a_file_of_an_earlier_version_is_read_and_an_earlier_version_reads_ours(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bound.json"
    path.write_text('{"boot": "boot", "bound": [["address", "eth0", "203.0.113.1/32"]]}')
    journal = loaded(tmp_path)
    assert journal.bindings == {(Place("address", "eth0"), A)}
    journal.update_interfaces(interfaces(lo=1, eth0=2))
    assert journal.bindings == {(ETH, A)}
    journal.write()
    document = json.loads(path.read_text())
    assert document["bound"] == [["address", "eth0", "203.0.113.1/32"]]
    assert document["interfaces"] == {"eth0": 2}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b"{",
        b'{"boot": "boot", "bound": [["addr',
        b'{"boot": "boot"}',
        b'{"boot": "boot", "bound": {"a": 1}}',
        b'{"bound": []}',
        b'{"boot": 5, "bound": []}',
        b"\x00" * 4096,
        b"\xff\xfe\x00garbage",
        b"[" * 3000,
        b'{"boot": "boot", "bound": [' + b"9" * 5000 + b"]}",
        b" " * (17 << 20),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_a_damaged_file_is_reported_and_kept_and_counts_as_empty(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    path, aside = tmp_path / "bound.json", tmp_path / "bound.json.damaged"
    path.write_bytes(data)
    aside.write_text("of an earlier time")
    journal = loaded(tmp_path)
    assert journal.bindings == frozenset()
    assert "bound.json is damaged" in journal.damage
    assert caplog.text.count("is damaged") == 1
    assert path.read_bytes() == data, "reading alone changes nothing: `plan` reads it as well"
    journal.write()
    assert aside.read_bytes() == data
    assert loaded(tmp_path).damage == ""
    assert sorted(os.listdir(tmp_path)) == ["bound.json", "bound.json.damaged"]


def test_something_other_than_a_regular_file_is_kept_and_never_written_through(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "elsewhere"
    secret.write_text('{"boot": "boot", "bound": [["address", "eth0", "203.0.113.1/32"]]}')

    def link(path: Path) -> None:
        path.symlink_to(secret)

    makers: dict[str, Callable[[Path], None]] = {
        "a symbolic link": link,
        "a directory": Path.mkdir,
        "not a regular file": os.mkfifo,
    }
    for number, (what, make) in enumerate(makers.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "bound.json")
        journal = loaded(folder)
        assert journal.bindings == frozenset()
        assert f"it is {what}" in journal.damage
        journal.add({(ETH, B)})
        assert loaded(folder).bindings == {(ETH, B)}
        assert (folder / "bound.json.damaged").lstat()
    assert "203.0.113.1" in secret.read_text()


BAD_ROWS: list[object] = [
    None,
    5,
    "address",
    {},
    [],
    ["address"],
    ["address", "eth0", "203.0.113.2/32", "more"],
    ["address", "eth0", 3405803778],
    ["address", "eth0", None],
    ["address", "eth0", "x"],
    ["address", "eth0", ""],
    ["address", "eth0", "203.0.113.0/24"],
    ["address", "eth0", "192.168.0.5/24"],
    ["address", "eth0", "0.0.0.0/0"],
    ["address", "eth0", "2001:db8::/64"],
    ["address", "eth0", "fe80::1%eth0/128"],
    ["address", "eth0", "fe80::1%eth0"],
    ["address", 5, "203.0.113.2/32"],
    ["address", "", "203.0.113.2/32"],
    ["address", "e" * 16, "203.0.113.2/32"],
    ["address", "eth0\naddress del 192.168.0.5/24 dev eth0", "203.0.113.2/32"],
    ["address", "../eth0", "203.0.113.2/32"],
    ["rule", "eth0", "203.0.113.2/32"],
    ["blackhole", "101 pref 0", "203.0.113.2/32"],
    ["dance", "101", "203.0.113.2/32"],
    ["", "", ""],
    [["address"], "eth0", "203.0.113.2/32"],
]


@pytest.mark.parametrize("row", BAD_ROWS, ids=str)
def test_a_damaged_row_affects_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, row: object
) -> None:
    path = tmp_path / "bound.json"
    rows = [["address", "eth0", "203.0.113.1/32"], row, ["rule", "101", "203.0.113.1/32"]]
    data = json.dumps({"boot": "boot", "bound": rows, "interfaces": {"eth0": 2}})
    path.write_text(data)
    journal = loaded(tmp_path)
    assert journal.bindings == {(ETH, A), (Place("rule", "101"), A)}
    assert "has 1 damaged rows" in caplog.text
    journal.write()
    assert (tmp_path / "bound.json.damaged").read_text() == data
    assert loaded(tmp_path).bindings == journal.bindings


@pytest.mark.parametrize("indexes", [None, 5, [], {"eth0": "2"}, {"eth0": -1}, {"eth0": True}])
def test_without_a_valid_index_the_name_of_the_interface_counts(
    tmp_path: Path, indexes: object
) -> None:
    rows = [["address", "eth0", "203.0.113.1/32"]]
    document = {"boot": "boot", "bound": rows, "interfaces": indexes}
    (tmp_path / "bound.json").write_text(json.dumps(document))
    assert loaded(tmp_path).bindings == {(Place("address", "eth0"), A)}


def test_bindings_follow_a_renamed_interface_and_end_with_a_removed_one(tmp_path: Path) -> None:
    journal = BindingJournal(str(tmp_path), "boot")
    table = (Place("rule", "101"), A)
    journal.add({(ETH, A), (Place("address", "eth1", 3), B), table})
    journal.update_interfaces(interfaces(lo=1, lan0=2, eth1=7, eth0=8))
    lan = Place("address", "lan0", 2)
    assert journal.bindings == {(lan, A), table}, "eth1 and eth0 are new ones of these names"
    journal.write()
    assert loaded(tmp_path).bindings == {(lan, A), table}


def test_only_host_prefixes_that_exist_count_as_bound_by_us(tmp_path: Path) -> None:
    journal = BindingJournal(str(tmp_path), "boot")
    own, ptp = ip_network("192.168.0.5"), ip_network("10.9.9.1")
    journal.add({(ETH, A), (ETH, own), (ETH, ptp), (ETH, ip_network("198.51.100.1"))})
    journal.add({(Place("address", "gone", 3), B), (Place("address", "eth0"), B)})

    def there(text: str, device: str, index: int, lone: bool) -> InterfaceAddress:
        return InterfaceAddress(device, ip_address(text), lone, lone, index)

    seen = [
        there("192.168.0.5", "lan0", 2, False),
        there("10.9.9.1", "lan0", 2, False),
        there("203.0.113.1", "lan0", 2, True),
        there("203.0.113.2", "gone", 9, True),
    ]
    assert journal.bound_among(seen) == {ip_address("203.0.113.1")}


def test_a_file_that_cannot_be_opened_is_retried_and_not_overwritten(
    tmp_path: Path,
) -> None:
    BindingJournal(str(tmp_path), "boot").add({(ETH, A)})
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.symlink_to(folder)  # ELOOP does not mean that there is no file
    journal = loaded(folder)
    assert "Too many levels" in journal.read_error
    with pytest.raises(BindingJournalError, match="cannot be read"):
        journal.ensure_read()
    folder.unlink()
    away.mkdir()
    os.rename(tmp_path / "bound.json", away / "bound.json")
    folder.symlink_to(away)
    journal.ensure_read()
    assert journal.bindings == {(ETH, A)}
    assert journal.read_error == ""


def test_while_the_file_cannot_be_written_nothing_is_added_and_removing_works(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "state"
    journal = BindingJournal(str(folder), "boot")
    journal.add({(ETH, A), (ETH, B)})
    os.rename(folder, tmp_path / "kept")
    folder.write_text("no folder any more")
    with pytest.raises(BindingJournalError, match=r"bound\.json cannot be written: "):
        journal.add({(ETH, ip_network("203.0.113.3"))})
    journal.add({(ETH, A)})  # is on disk already
    journal.remove({(ETH, A)})
    assert journal.bindings == {(ETH, B)}
    with pytest.raises(BindingJournalError):
        journal.write()
    folder.unlink()
    os.rename(tmp_path / "kept", folder)
    journal.write()
    assert loaded(folder).bindings == {(ETH, B)}
