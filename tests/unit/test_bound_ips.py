"""Bound addresses against a kernel that is a set, and `ip` output as it was seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from porter_ryu import metrics
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.iproute import IpRoute, Place
from porter_ryu.node.journal import Journal
from porter_ryu.node.process import IpError, RefusedError
from porter_ryu.supervisor import Supervisor

A, B, SIX = (ip_network(text) for text in ("203.0.113.1", "203.0.113.2", "2001:db8::1"))
ETH = Place("address", "eth0", 2)


class Kernel:
    """Interfaces by index with their addresses, and the default route; `broken` is what every
    command complains of."""

    def __init__(self) -> None:
        self.names = {2: "eth0"}
        self.at = {2: {"192.168.0.5/24"}}
        self.default: str | None = "eth0"
        self.broken = ""
        self.commands: list[tuple[str, ...]] = []

    @property
    def addresses(self) -> set[str]:
        return self.at[2]

    def __call__(self, argv: Sequence[str], text: str = "") -> str:
        self.commands.append(tuple(argv))
        if self.broken:
            raise IpError(self.broken)
        if "-batch" in argv:
            complaints = [c for line in text.splitlines() if (c := self._line(line.split()))]
            if complaints:
                raise RefusedError(complaints[0])
            return ""
        if "route" in argv:
            route = {"dst": "default", "gateway": "192.168.0.1", "dev": self.default}
            return json.dumps([route] if self.default and "-4" in argv else [])
        return json.dumps([self._link(index) for index in self.names])

    def _link(self, index: int) -> dict[str, object]:
        pairs = [address.split("/") for address in sorted(self.at[index])]
        infos = [{"local": a, "prefixlen": int(n)} for a, n in pairs]
        return {"ifindex": index, "ifname": self.names[index], "addr_info": infos}

    def _line(self, words: list[str]) -> str:
        assert words[0] == "address"
        assert words[3] == "dev"
        index = {name: index for index, name in self.names.items()}.get(words[4])
        if index is None:
            return f"Cannot find device {words[4]}"
        if (words[2] in self.at[index]) == (words[1] == "add"):
            return "RTNETLINK answers: no"
        (self.at[index].add if words[1] == "add" else self.at[index].remove)(words[2])
        return ""


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def instance(kernel: Kernel, tmp_path: Path) -> Iterator[BoundIps]:
    bound = BoundIps(
        "address", "", 101, Journal(str(tmp_path), "boot"), IpRoute(kernel), Supervisor()
    )
    bound.start()
    yield bound
    bound.stop()


def again(kernel: Kernel, tmp_path: Path, boot: str = "boot") -> BoundIps:
    """What starts after the first was killed."""
    journal = Journal(str(tmp_path), boot)
    journal.load()
    bound = BoundIps("address", "eth0", 101, journal, IpRoute(kernel), Supervisor())
    bound.start()
    return bound


def test_binding_twice_is_binding_once(kernel, instance):
    instance.bind(frozenset({A, SIX}))
    assert kernel.addresses == {"192.168.0.5/24", str(A), str(SIX)}
    batches = sum("-batch" in argv for argv in kernel.commands)
    instance.bind(frozenset({A, SIX}))
    assert sum("-batch" in argv for argv in kernel.commands) == batches
    assert metrics.bound_ips._value.get() == 2


def test_nothing_goes_before_all_that_is_wanted_is_known(kernel, instance):
    instance.bind(frozenset({A, B}))
    instance.unbind(frozenset({B}))
    assert str(B) in kernel.addresses
    instance.complete()
    assert kernel.addresses == {"192.168.0.5/24", str(A)}


def test_the_journal_is_written_before_the_kernel_is_told(kernel, instance, tmp_path):
    instance.bind(frozenset({A}))
    kernel.addresses.discard(str(A))  # as if killed between the two
    journal = Journal(str(tmp_path), "boot")
    journal.load()
    assert journal.entries == {(ETH, A)}


def test_after_a_kill_what_is_ours_is_adopted_or_scrubbed(kernel, instance, tmp_path):
    instance.bind(frozenset({A, B}))
    after = again(kernel, tmp_path)
    after.bind(frozenset({A}))
    after.complete()
    assert kernel.addresses == {"192.168.0.5/24", str(A)}
    assert after.foreign() == frozenset()
    after.stop()


def test_what_was_there_before_is_foreign_and_stays(kernel, instance):
    kernel.addresses.add(str(A))
    instance.complete()
    instance.bind(frozenset({A, B}))
    assert instance.foreign() == {A}
    instance.unbind(frozenset({A, B}))
    assert kernel.addresses == {"192.168.0.5/24", str(A)}


def test_a_journal_of_before_a_reboot_claims_nothing(kernel, instance, tmp_path):
    instance.bind(frozenset({A}))
    after = again(kernel, tmp_path, boot="another")
    after.complete()
    assert str(A) in kernel.addresses
    after.stop()


def test_a_failure_is_logged_once_and_tried_again(kernel, instance, caplog):
    kernel.broken = "RTNETLINK answers: Operation not permitted"
    instance.bind(frozenset({A}))
    instance.bind(frozenset({B}))
    assert caplog.text.count("Operation not permitted") == 1
    kernel.broken = ""
    instance.complete()
    assert {str(A), str(B)} <= kernel.addresses


def test_withdrawing_leaves_only_what_was_there_before(kernel, instance):
    instance.bind(frozenset({A, SIX}))
    instance.stop(withdraw=True)
    assert kernel.addresses == {"192.168.0.5/24"}


def test_what_is_removed_behind_our_back_is_put_back_and_counted(kernel, instance):
    instance.bind(frozenset({A}))
    before = metrics.bound_ip_repairs._value.get()
    kernel.addresses.remove(str(A))
    instance.bind(frozenset())
    assert str(A) in kernel.addresses
    assert metrics.bound_ip_repairs._value.get() == before + 1
