"""One look at the kernel after another: what is ours goes along with its interface, and what
could not be read or done costs nobody an address."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from porter_ryu.domain.model import Network
from porter_ryu.node.binder import Binder
from porter_ryu.node.iproute import IpRoute, Place
from porter_ryu.node.journal import Journal, JournalError
from porter_ryu.node.process import IpError
from tests.unit.fake_kernel import Kernel

A, B, C = (ip_network(f"203.0.113.{n}") for n in (1, 2, 3))
OWN = "192.168.0.5/24"


class Run:
    """A Binder with its journal on disk, over a kernel."""

    def __init__(self, kernel: Kernel, folder: Path, interface: str = "") -> None:
        self.journal = Journal(str(folder / "state"), "boot")
        self.journal.load()
        self.binder = Binder("address", interface, "101", self.journal, IpRoute(kernel))

    def converge(self, *wanted: Network, complete: bool = True) -> None:
        """As the greenthread does."""
        self.binder.converge(frozenset(wanted), complete, lambda: None)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def run(kernel: Kernel, tmp_path: Path) -> Run:
    run = Run(kernel, tmp_path)
    run.converge(A, B)
    assert kernel.at[2] == {OWN, str(A), str(B)}
    return run


@pytest.mark.parametrize("restarted", [False, True])
def test_a_renamed_interface_keeps_what_is_ours(
    kernel: Kernel, run: Run, tmp_path: Path, restarted: bool
) -> None:
    kernel.names[2] = kernel.default = "lan0"
    run = Run(kernel, tmp_path) if restarted else run
    run.converge(A, B)
    assert run.binder.foreign == frozenset()
    run.converge(A)
    assert kernel.at[2] == {OWN, str(A)}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_configured_interface_that_is_renamed_stays_the_one(
    kernel: Kernel, tmp_path: Path, caplog: pytest.LogCaptureFixture, restarted: bool
) -> None:
    run = Run(kernel, tmp_path, "eth0")
    run.converge(A, B)
    kernel.names[2] = "lan0"
    run = Run(kernel, tmp_path, "eth0") if restarted else run
    run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A), str(C)}
    assert "there is no interface eth0: addresses stay on lan0" in caplog.text


def test_a_configured_interface_whose_name_another_took_is_left_for_that(
    kernel: Kernel, tmp_path: Path
) -> None:
    run = Run(kernel, tmp_path, "eth0")
    run.converge(A, B)
    kernel.names |= {2: "old", 5: "eth0"}
    kernel.at[5] = set()
    run.converge(A, B)
    assert kernel.at == {2: {OWN}, 5: {str(A), str(B)}}


@pytest.mark.parametrize("restarted", [False, True])
def test_without_a_default_route_everything_stays_and_goes_on(
    kernel: Kernel, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture, restarted: bool
) -> None:
    kernel.default = None
    run = Run(kernel, tmp_path) if restarted else run
    run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A), str(C)}
    assert run.binder.foreign == frozenset()
    assert "there is no default route whose interface could be used" in caplog.text
    run.converge()
    assert kernel.at[2] == {OWN}


def test_a_default_route_that_moves_takes_the_addresses_along(
    kernel: Kernel, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.names[3], kernel.at[3] = "eth1", {"10.0.0.1/24"}
    kernel.default = "eth1"
    run.converge(A, B)
    assert kernel.at == {2: {OWN}, 3: {"10.0.0.1/24", str(A), str(B)}}
    assert "addresses go from eth0 to eth1" in caplog.text
    assert "had been removed" not in caplog.text


def test_where_the_new_interface_takes_none_the_old_one_keeps_them(
    kernel: Kernel, tmp_path: Path
) -> None:
    def refuses(argv: Sequence[str], text: str = "") -> str:
        if "-batch" in argv and "add" in text and "eth1" in text:
            raise IpError("RTNETLINK answers: Permission denied")
        return kernel(argv, text)

    run = Run(kernel, tmp_path)
    run.converge(A, B)
    kernel.names[3], kernel.at[3], kernel.default = "eth1", set(), "eth1"
    run.binder = Binder("address", "", "101", run.journal, IpRoute(refuses))
    with pytest.raises(IpError, match="Permission denied"):
        run.converge(A)
    assert kernel.at == {2: {OWN, str(A)}, 3: set()}, "B is not wanted; A stays until it is there"


def test_of_a_default_route_with_two_paths_the_interface_in_use_stays(
    kernel: Kernel, run: Run
) -> None:
    kernel.names[3], kernel.at[3] = "eth1", set()

    def two(argv: Sequence[str], text: str = "") -> str:
        if "route" in argv:
            return '[{"dst": "default", "nexthops": [{"dev": "eth1"}, {"dev": "eth0"}]}]'
        return kernel(argv, text)

    binder = Binder("address", "", "101", run.journal, IpRoute(two))
    binder.converge(frozenset({A, B}), True, lambda: None)
    assert kernel.at == {2: {OWN, str(A), str(B)}, 3: set()}


def test_an_interface_that_was_made_anew_gets_its_addresses_again(kernel: Kernel, run: Run) -> None:
    del kernel.names[2]
    kernel.names[9], kernel.at = "eth0", {9: {str(B)}}  # this B somebody else put there
    run.converge(A, B)
    assert kernel.at[9] == {str(A), str(B)}
    assert run.binder.foreign == {B}
    run.converge()
    assert kernel.at[9] == {str(B)}


def test_without_any_interface_it_fails_until_there_is_one(kernel: Kernel, run: Run) -> None:
    kernel.names, kernel.at, kernel.default = {1: "lo"}, {1: {"127.0.0.1/8"}}, None
    with pytest.raises(IpError, match="there is no default route"):
        run.converge(A)
    kernel.names[3], kernel.at[3], kernel.default = "eth0", set(), "eth0"
    run.converge(A)
    assert kernel.at[3] == {str(A)}


def test_an_interface_that_is_renamed_between_two_commands_loses_nothing(
    kernel: Kernel, tmp_path: Path
) -> None:
    def renames(argv: Sequence[str], text: str = "") -> str:
        answer = kernel(argv, text)
        if "-batch" in argv:
            kernel.names[2] = kernel.default = "lan0"
        return answer

    run = Run(kernel, tmp_path)
    run.binder = Binder("address", "", "101", run.journal, IpRoute(renames))
    run.converge(A, B)
    assert kernel.at[2] == {OWN, str(A), str(B)}
    run.converge(A)
    assert kernel.at[2] == {OWN, str(A)}


@pytest.mark.parametrize("command", ["address", "route", "-batch"])
def test_a_command_that_hangs_makes_nothing_of_ours_forgotten(
    kernel: Kernel, run: Run, tmp_path: Path, command: str
) -> None:
    def hangs(argv: Sequence[str], text: str = "") -> str:
        if command in argv:
            raise IpError(f"{' '.join(argv)} did not end within 5 s")
        return kernel(argv, text)

    binder = Binder("address", "", "101", run.journal, IpRoute(hangs))
    with pytest.raises(IpError, match="did not end"):
        binder.converge(frozenset({A, C}), True, lambda: None)
    assert Run(kernel, tmp_path).journal.entries >= {(Place("address", "eth0", 2), A)}
    run.converge()
    assert kernel.at[2] == {OWN}


def test_the_hosts_own_address_is_neither_bound_nor_unbound_whatever_the_journal_says(
    kernel: Kernel, tmp_path: Path
) -> None:
    own, ptp = ip_network("192.168.0.5"), ip_network("192.168.0.6")
    kernel.at[2].add("192.168.0.6/25")
    run = Run(kernel, tmp_path)
    run.journal.add((Place("address", "eth0", 2), n) for n in (own, ptp))
    run.converge(own, A)
    assert kernel.at[2] == {OWN, "192.168.0.6/25", str(A)}
    assert run.binder.foreign == {own}
    run.converge()
    assert kernel.at[2] == {OWN, "192.168.0.6/25"}


def test_with_a_disk_that_takes_nothing_new_ones_wait_and_old_ones_go(
    kernel: Kernel, run: Run, tmp_path: Path
) -> None:
    os.rename(tmp_path / "state", tmp_path / "kept")
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(JournalError, match=r"bound\.json cannot be written"):
        run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A)}
    kernel.at[2].remove(str(A))
    with pytest.raises(JournalError):
        run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A)}, "what is on disk is repaired"
    (tmp_path / "state").unlink()
    os.rename(tmp_path / "kept", tmp_path / "state")
    run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A), str(C)}
    again = Run(kernel, tmp_path)
    again.converge()
    assert kernel.at[2] == {OWN}


def test_after_a_damaged_journal_what_is_bound_is_used_and_left(
    kernel: Kernel, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "state" / "bound.json").write_text('{"boot": "boot", "bou')
    after = Run(kernel, tmp_path)
    after.converge(A, C)
    assert kernel.at[2] == {OWN, str(A), str(B), str(C)}
    assert after.binder.foreign == {A}
    after.converge()
    assert kernel.at[2] == {OWN, str(A), str(B)}
