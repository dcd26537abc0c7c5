"""`porter-ryu check` on real hosts, beside real routers: what it finds, and that what it says mends
it.

    porter ── switch ──┬── leaf    FRR, 192.168.9.2
    192.168.9.1        └── router  192.168.9.254 ── 10.50.0.0/24 ── far   10.50.0.2
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Frr, Neighbour
from fabric.objects import Json, eip, node
from fabric.program import Program, command

FINE = "the configuration and this host are fine\n"
LEAF = {"address": "192.168.9.2", "remote_as": "65001", "connect_retry": "1"}
BGP = {"local_as": "65000", "router_id": "192.168.9.1", "peers": "leaf"}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Fabric() as fabric:
        yield Scene(fabric)


class Scene:
    """The hosts, and the leaf that runs."""

    def __init__(self, fabric: Fabric) -> None:
        switch = fabric.switch("switch")
        self.host, self.leaf = fabric.host("porter"), fabric.host("leaf")
        self.router, self.far = fabric.host("router"), fabric.host("far")
        mine = ["192.168.9.1/24", "fd09::1/64"]
        self.device = fabric.link(self.host, switch, mine, [])
        fabric.link(self.leaf, switch, ["192.168.9.2/24", "fd09::2/64"], [])
        fabric.link(self.router, switch, ["192.168.9.254/24"], [])
        fabric.link(self.far, self.router, ["10.50.0.2/24"], ["10.50.0.1/24"])
        self.router.run("sysctl -qw net.ipv4.ip_forward=1")
        for host, gateway in ((self.host, "192.168.9.254"), (self.far, "10.50.0.1")):
            host.run(f"ip route add default via {gateway}")
        neighbours = [Neighbour("192.168.9.1", 65000, passive=False), Neighbour("fd09::1", 65000)]
        self.frr = Frr(fabric, self.leaf, 65001, "192.168.9.2", neighbours).start()
        self._count = 0

    def program(self, *objects: Json, **groups: dict[str, str] | None) -> Program:
        """A program with one peer; the groups are added to its configuration (None: removed)."""
        self._count += 1
        every: dict[str, dict[str, str] | None] = {
            "bgp": BGP,
            "peer:leaf": LEAF,
            "bound_ip": {"mode": "none"},
            **{name.replace("__", ":"): keys for name, keys in groups.items()},
        }
        sections = {name: keys for name, keys in every.items() if keys is not None}
        program = Program(self.host, sections, name=f"check{self._count}")
        if objects:
            program.put("objects", *objects)
        return program

    def findings(self, *objects: Json, **groups: dict[str, str] | None) -> list[tuple[str, str]]:
        """Where and what for each finding about such a program."""
        return [(f["where"], f["what"]) for f in of(self.program(*objects, **groups))]

    def mended(self, *objects: Json, **groups: dict[str, str] | None) -> tuple[str, str]:
        """The one finding about such a program, which is gone when its command was run."""
        program = self.program(*objects, **groups)
        (finding,) = of(program)
        self.host.run(["sh", "-c", finding["mend"]])
        assert of(program) == []
        return finding["where"], finding["what"]


def check(program: Program, *more: str, under: Sequence[str] = ()) -> tuple[int, str]:
    """The exit status and the output of `check` of a configuration, which `under` runs."""
    argv = [*under, command("porter-ryu"), "check", "--config-file", str(program.config), *more]
    done = subprocess.run(program.host.inside(argv), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def of(program: Program) -> list[dict[str, str]]:
    """The findings about a configuration, each with what mends it."""
    status, printed = check(program, "-o", "json")
    report = json.loads(printed)
    assert status == (1 if report["findings"] else 0)
    assert report["ok"] is not report["findings"]
    assert all(finding["mend"] for finding in report["findings"])
    found: list[dict[str, str]] = report["findings"]
    return found


def established(program: Program) -> None:
    """The session with the leaf comes up."""
    series = 'porter_bgp_session_up{peer="leaf"}'
    wait_for(lambda: program.metric(series), lambda up: up == 1, 20, "the session")


def connections(scene: Scene) -> set[str]:
    """Of BGP at the leaf: both ends of each."""
    shown = scene.leaf.run("ss -Htn state established sport = :179 or dport = :179")
    return {" ".join(line.split()[-2:]) for line in shown.splitlines()}


def test_a_running_instance_is_known_and_its_session_is_left_alone(scene: Scene) -> None:
    """FRR ends a session with graceful restart if its peer opens a second connection."""
    program = scene.program()
    assert check(program) == (0, FINE), "before it runs; the leaf answers"
    program.start()
    established(program)
    # both sides may have called
    what = "one connection"
    before = wait_for(lambda: connections(scene), lambda seen: len(seen) == 1, 20, what)
    for _ in range(3):
        assert check(program) == (0, FINE)
    assert program.metric('porter_bgp_session_up{peer="leaf"}') == 1
    assert connections(scene) == before
    assert scene.findings(DEFAULT={"wsapi_port": "8080"}) == [
        (
            "[bgp] listen_port",
            "cannot listen on 192.168.9.1 port 179: another process listens there",
        ),
        (
            "[DEFAULT] wsapi_port",
            "cannot listen on 127.0.0.1 port 8080: another process listens there",
        ),
    ], "the instance of another configuration"
    assert program.metric('porter_bgp_session_up{peer="leaf"}') == 1
    assert program.stop() == 0
    assert check(program) == (0, FINE), "nor when it has ended"


def test_nobody_answers(scene: Scene) -> None:
    refused = {**LEAF, "port": "1179"}
    assert scene.findings(peer__leaf=refused) == [
        (
            "[peer:leaf] address",
            "no BGP speaker listens at 192.168.9.2 port 1179: the connection is refused",
        )
    ]
    six = {**LEAF, "address": "fd09::2", "port": "1179"}
    assert scene.findings(peer__leaf=six) == [
        (
            "[peer:leaf] address",
            "no BGP speaker listens at fd09::2 port 1179: the connection is refused",
        )
    ]
    scene.leaf.run("iptables -I INPUT -p tcp --dport 1179 -j DROP")
    assert scene.findings(peer__leaf=refused) == [
        ("[peer:leaf] address", "nobody answers at 192.168.9.2 port 1179")
    ]
    scene.leaf.run("iptables -D INPUT -p tcp --dport 1179 -j DROP")
    absent = {**LEAF, "address": "192.168.9.77"}
    ((where, what),) = scene.findings(peer__leaf=absent)
    assert where == "[peer:leaf] address"
    assert "192.168.9.77 port 179" in what


def test_a_wrong_key_looks_like_nobody(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("wrong\n")
    keyed = {**LEAF, "password_file": f"{tmp_path}/key"}
    assert scene.findings(peer__leaf=keyed) == [
        (
            "[peer:leaf] password_file",
            "nobody answers at 192.168.9.2 port 179; a wrong key is one reason for that",
        )
    ]


def test_a_peer_behind_a_router(scene: Scene) -> None:
    listener = "import socket; s = socket.create_server(('10.50.0.2', 179)); s.accept(); s.accept()"
    scene.far.spawn([sys.executable, "-c", listener], "listener.log")
    wait_for(lambda: scene.far.run("ss -Hltn sport = :179"), bool, 8, "the far listener")
    far = {**LEAF, "address": "10.50.0.2"}
    findings = scene.findings(peer__leaf=far)
    assert findings[0] == (
        "[peer:leaf] multihop_ttl",
        "10.50.0.2 is on no network of this host, but behind 192.168.9.254, and a TTL of 1 ends "
        "there",
    )
    assert scene.findings(peer__leaf={**far, "multihop_ttl": "2"}) == []
    internal = {**far, "remote_as": "65000"}
    assert scene.findings(peer__leaf={**internal, "bfd": "true"}) == [
        (
            "[peer:leaf] bfd",
            "10.50.0.2 is on no network of this host, but behind 192.168.9.254, but BFD is for "
            "direct neighbours (RFC 5881)",
        )
    ]
    guarded = {**internal, "ttl_security": "true"}
    assert scene.findings(peer__leaf=guarded)[0][0] == "[peer:leaf] multihop_ttl"


def test_addresses_that_this_host_does_not_have(scene: Scene) -> None:
    assert scene.findings(peer__leaf={**LEAF, "local_address": "10.9.9.9"}) == [
        ("[peer:leaf] local_address", "this host does not have 10.9.9.9")
    ]
    fan_out = {**LEAF, "local_addresses": "192.168.9.1, 10.9.9.8, 10.9.9.9"}
    assert scene.findings(peer__leaf=fan_out) == [
        ("[peer:leaf] local_addresses", "this host does not have 10.9.9.8"),
        ("[peer:leaf] local_addresses", "this host does not have 10.9.9.9"),
    ]
    listening = {**BGP, "listen_addresses": "192.168.9.1, 10.9.9.9"}
    assert scene.findings(bgp=listening) == [
        ("[bgp] listen_addresses", "this host does not have 10.9.9.9")
    ]
    ((where, what), *_) = scene.findings(peer__leaf={**LEAF, "address": "fd77::1"})
    assert where == "[peer:leaf] address"
    assert what.startswith("there is no route to fd77::1 (")
    assert scene.findings(peer__leaf={**LEAF, "address": "192.168.9.255"}) == [
        (
            "[peer:leaf] address",
            "192.168.9.255 is the address of no single host (a broadcast address?)",
        )
    ]


def test_the_interface(scene: Scene) -> None:
    assert scene.findings(bound_ip={"interface": "eth77"}) == [
        ("[bound_ip] interface", "there is no interface eth77")
    ]
    scene.host.run("ip link add spare type veth peer name other")
    scene.host.run("ip link set spare up")
    where, what = scene.mended(bound_ip={"interface": "other"})
    assert (where, what) == ("[bound_ip] interface", "the interface other is down")


def test_each_sysctl_is_mended_by_its_command(scene: Scene) -> None:
    host, device = scene.host, scene.device
    address = {"mode": "address", "interface": device}
    for scope in ("all", device):
        host.run(f"sysctl -qw net.ipv4.conf.{scope}.rp_filter=1")
        name, what = scene.mended(bound_ip=address)
        assert name == f"net.ipv4.conf.{device}.rp_filter"
        assert what.startswith("is 1 (strict): the kernel drops a packet to an EIP")
        host.run("sysctl -qw net.ipv4.conf.all.rp_filter=0")
    host.run("sysctl -qw net.ipv4.ip_forward=0")
    assert scene.findings(bound_ip=address) == [], "a central instance forwards nothing"
    why = "is 0, but this host is a next hop, and forwards packets to Pods"
    assert scene.mended(bound_ip={"mode": "blackhole"}) == ("net.ipv4.ip_forward", why)
    host.run("sysctl -qw net.ipv4.ip_forward=0")
    own = {"porter": {"node_name": "n1"}, "bgp": {**BGP, "next_hops": "self"}}
    one = node("n1", "192.168.9.1")
    assert scene.mended(one, **own) == ("net.ipv4.ip_forward", why)
    host.run("sysctl -qw net.ipv6.conf.all.forwarding=0")
    six = eip("six", "2001:db8:77::/64")
    assert scene.mended(one, six, **own) == ("net.ipv6.conf.all.forwarding", why)


def test_a_router_on_this_host(scene: Scene) -> None:
    host = scene.host
    host.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=0")
    listener = "import socket; s = socket.create_server(('127.0.0.1', 1790)); "
    host.spawn([sys.executable, "-c", f"{listener}\nwhile True: s.accept()"], "router.log")
    wait_for(lambda: host.run("ss -Hltn sport = :1790"), bool, 8, "the router")
    local = {**LEAF, "address": "127.0.0.1", "port": "1790"}
    name, what = scene.mended(peer__leaf=local, bgp={**BGP, "listen_addresses": "192.168.9.1"})
    assert name == "net.ipv4.fib_multipath_hash_policy"
    assert what == "is 0: without the ports, all connections of a client go to one node"


def test_ipv6_is_off(scene: Scene) -> None:
    host, device = scene.host, scene.device
    six = eip("six", "2001:db8:77::/64")
    address = {"mode": "address", "interface": device}
    assert scene.findings(six, bound_ip=address) == []
    host.run(f"sysctl -qw net.ipv6.conf.{device}.disable_ipv6=1")
    assert scene.findings(bound_ip=address) == [], "nobody wants it"
    assert scene.mended(six, bound_ip=address) == (
        f"net.ipv6.conf.{device}.disable_ipv6",
        "is 1: IPv6 is off, but there are Eips with IPv6 addresses to bind",
    )
    host.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
    findings = scene.findings(peer__leaf={**LEAF, "address": "fd09::2"})
    assert ("net.ipv6.conf.all.disable_ipv6") in [where for where, _ in findings]
    host.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=0")
    host.run(f"ip address add fd09::1/64 dev {device} nodad")


def test_where_files_are_written(scene: Scene) -> None:
    assert scene.findings(porter={"state_dir": "/etc/hostname/state"}) == [
        ("[porter] state_dir", "/etc/hostname/state cannot be written")
    ]
    full = scene.host.folder / "full"
    full.mkdir()
    inside = ["unshare", "-m", "sh", "-c"]
    program = scene.program(porter={"state_dir": str(full)})
    argv = shlex.join([command("porter-ryu"), "check", "--config-file", str(program.config)])
    fill = f"mount -t tmpfs -o size=4k none {full}; head -c 9999 /dev/zero > {full}/x"
    printed = scene.host.run([*inside, f"{fill} 2>/dev/null; {argv}; true"])
    assert printed.startswith(f"[porter] state_dir: {full}: the file system has no space left; ")
    closed = scene.host.folder / "closed"
    closed.mkdir()
    (closed / ".status").write_text("no folder")
    assert scene.findings(kubernetes={"manifests": str(closed)}) == [
        ("[kubernetes] manifests", f"{closed}/.status cannot be written")
    ]


NODES = (
    {**node("n1", "192.168.9.11"), "spec": {"podCIDRs": ["10.244.1.0/24"]}},
    node("n2", "10.60.0.12", labels={"rack": "b"}),
)


def test_next_hops_that_are_on_no_network_of_a_peer(scene: Scene) -> None:
    away = "10.60.0.12 (n2) cannot be next hops for [peer:leaf], which is on 192.168.9.0/24, unless"
    ((where, what),) = scene.findings(*NODES)
    assert (where, what.startswith(away)) == ("[bgp] next_hop_networks", True)
    assert scene.findings(*NODES, peer__leaf={**LEAF, "multihop_ttl": "2"}) == []
    assert scene.findings(*NODES, peer__leaf={**LEAF, "remote_as": "65000"}) == []
    assert scene.findings(*NODES, peer__leaf={**LEAF, "node_selector": "rack!=b"}) == []
    networks = {**BGP, "next_hop_networks": "192.168.9.0/24"}
    assert scene.findings(*NODES, bgp=networks) == [], "n2 is no next hop then"


@pytest.mark.parametrize(
    ("address", "mode", "what"),
    [
        ("203.0.113.0/24", "none", None),
        ("10.244.0.0/16", "none", "overlaps the Pod networks 10.244.1.0/24 (of n1)"),
        ("192.168.9.64/28", "address", None),
        (
            "192.168.9.64/28",
            "none",
            "overlaps the network 192.168.9.0/24 of nodes, where hosts ask for an EIP by ARP or ND",
        ),
        (
            "192.168.9.8/29",
            "address",
            "contains addresses of nodes (n1): it may contain those of other hosts, too",
        ),
        (
            "192.168.9.0/29",
            "address",
            "contains 192.168.9.1 of this host, 192.168.9.2 of peer leaf: no Service gets them",
        ),
    ],
)
def test_an_eip_in_another_network(scene: Scene, address: str, mode: str, what: str | None) -> None:
    bound = {"mode": mode}
    if mode == "address":
        bound["interface"] = scene.device
    expected = [("Eip pool", what)] if what else []
    assert scene.findings(NODES[0], eip("pool", address), bound_ip=bound) == expected


def test_names_that_the_cluster_does_not_have(scene: Scene) -> None:
    assert scene.findings(NODES[0], porter={"node_name": "n7"}) == [
        ("[porter] node_name", "there is no Node n7")
    ]
    nobody = {**LEAF, "node_selector": "rack = zz"}
    assert scene.findings(NODES[0], peer__leaf=nobody) == [
        ("[peer:leaf] node_selector", "matches none of 1 Nodes")
    ]


def test_errors_as_json_and_as_lines(scene: Scene) -> None:
    program = scene.program(bgp={**BGP, "local_as": "4294967296", "oops": "1"})
    status, printed = check(program, "-o", "json")
    report = json.loads(printed)
    assert (status, report["ok"], report["findings"]) == (2, False, [])
    assert [error["where"] for error in report["errors"]] == ["[bgp] local_as", "[bgp] oops"]
    lines = program.config.read_text().splitlines()
    for error in report["errors"]:
        assert lines[error["line"] - 1].startswith(error["where"].partition(" ")[2])


def test_what_this_process_may_not_do(scene: Scene) -> None:
    program = scene.program(
        bound_ip={"mode": "address", "interface": scene.device}, liveness={"probes": "icmp"}
    )
    without = "-net_admin,-net_bind_service,-net_raw"
    drop = ["setpriv", "--bounding-set", without, "--inh-caps", without]
    lines = check(program, under=drop)[1].splitlines()
    assert [line.partition("; to mend it: ")[0] for line in lines] == [
        "[bgp] listen_port: cannot listen on 192.168.9.1 port 179: Permission denied",
        "[bound_ip] mode: address needs NET_ADMIN, which this process does not have",
        "[liveness] probes: icmp needs CAP_NET_RAW, or net.ipv4.ping_group_range with a group of "
        "this process: Operation not permitted",
    ]
