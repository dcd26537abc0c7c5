"""Rounds of binding: bindings follow their interface, and no failure loses an address."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from porter_ryu.domain.model import Network
from porter_ryu.node.binder import Binder
from porter_ryu.node.binding_journal import BindingJournal, BindingJournalError
from porter_ryu.node.command import IpError
from porter_ryu.node.iproute import IpRoute, Place
from tests.unit.fake_kernel import Kernel, Told

A, B, C = (ip_network(f"203.0.113.{n}") for n in (1, 2, 3))
OWN = "192.168.0.5/24"


class Run:
    """A Binder with its journal on disk, over a fake kernel."""

    def __init__(self, kernel: Kernel, folder: Path, interface: str = "") -> None:
        self.journal = BindingJournal(str(folder / "state"), "boot")
        self.journal.load()
        self.told = Told()
        self.binder = Binder("address", interface, "101", self.journal, IpRoute(kernel), self.told)

    def converge(self, *wanted: Network, complete: bool = True) -> None:
        """Runs one round."""
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
def test_the_bindings_of_a_renamed_interface_stay_ours(
    kernel: Kernel, run: Run, tmp_path: Path, restarted: bool
) -> None:
    kernel.names[2] = kernel.default = "lan0"
    run = Run(kernel, tmp_path) if restarted else run
    run.converge(A, B)
    assert run.binder.foreign == frozenset()
    run.converge(A)
    assert kernel.at[2] == {OWN, str(A)}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_configured_interface_that_is_renamed_is_still_used(
    kernel: Kernel, tmp_path: Path, caplog: pytest.LogCaptureFixture, restarted: bool
) -> None:
    run = Run(kernel, tmp_path, "eth0")
    run.converge(A, B)
    kernel.names[2] = "lan0"
    run = Run(kernel, tmp_path, "eth0") if restarted else run
    run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A), str(C)}
    assert "there is no interface eth0: addresses stay on lan0" in caplog.text


def test_addresses_move_to_the_interface_that_now_has_the_configured_name(
    kernel: Kernel, tmp_path: Path
) -> None:
    run = Run(kernel, tmp_path, "eth0")
    run.converge(A, B)
    kernel.names |= {2: "old", 5: "eth0"}
    kernel.at[5] = set()
    run.converge(A, B)
    assert kernel.at == {2: {OWN}, 5: {str(A), str(B)}}


@pytest.mark.parametrize("restarted", [False, True])
def test_without_a_default_route_the_last_interface_is_used(
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


def test_addresses_move_with_the_default_route(
    kernel: Kernel, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.names[3], kernel.at[3] = "eth1", {"10.0.0.1/24"}
    kernel.default = "eth1"
    run.converge(A, B)
    assert kernel.at == {2: {OWN}, 3: {"10.0.0.1/24", str(A), str(B)}}
    assert "addresses move from eth0 to eth1" in caplog.text
    assert "was removed" not in caplog.text


def test_addresses_stay_on_the_old_interface_if_the_new_one_refuses_them(
    kernel: Kernel, tmp_path: Path
) -> None:
    def refuses(argv: Sequence[str], text: str = "") -> str:
        if "-batch" in argv and "add" in text and "eth1" in text:
            raise IpError("RTNETLINK answers: Permission denied")
        return kernel(argv, text)

    run = Run(kernel, tmp_path)
    run.converge(A, B)
    kernel.names[3], kernel.at[3], kernel.default = "eth1", set(), "eth1"
    run.binder = Binder("address", "", "101", run.journal, IpRoute(refuses), run.told)
    with pytest.raises(IpError, match="Permission denied"):
        run.converge(A)
    assert kernel.at == {2: {OWN, str(A)}, 3: set()}, "A is wanted and not bound on eth1"


def test_with_a_multipath_default_route_the_interface_in_use_is_kept(
    kernel: Kernel, run: Run
) -> None:
    kernel.names[3], kernel.at[3] = "eth1", set()

    def two(argv: Sequence[str], text: str = "") -> str:
        if "route" in argv:
            return '[{"dst": "default", "nexthops": [{"dev": "eth1"}, {"dev": "eth0"}]}]'
        return kernel(argv, text)

    binder = Binder("address", "", "101", run.journal, IpRoute(two), run.told)
    binder.converge(frozenset({A, B}), True, lambda: None)
    assert kernel.at == {2: {OWN, str(A), str(B)}, 3: set()}


def test_an_interface_that_was_created_again_gets_its_addresses(kernel: Kernel, run: Run) -> None:
    del kernel.names[2]
    kernel.names[9], kernel.at = "eth0", {9: {str(B)}}  # this B is bound by somebody else
    run.converge(A, B)
    assert kernel.at[9] == {str(A), str(B)}
    assert run.binder.foreign == {B}
    run.converge()
    assert kernel.at[9] == {str(B)}


def test_without_an_interface_binding_fails_until_there_is_one(kernel: Kernel, run: Run) -> None:
    kernel.names, kernel.at, kernel.default = {1: "lo"}, {1: {"127.0.0.1/8"}}, None
    with pytest.raises(IpError, match="there is no default route"):
        run.converge(A)
    kernel.names[3], kernel.at[3], kernel.default = "eth0", set(), "eth0"
    run.converge(A)
    assert kernel.at[3] == {str(A)}


def test_an_interface_that_is_renamed_between_two_commands_keeps_its_addresses(
    kernel: Kernel, tmp_path: Path
) -> None:
    def renames(argv: Sequence[str], text: str = "") -> str:
        answer = kernel(argv, text)
        if "-batch" in argv:
            kernel.names[2] = kernel.default = "lan0"
        return answer

    run = Run(kernel, tmp_path)
    run.binder = Binder("address", "", "101", run.journal, IpRoute(renames), run.told)
    run.converge(A, B)
    assert kernel.at[2] == {OWN, str(A), str(B)}
    run.converge(A)
    assert kernel.at[2] == {OWN, str(A)}


@pytest.mark.parametrize("command", ["address", "route", "-batch"])
def test_after_a_command_that_hangs_the_journal_has_all_bindings(
    kernel: Kernel, run: Run, tmp_path: Path, command: str
) -> None:
    def hangs(argv: Sequence[str], text: str = "") -> str:
        if command in argv:
            raise IpError(f"{' '.join(argv)} did not end within 5 s")
        return kernel(argv, text)

    binder = Binder("address", "", "101", run.journal, IpRoute(hangs), run.told)
    with pytest.raises(IpError, match="did not end"):
        binder.converge(frozenset({A, C}), True, lambda: None)
    assert Run(kernel, tmp_path).journal.bindings >= {(Place("address", "eth0", 2), A)}
    run.converge()
    assert kernel.at[2] == {OWN}


def test_an_own_address_of_the_host_is_never_bound_or_unbound(
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


def test_while_the_journal_cannot_be_written_nothing_new_is_bound_and_unbinding_works(
    kernel: Kernel, run: Run, tmp_path: Path
) -> None:
    os.rename(tmp_path / "state", tmp_path / "kept")
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(BindingJournalError, match=r"bound\.json cannot be written"):
        run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A)}
    kernel.at[2].remove(str(A))
    with pytest.raises(BindingJournalError):
        run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A)}, "a binding that is on disk is repaired"
    (tmp_path / "state").unlink()
    os.rename(tmp_path / "kept", tmp_path / "state")
    run.converge(A, C)
    assert kernel.at[2] == {OWN, str(A), str(C)}
    again = Run(kernel, tmp_path)
    again.converge()
    assert kernel.at[2] == {OWN}


def test_after_a_damaged_journal_bound_addresses_are_foreign(
    kernel: Kernel, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "state" / "bound.json").write_text('{"boot": "boot", "bou')
    after = Run(kernel, tmp_path)
    after.converge(A, C)
    assert kernel.at[2] == {OWN, str(A), str(B), str(C)}
    assert after.binder.foreign == {A}
    after.converge()
    assert kernel.at[2] == {OWN, str(A), str(B)}


def test_the_link_is_told_of_an_address_when_it_is_added_and_not_again(
    kernel: Kernel, run: Run, tmp_path: Path
) -> None:
    assert run.told.given == [("eth0", {A, B})]
    run.converge(A, B)
    run.converge(A, B, C)
    run.converge(A, B, C)
    assert run.told.given[1:] == [("eth0", {C})]
    kernel.at[2].remove(str(A))
    run.converge(A, B, C)
    assert run.told.given[2:] == [("eth0", {A})], "it was added again"
    after = Run(kernel, tmp_path)
    after.converge(A, B, C)
    assert after.told.given == [], "it was there before the start"


def test_the_link_is_not_told_of_what_is_refused_or_of_somebody_else(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.refused = {str(A)}
    kernel.at[2].add(str(B))
    run = Run(kernel, tmp_path)
    with pytest.raises(IpError):
        run.converge(A, B, C)
    assert run.told.given == [("eth0", {C})]
    kernel.refused.clear()
    run.converge(A, B, C)
    assert run.told.given[1:] == [("eth0", {A})]


def test_the_link_is_told_nothing_more_before_an_address_is_unbound(
    kernel: Kernel, tmp_path: Path
) -> None:
    run = Run(kernel, tmp_path)
    at_the_time: list[set[Network]] = []

    def notes(argv: Sequence[str], text: str = "") -> str:
        if "address del" in text:
            at_the_time.append(set(run.told.stopped))
        return kernel(argv, text)

    run.binder = Binder("address", "", "101", run.journal, IpRoute(notes), run.told)
    run.converge(A, B)
    run.converge(B)
    assert at_the_time == [{A}]


def test_the_new_link_is_told_of_addresses_that_move(kernel: Kernel, run: Run) -> None:
    kernel.names[3], kernel.at[3] = "eth1", {"10.0.0.1/24"}
    kernel.default = "eth1"
    run.converge(A, B)
    assert run.told.given[1:] == [("eth1", {A, B})]
    assert run.told.stopped == set()
