"""BoundIps over a fake kernel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from porter_ryu import metrics
from porter_ryu.node.binding_journal import BindingJournal
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.iproute import IpRoute, Place
from porter_ryu.supervisor import Supervisor
from tests.unit.fake_kernel import Kernel, Told
from tests.unit.until import until

A, B, SIX = (ip_network(text) for text in ("203.0.113.1", "203.0.113.2", "2001:db8::1"))
ETH = Place("address", "eth0", 2)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def instance(kernel: Kernel, tmp_path: Path) -> Iterator[BoundIps]:
    bound = BoundIps(
        "address",
        "",
        101,
        BindingJournal(str(tmp_path), "boot"),
        IpRoute(kernel),
        Told(),
        Supervisor(),
    )
    bound.start()
    yield bound
    bound.stop()


def again(kernel: Kernel, tmp_path: Path, boot: str = "boot") -> BoundIps:
    """A second instance, as after `kill -9` of the first."""
    journal = BindingJournal(str(tmp_path), boot)
    journal.load()
    bound = BoundIps("address", "eth0", 101, journal, IpRoute(kernel), Told(), Supervisor())
    bound.start()
    return bound


def test_binding_again_runs_no_command(kernel: Kernel, instance: BoundIps) -> None:
    instance.bind(frozenset({A, SIX}))
    assert kernel.addresses == {"192.168.0.5/24", str(A), str(SIX)}
    batches = sum("-batch" in argv for argv in kernel.commands)
    instance.bind(frozenset({A, SIX}))
    assert sum("-batch" in argv for argv in kernel.commands) == batches
    assert instance.count == 2


def test_nothing_is_unbound_before_all_wanted_addresses_are_known(
    kernel: Kernel, instance: BoundIps
) -> None:
    instance.bind(frozenset({A, B}))
    instance.unbind(frozenset({B}))
    assert str(B) in kernel.addresses
    instance.complete()
    assert kernel.addresses == {"192.168.0.5/24", str(A)}


def test_the_journal_is_written_before_an_address_is_bound(
    kernel: Kernel, instance: BoundIps, tmp_path: Path
) -> None:
    instance.bind(frozenset({A}))
    kernel.addresses.discard(str(A))  # as if killed between the two
    journal = BindingJournal(str(tmp_path), "boot")
    journal.load()
    assert journal.bindings == {(ETH, A)}


def test_after_a_kill_bound_addresses_are_kept_or_unbound(
    kernel: Kernel, instance: BoundIps, tmp_path: Path
) -> None:
    instance.bind(frozenset({A, B}))
    after = again(kernel, tmp_path)
    after.bind(frozenset({A}))
    after.complete()
    assert kernel.addresses == {"192.168.0.5/24", str(A)}
    assert after.foreign() == frozenset()
    after.stop()


def test_an_address_of_somebody_else_is_foreign_and_stays(
    kernel: Kernel, instance: BoundIps
) -> None:
    kernel.addresses.add(str(A))
    instance.complete()
    instance.bind(frozenset({A, B}))
    assert instance.foreign() == {A}
    instance.unbind(frozenset({A, B}))
    assert kernel.addresses == {"192.168.0.5/24", str(A)}


def test_a_journal_from_before_a_reboot_is_ignored(
    kernel: Kernel, instance: BoundIps, tmp_path: Path
) -> None:
    instance.bind(frozenset({A}))
    after = again(kernel, tmp_path, boot="another")
    after.complete()
    assert str(A) in kernel.addresses
    after.stop()


def test_while_ip_fails_bind_does_not_wait_and_is_retried(
    kernel: Kernel, instance: BoundIps, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.broken = "RTNETLINK answers: Operation not permitted"
    instance.bind(frozenset({A}))
    started = time.monotonic()
    for _ in range(100):
        instance.bind(frozenset({B}))
    assert time.monotonic() - started < 5
    assert caplog.text.count("Operation not permitted") == 1
    kernel.broken = ""
    instance.complete()
    until(lambda: {str(A), str(B)} <= kernel.addresses)
    until(lambda: instance.last_error == "")


def test_an_address_that_the_kernel_refuses_delays_no_other(
    kernel: Kernel, instance: BoundIps, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.refused = {str(SIX)}
    instance.bind(frozenset({A, SIX}))
    assert str(A) in kernel.addresses
    assert "RTNETLINK answers: refused" in caplog.text
    instance.bind(frozenset({B}))
    assert str(B) in kernel.addresses, "bind waits until it was tried"
    kernel.refused = set()
    until(lambda: str(SIX) in kernel.addresses)


def test_withdrawing_unbinds_all_addresses_of_ours(kernel: Kernel, instance: BoundIps) -> None:
    instance.bind(frozenset({A, SIX}))
    assert instance.stop(withdraw=True) == ""
    assert kernel.addresses == {"192.168.0.5/24"}
    instance.bind(frozenset({B}))
    assert kernel.addresses == {"192.168.0.5/24"}, "nothing is bound after a withdrawal"


def test_an_address_that_somebody_removed_is_bound_again_and_counted(
    kernel: Kernel, instance: BoundIps
) -> None:
    instance.bind(frozenset({A}))
    before = metrics.bound_ip_repairs._value.get()
    kernel.addresses.remove(str(A))
    instance.bind(frozenset({B}))
    assert str(A) in kernel.addresses
    assert metrics.bound_ip_repairs._value.get() == before + 1
