"""BoundIps on a real kernel with faults: interfaces that are renamed or created again, no default
route, an `ip` that does not work, a full state_dir."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric import Fabric, Host
from fabric.files import replace
from tests.functional.bindings import ALL, NONE, SIX, A, B, Instance, becomes, lone, rules, table


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with two interfaces, e1a and e2a; the default route leaves by the first."""
    with Fabric() as fabric:
        host, other = fabric.host("bind"), fabric.host("other")
        fabric.link(host, other, ["192.168.9.1/24"], ["192.168.9.2/24"])
        fabric.link(host, other, ["192.168.8.1/24"], ["192.168.8.2/24"])
        host.run("ip route add default via 192.168.9.2")
        yield host


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    yield
    Instance.end_all()


def rename(host: Host, old: str, new: str) -> None:
    """Renames an interface, as an operator or udev does."""
    host.run(f"ip link set {old} down")
    host.run(f"ip link set {old} name {new}")
    host.run(f"ip link set {new} up")
    host.run("ip route add default via 192.168.9.2")


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("interface", ["", "e1a"])
def test_the_addresses_of_a_renamed_interface_stay_ours_and_can_be_unbound(
    host: Host, interface: str, restarted: bool
) -> None:
    instance = Instance(host, interface=interface)
    instance.expect(ALL)
    rename(host, "e1a", "lan0")
    if restarted:
        instance.end()
        instance = Instance(host, interface=interface)
        instance.expect(ALL, "lan0")  # IPv6 addresses went as the interface was down: they are back
    assert instance.bound.foreign() == NONE
    instance.bound.unbind(frozenset({A}))
    instance.expect(ALL - {A}, "lan0")
    assert instance.bound.stop(withdraw=True) == ""
    assert lone(host, "lan0") == NONE


def test_an_interface_may_be_configured_by_its_alternative_name(host: Host) -> None:
    host.run("ip link property add dev e1a altname the-first-interface")
    instance = Instance(host, interface="the-first-interface")
    instance.expect(ALL)
    assert instance.bound.stop(withdraw=True) == ""
    assert lone(host) == NONE


def test_an_interface_that_is_created_again_gets_its_addresses(host: Host) -> None:
    instance = Instance(host)
    instance.expect(ALL)
    host.run("ip link del e1a")
    host.run("ip link add e1a type veth peer name e1c")
    host.run("ip address add 192.168.9.1/24 dev e1a")
    host.run("ip link set e1c up")
    host.run("ip link set e1a up")
    host.run("ip route add default via 192.168.9.2")
    instance.expect(ALL)
    assert instance.bound.foreign() == NONE
    assert instance.bound.stop(withdraw=True) == ""
    assert lone(host) == NONE


def test_an_interface_that_goes_down_and_up_has_its_addresses(host: Host) -> None:
    instance = Instance(host)
    instance.expect(ALL)
    host.run("ip link set e1a down")
    instance.expect(ALL)  # where they are, though there is no default route
    host.run("ip link set e1a up")
    host.run("ip route add default via 192.168.9.2")
    instance.expect(ALL)


@pytest.mark.parametrize("restarted", [False, True])
def test_without_a_default_route_addresses_stay_and_they_move_with_a_new_one(
    host: Host, restarted: bool
) -> None:
    instance = Instance(host)
    instance.expect(ALL)
    host.run("ip route del default")
    if restarted:
        instance.end()
        instance = Instance(host)
    instance.bound.unbind(frozenset({A}))
    instance.expect(ALL - {A})
    assert instance.bound.foreign() == NONE
    host.run("ip route add default via 192.168.8.2")
    instance.expect(ALL - {A}, "e2a")
    instance.expect(NONE)
    assert instance.bound.stop(withdraw=True) == ""
    assert lone(host, "e2a") == NONE


def put_ip(host: Host, body: str) -> str:
    """A program named `ip` that runs `body` before the real `ip` on this host."""
    path = host.folder / "ip"
    replace(path, f'#!/bin/sh\n{body}\nexec ip -n {host.namespace} "$@"\n', executable=True)
    return str(path)


def test_an_ip_that_hangs_once_only_causes_a_delay(host: Host) -> None:
    once = host.folder / "once"
    begun = time.monotonic()
    instance = Instance(host, program=put_ip(host, f"mkdir {once} 2>/dev/null && sleep 14"))
    assert time.monotonic() - begun < 4, "the caller came back while the command hung"
    instance.expect(ALL, seconds=13)  # killed after 5 s, tried again after one
    instance.bound.unbind(frozenset({A}))
    instance.expect(ALL - {A})
    assert instance.supervisor.faults == ()
    assert instance.bound.stop(withdraw=True) == ""
    assert lone(host) == NONE


@pytest.mark.parametrize(
    "body",
    [
        "exec head -c 100000000 /dev/zero",
        "exec yes '['",
        "kill -SEGV $$",
        "exit 0",
        "echo '[]'; exit 0",
        "echo garbage; exit 0",
        "printf '[{\\377'; exit 0",
        "echo 'Cannot open netlink socket: Too many open files' >&2; exit 1",
    ],
)
def test_while_ip_does_not_work_addresses_stay(host: Host, body: str) -> None:
    program = put_ip(host, "")
    instance = Instance(host, program=program, wanted=ALL - {B})
    instance.expect(ALL - {B})
    put_ip(host, body)
    instance.bound.bind(frozenset({B}))
    instance.bound.unbind(frozenset({A}))
    becomes(lambda: instance.bound.last_error != "", True)
    assert lone(host) == ALL - {B}
    assert instance.bound.stop(withdraw=True, seconds=1) != ""
    instance.end()
    put_ip(host, "")
    again = Instance(host, program=program, wanted=ALL - {A})
    again.expect(ALL - {A})
    assert again.bound.foreign() == NONE


@pytest.mark.parametrize("mode", [0o644, None])
def test_an_ip_that_is_missing_or_not_executable_is_retried(host: Host, mode: int | None) -> None:
    program = Path(put_ip(host, ""))
    if mode is None:
        program.unlink()
    else:
        program.chmod(mode)
    instance = Instance(host, program=str(program))
    becomes(lambda: "cannot run" in instance.bound.last_error, True)
    put_ip(host, "")
    instance.expect(ALL)


def test_withdrawing_with_an_ip_that_hangs_reports_the_remaining_addresses(host: Host) -> None:
    instance = Instance(host, program=put_ip(host, ""))
    instance.expect(ALL)
    put_ip(host, "sleep 14")
    begun = time.monotonic()
    left = instance.bound.stop(withdraw=True, seconds=6)
    assert time.monotonic() - begun < 10, "5 s for one ip, and none for the next"
    assert left.startswith("3 addresses could not be unbound, the first is 2001:db8:9::1/128: ")
    assert "did not end within 5 s" in left
    instance.end()
    put_ip(host, "")
    again = Instance(host, wanted=NONE)
    assert again.bound.stop(withdraw=True) == ""
    assert lone(host) == NONE


@pytest.mark.parametrize(("mode", "kind"), [("rule", "local"), ("blackhole", "blackhole")])
def test_after_a_damaged_journal_rules_are_recognised_by_their_protocol(
    host: Host, mode: str, kind: str
) -> None:
    host.run("ip rule add to 203.0.113.2 lookup 101 pref 50")
    instance = Instance(host, ALL - {B}, mode)
    becomes(lambda: rules(host), ALL)
    instance.end()
    (host.folder / "state" / "bound.json").write_text("{")
    again = Instance(host, frozenset({SIX}), mode)
    becomes(lambda: rules(host), frozenset({B, SIX}))
    assert table(host, 6) == [kind]
    assert again.bound.stop(withdraw=True) == ""
    assert rules(host) == {B}
    assert table(host, 4) == table(host, 6) == []


@pytest.fixture
def small_disk(host: Host) -> Iterator[Path]:
    """A state_dir with room for 64 kB, on a file system of its own."""
    folder = host.folder / "state"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True, timeout=10
    )
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


def full(folder: Path) -> None:
    """Leaves no octet free."""
    with open(folder / "filler", "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_with_a_full_state_dir_only_new_addresses_wait(
    host: Host, small_disk: Path, how: str
) -> None:
    def remount(mode: str) -> None:
        command = ["mount", "-o", f"remount,{mode}", str(small_disk)]
        subprocess.run(command, check=True, timeout=10)

    instance = Instance(host, wanted=ALL - {B})
    instance.expect(ALL - {B})
    full(small_disk) if how == "full" else remount("ro")
    instance.bound.bind(frozenset({B}))
    instance.bound.unbind(frozenset({A}))
    fault = "bound.json cannot be written"
    becomes(lambda: (lone(host), fault in instance.bound.last_error), (frozenset({SIX}), True))
    (small_disk / "filler").unlink() if how == "full" else remount("rw")
    instance.expect(ALL - {A}, seconds=40)
    instance.end()
    again = Instance(host, wanted=frozenset({SIX}))
    again.expect(frozenset({SIX}))
    full(small_disk) if how == "full" else remount("ro")
    assert again.bound.stop(withdraw=True) == "", "taking back needs no disk"
    assert lone(host) == NONE
    if how == "read-only":
        remount("rw")
