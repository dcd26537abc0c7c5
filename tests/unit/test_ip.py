"""Any behaviour of a program named `ip` gives a result or an IpError in bounded time."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from ryu.lib import hub

from porter_ryu.node.command import CommandRunner, IpError, RefusedError
from porter_ryu.node.iproute import IpRoute
from tests.unit.until import until

A, B = ip_network("203.0.113.1"), ip_network("203.0.113.2")


def script(folder: Path, body: str) -> str:
    """An executable shell script named `ip`."""
    path = folder / "ip"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def running(group: int) -> bool:
    """Whether a process of this group runs; a zombie does not count."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            return True
    return False


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sleep 14", "did not end within 0.5 s"),
        ("exec >&- 2>&-; sleep 14", "did not end within 0.5 s"),
        ("sleep 14 & exit 0", "did not end within 0.5 s"),
        ("trap '' TERM INT HUP; sleep 14", "did not end within 0.5 s"),
        ("while :; do :; done", "did not end within 0.5 s"),
        ("head -c 100000000 /dev/zero", "printed more than 16 MB"),
        ("head -c 100000000 /dev/zero >&2", "printed more than 16 MB"),
        ("yes", "printed more than 16 MB"),
        ("kill -KILL $$", "was ended by SIGKILL"),
        ("kill -SEGV $$", "was ended by SIGSEGV"),
        ("kill -40 $$", "was ended by signal 40"),
        ("exit 3", "failed: 3"),
        ("printf 'no\\377\\n\\nnever\\nthird\\n' >&2; exit 1", "^no\ufffd; never$"),
    ],
)
def test_a_command_that_fails_is_reported_and_leaves_no_process(
    tmp_path: Path, body: str, words: str
) -> None:
    command = script(tmp_path, f"echo $$ > {tmp_path}/pid\n{body}")
    seconds = 0.5 if "did not end" in words else 30.0
    started = time.monotonic()
    with pytest.raises(IpError, match=words):
        CommandRunner(seconds)([command])
    assert time.monotonic() - started < seconds + 5
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not running(pid), "SIGKILL has taken effect")


def test_a_command_that_cannot_be_started_is_reported(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\x7fELF garbage")
    garbage.chmod(0o755)
    commands = CommandRunner()
    for path, why in (
        ("/nonexistent/ip", "No such file or directory"),
        (str(plain), "Permission denied"),
        (str(tmp_path), "Permission denied"),
        (str(garbage), "Exec format error"),
        ("i\0p", "embedded null byte"),
    ):
        with pytest.raises(IpError, match=f"cannot run .*: {why}"):
            commands([path])


def test_without_free_descriptors_a_command_fails_and_works_again_afterwards() -> None:
    before = os.listdir("/proc/self/fd")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    commands = CommandRunner()
    for spare in range(6):
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) - 1 + spare, limits[1]))
        try:
            with pytest.raises(IpError, match="cannot run true: Too many open files"):
                commands(["true"])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert commands(["echo", "again"]) == "again\n"
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_input_and_output_may_have_any_octets() -> None:
    text = "x" * 3_000_000 + "\udcff\n"
    assert CommandRunner()(["cat"], text) == text


def test_other_greenthreads_run_while_a_command_hangs_or_prints_without_end(tmp_path: Path) -> None:
    timeout = 1.0
    over = threading.Event()
    gaps: dict[str, list[float]] = {"loop": [], "machine": []}

    def watch(name: str, sleep: Callable[[float], None]) -> None:
        while not over.is_set():
            began = time.monotonic()
            sleep(0.005)
            gaps[name].append(time.monotonic() - began)

    machine = threading.Thread(target=watch, args=("machine", time.sleep))
    machine.start()
    watcher = hub.spawn(watch, "loop", hub.sleep)
    for body in ("sleep 14", "yes"):
        with pytest.raises(IpError):
            CommandRunner(timeout=timeout)([script(tmp_path, body)])
    over.set()
    hub.joinall([watcher])
    machine.join()
    assert max(gaps["loop"]) < timeout / 2 + max(gaps["machine"]), (
        "the loop is as late as one that waits for the command"
    )


def test_one_command_runs_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    command = script(tmp_path, f"mkdir {lock} || exit 1; sleep 0.05; rmdir {lock}")
    commands = CommandRunner()
    threads = [hub.spawn(commands, [command]) for _ in range(5)]
    assert [thread.wait() for thread in threads] == [""] * 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "{",
        "null",
        "5",
        '"text"',
        '{"ifname": "eth0"}',
        "[]",
        "[{}]",
        "[5]",
        "[[]]",
        '[{"ifname": "eth0"}]',
        '[{"ifindex": "two", "ifname": "eth0"}]',
        '[{"ifindex": 2, "ifname": "eth0", "addr_info": 5}]',
        '[{"ifindex": 2, "ifname": "eth0", "addr_info": [5]}]',
        '[{"ifindex": 2, "ifname": "eth0", "addr_info": [{"local": "10.0.0.1"}]}]',
        '[{"ifindex": 2, "ifname": "eth0", "addr_info": [{"local": "x", "prefixlen": 32}]}]',
        '[{"ifindex": ' + "9" * 5000 + "}]",
        '[{"ifindex": 1e999, "ifname": "eth0"}]',
        '[{"ifindex": Infinity, "ifname": "eth0"}]',
        "[" * 3000,
        "\0\udcff",
    ],
)
def test_invalid_output_of_addresses_is_an_error(text: str) -> None:
    ip = IpRoute(lambda argv, text_in="": text)
    for query in (ip.interfaces, ip.interface_addresses, ip.host_addresses):
        with pytest.raises(IpError, match="cannot be read"):
            query()


@pytest.mark.parametrize("text", ["", "null", "[5]", '[{"src": "all", "dst": "x"}]'])
def test_invalid_output_of_rules_is_an_error(text: str) -> None:
    with pytest.raises(IpError, match="cannot be read"):
        IpRoute(lambda argv, text_in="": text).rules("101")


@pytest.mark.parametrize("text", ["", "null", "[5]", '[{"dst": "default", "gateway": "x"}]'])
def test_invalid_output_of_routes_is_an_error(text: str) -> None:
    ip = IpRoute(lambda argv, text_in="": text)
    for query in (
        ip.default_routes,
        lambda: ip.default_routes_in("101", 4),
    ):
        with pytest.raises(IpError, match="cannot be read"):
            query()


def test_a_table_that_never_had_a_route_is_empty() -> None:
    def no_table(argv: Sequence[str], text: str = "") -> str:
        raise RefusedError("Error: ipv4: FIB table does not exist.; Dump terminated")

    def hung(argv: Sequence[str], text: str = "") -> str:
        raise IpError("ip -j -4 route show table 101 did not end within 5 s")

    assert IpRoute(no_table).default_routes_in("101", 4) == []
    with pytest.raises(IpError, match="did not end"):
        IpRoute(hung).default_routes_in("101", 4)


def test_host_prefixes_and_own_addresses() -> None:
    text = (
        '[{},{"ifindex":3,"ifname":"it\'s \\"x\\"\x01","altnames":["enp1"],"addr_info":['
        '{"local":"192.168.0.5","prefixlen":24},{"local":"203.0.113.1","prefixlen":32},'
        '{"local":"10.9.9.1","address":"10.9.9.2","prefixlen":32},'
        '{"local":"2001:db8::1","prefixlen":128},{"family":"odd"}]}]'
    )
    interfaces = IpRoute(lambda argv, text_in="": text).interfaces()
    assert interfaces.host_prefixes_on(3) == {A, ip_network("2001:db8::1")}
    assert interfaces.own_addresses() == {ip_network("192.168.0.5"), ip_network("10.9.9.1")}
    assert [str(a.address) for a in interfaces.addresses if a.beside_subnet] == ["203.0.113.1"]
    link = interfaces.named("enp1")
    assert link is not None
    assert link.index == 3
    assert interfaces.named("eth0") is None


def test_rules_with_and_without_our_protocol() -> None:
    seen = (
        '[{"priority":0,"src":"all","table":"255"},'
        '{"priority":50,"src":"all","dst":"203.0.113.1","table":"101","protocol":"3"},'
        '{"priority":60,"src":"10.0.0.0","srclen":8,"dst":"203.0.113.7","table":"101"},'
        '{"priority":10100,"src":"all","dst":"203.0.113.2","table":"101","protocol":"201"},'
        '{"priority":10100,"src":"all","dst":"203.0.113.9","table":"102","protocol":"201"}]'
    )
    ip = IpRoute(lambda argv, text="": seen if "-4" in argv else "[]")
    assert ip.rules("101") == {A, B}
    assert ip.rules("101", ours_only=True) == {B}


def test_a_batch_continues_after_a_refused_line_and_reports_it() -> None:
    texts: list[str] = []

    def execute(argv: Sequence[str], text: str = "") -> str:
        texts.append(text)
        raise RefusedError("RTNETLINK answers: File exists; Command failed -:2")

    lines = [f"address add 10.0.{i // 256}.{i % 256}/32 dev eth0" for i in range(1500)]
    with pytest.raises(IpError, match=r"ip address add 10\.0\.0\.1/32 dev eth0: .*File exists"):
        IpRoute(execute).batch(lines, 4)
    assert [text.count("\n") for text in texts] == [1000, 500]


def test_a_batch_stops_if_ip_cannot_be_run() -> None:
    calls: list[object] = []

    def execute(argv: Sequence[str], text: str = "") -> str:
        calls.append(argv)
        raise IpError("ip -4 -force -batch - did not end within 5 s")

    with pytest.raises(IpError, match="did not end"):
        IpRoute(execute).batch(["address add 10.0.0.1/32 dev eth0"] * 5000, 4)
    assert len(calls) == 1


def test_gateways_and_interfaces_of_all_kinds_of_default_routes() -> None:
    four = (
        '[{"dst":"default","nexthops":[{"gateway":"10.0.0.2","dev":"v0","weight":1,"flags":[]},'
        '{"via":{"family":"inet6","host":"fe80::7"},"dev":"v1","weight":1,"flags":[]}]},'
        '{"dst":"default","gateway":"10.0.1.9","dev":"v2","metric":50,"flags":[]},'
        '{"type":"blackhole","dst":"default","metric":90},'
        '{"dst":"default","dev":"wg0","scope":"link","metric":99},'
        '{"dst":"10.0.0.0/24","dev":"v0","gateway":"10.0.0.77"}]'
    )
    six = (
        '[{"dst":"default","gateway":"fe80::5","dev":"v0","metric":1024,"pref":"medium"},'
        '{"type":"unreachable","dst":"default","dev":"lo","metric":9999}]'
    )
    ip = IpRoute(lambda argv, text="": four if "-4" in argv else six)
    expected = ("10.0.0.2", "fe80::7", "10.0.1.9", "fe80::5")
    assert ip.default_routes().gateways == {ip_address(text) for text in expected}
    assert ip.default_routes().interfaces == ("v0", "v1")
    only_six = IpRoute(lambda argv, text="": "[]" if "-4" in argv else six)
    assert only_six.default_routes().interface == "v0"
    none = IpRoute(lambda argv, text="": '[{"type":"unreachable","dst":"default","dev":"lo"}]')
    assert none.default_routes().interface is None
    assert none.default_routes().gateways == frozenset()
