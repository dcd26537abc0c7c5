"""A random mixture of everything that can go wrong, beside two healthy leaves.

Whatever the bad ones do, alone or together: no healthy Service loses a route or a next hop for a
moment, no healthy peer its session, no holder its address, and no address is unbound.  30 seconds
of it in `make test`, with a fixed seed, ten minutes in `make soak`, with any; the seed is printed,
`SEED` and `FAULTS_FOR` set it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import operator
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from fabric import Fabric, Host, rogue, wait_for
from fabric.files import replace
from fabric.leaves import Bird, Frr, Neighbour
from fabric.mixture import Fault, deed, play
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from fabric.watchers import no_route_lost, stay_bound
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, first, peers
from tests.rounds import SOAK

SECONDS = int(os.environ.get("FAULTS_FOR", "600" if SOAK else "30"))
SEED = int(os.environ.get("SEED", "0")) or (random.randrange(1, 1 << 30) if SOAK else 16)
HEALTHY = 60
NODES = {f"n{i}": f"192.168.7.1{i}" for i in range(1, 5)}
AT_ONCE = 4
LEAVES_BESIDE = ("bird", "frr")
RELOADS = frozenset({"bad reload", "peer added and removed"})  # they write the same file
HELD = frozenset(f"203.0.113.{number}" for number in range(HEALTHY))
ODD_ADDRESSES = (
    "127.0.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "169.254.1.7", "fe80::1",
    "::1", "::", "ff02::1", "::ffff:192.168.7.11", "203.0.113.3", LEAVES["bird"], OURS,
)  # fmt: skip
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
    for old, new in itertools.pairwise("abcdefghij")
)
BROKEN_FILES = (
    "kind: [oops",
    "a: 0x_",
    "!!int abc",
    "a: " + "9" * 5000,
    "&a {kind: List, items: [*a]}",
    "apiVersion: v1\nkind: Service\nmetadata: {name: loop}\nspec: &a {self: *a}\n",
    "\x00\x01\x02",
    "{[a]: b}",
    LAUGHS,
    json.dumps({"kind": "Service", "apiVersion": "v1", "metadata": {"name": 7}}),
    "[" * 3000,
)
BAD_CONFIGURATIONS = (
    b"\x80\x81\x82", b"[porter\n", b"[bgp]\nno_such_key = 1\n", b"[bgp]\npeers = nobody\n",
    b"[peer:bird]\naddress = $nothing\n", b"",
)  # fmt: skip


class Mixture:
    """The program, its two healthy leaves, and all faults by name: each begins, lasts, ends."""

    def __init__(self, fabric: Fabric, program: Program, chance: random.Random) -> None:
        self.program = program
        self.chance = chance
        self.rogue: Host = fabric.hosts["gobgpd"]
        self.theirs = LEAVES["gobgpd"]
        self.state = Path(fabric.folder / "state")
        self.hanging = fabric.folder / "hanging"
        self.config = program.config.read_text()
        self.faults: dict[str, Fault] = {
            "odd node": self.odd_node,
            "broken file": self.broken_file,
            "dangling link": self.dangling_link,
            "broken object": self.broken_object,
            "bad reload": self.bad_reload,
            "peer added and removed": self.good_reload,
            "full disk": self.full_disk,
            "ip hangs": self.ip_hangs,
            "readers": self.readers,
            "half requests": self.half_requests,
            "unknown nodes": self.unknown_nodes,
            "tenant": self.tenant,
            "many share": self.many_share,
            **{
                act.__name__: deed(partial(act, self.rogue, OURS, self.theirs))
                for act in (
                    rogue.refresh_storm,
                    rogue.keepalive_flood,
                    rogue.update_flood,
                    rogue.flaps,
                    rogue.strangers,
                    rogue.odd_messages,
                )
            },
        }

    @contextlib.contextmanager
    def odd_node(self) -> Iterator[None]:
        """A Node with endpoints reports an address that can be nobody's next hop."""
        name = f"odd{self.chance.randrange(10)}"
        odd = node(name, *self.chance.sample(ODD_ADDRESSES, 2))
        self.program.put(name, odd, service(f"on-{name}"), slice_of(f"on-{name}", name))
        yield
        self.program.remove(name)

    @contextlib.contextmanager
    def broken_file(self) -> Iterator[None]:
        """A file that cannot be parsed."""
        name = f"broken{self.chance.randrange(10)}.{self.chance.choice(('yaml', 'json'))}"
        path = self.program.manifests / name
        path.write_text(self.chance.choice(BROKEN_FILES), encoding="latin-1")
        yield
        path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def dangling_link(self) -> Iterator[None]:
        """A link that leads nowhere, a pipe, a folder: named as manifests are."""
        path = self.program.manifests / f"link{self.chance.randrange(10)}.yaml"
        if not path.exists() and not path.is_symlink():
            self.chance.choice((
                lambda: path.symlink_to("/nonexistent/file"), lambda: os.mkfifo(path), path.mkdir,
            ))()  # fmt: skip
            yield
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        else:
            yield

    @contextlib.contextmanager
    def broken_object(self) -> Iterator[None]:
        """A healthy Service's file is broken for a while: it stays as it was."""
        number = self.chance.randrange(HEALTHY)
        path = self.program.manifests / f"s{number:02}.yaml"
        good = path.read_text()
        replace(path, self.chance.choice((
            good.replace("port: 80", 'port: "eighty"'), good[: len(good) // 2] + "\n  : [",
            "kind: [oops",
        )))  # fmt: skip
        yield
        replace(path, good)  # an empty file would be none of its objects

    @contextlib.contextmanager
    def bad_reload(self) -> Iterator[None]:
        """A configuration that cannot be read, or is gone for a while."""
        if self.chance.random() < 0.2:
            self.program.config.unlink()
        else:
            self.program.config.write_bytes(self.chance.choice(BAD_CONFIGURATIONS))
        self.program.process.send_signal(signal.SIGHUP)
        yield
        self.program.config.write_text(self.config)
        self.program.process.send_signal(signal.SIGHUP)

    @contextlib.contextmanager
    def good_reload(self) -> Iterator[None]:
        """A peer that nobody answers for comes and goes."""
        text = self.config.replace("peers = ", "peers = extra,")
        self.program.config.write_text(
            f"{text}\n[peer:extra]\naddress = 192.168.7.{self.chance.randrange(200, 250)}\n"
            "remote_as = 65009\n"
        )
        yield
        self.program.config.write_text(self.config)

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """The file system of the state_dir has no room."""
        filler = self.state / f"filler{self.chance.randrange(1000)}"
        with contextlib.suppress(OSError), open(filler, "wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        yield
        filler.unlink(missing_ok=True)

    @contextlib.contextmanager
    def ip_hangs(self) -> Iterator[None]:
        """The next `ip` does not end for 14 s."""
        self.hanging.touch()
        yield
        self.hanging.unlink(missing_ok=True)

    @contextlib.contextmanager
    def readers(self) -> Iterator[None]:
        """Many who ask for everything at once."""
        paths = ["/v1/services", "/v1/plan", "/metrics"]
        urls = [f"http://127.0.0.1:8080{self.chance.choice(paths)}" for _ in range(20)]
        self.program.host.run(
            ["curl", "-s", "-m", "10", "-o", "/dev/null", "--parallel", *urls], check=False
        )
        yield

    @contextlib.contextmanager
    def half_requests(self) -> Iterator[None]:
        """Requests that are never finished."""
        script = (
            "import socket,time\n"
            "s=[socket.create_connection(('127.0.0.1',8080),9) for _ in range(100)]\n"
            "[c.send(b'GET /v1/services HTTP/1.1\\r\\nHost: x') for c in s]\n"
            "time.sleep(5)\n"
        )
        self.program.host.run(["python3", "-c", script], check=False)
        yield

    @contextlib.contextmanager
    def unknown_nodes(self) -> Iterator[None]:
        """A slice that names nodes which do not exist, others each time."""
        names = [f"x{self.chance.randrange(10**9)}" for _ in range(200)]
        self.program.put("unknown", service("unknown"), slice_of("unknown", *names))
        yield

    @contextlib.contextmanager
    def tenant(self) -> Iterator[None]:
        """A tenant asks for what is another's, by every annotation, in an ugly way."""
        held = f"203.0.113.{self.chance.randrange(HEALTHY)}"
        bad = service(
            "bad",
            annotations={
                "eip.porter.kubesphere.io/v1alpha1": self.chance.choice(
                    (held, "\x1b[31mred\nline", "x" * 200_000)
                ),
                "eip.porter.kubesphere.io/share": "key",
            },
            loadBalancerIP=held,
        )
        bad["status"] = {"loadBalancer": {"ingress": [{"ip": held}]}}
        self.program.put("bad", bad, slice_of("bad", "n1"))
        yield
        self.program.remove("bad")

    @contextlib.contextmanager
    def many_share(self) -> Iterator[None]:
        """Two hundred Services on one sharing key."""
        pieces = []
        for number in range(200):
            shared = service(
                f"share{number}",
                annotations={"eip.porter.kubesphere.io/share": "all"},
                ports=[{"port": 1000 + number, "protocol": "TCP"}],
            )
            pieces += [shared, slice_of(f"share{number}", "n1")]
        self.program.put("shares", *pieces)
        yield
        self.program.put("shares")


@pytest.fixture
def mixture(fabric: Fabric) -> Iterator[Mixture]:
    """The program with a small disk of its own and an `ip` that can hang, all healthy."""
    hosts, us = fabric.hosts, [Neighbour(OURS, 65000)]
    first(fabric, "porter", *LEAVES_BESIDE)  # their hold time is three seconds
    Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start()
    frr = Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start()
    hosts["porter"].run(f"ip route add default via {LEAVES['bird']}")
    state = fabric.folder / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(state)], check=True)
    sections = peers()
    sections["porter"] = {"state_dir": state}
    sections["bgp"]["hold_time"] = 3
    sections["bound_ip"] = {"mode": "address"}
    sections["peer:gobgpd"] |= {"mode": "passive"}
    program = Program(hosts["porter"], sections, name="mixture")
    program.put("pool", eip("pool", "203.0.113.0/24"))
    for name, address in NODES.items():
        program.put(name, node(name, address))
    for number in range(HEALTHY):
        name = f"s{number:02}"
        program.put(name, service(name), slice_of(name, *NODES))
    found = Mixture(fabric, program, random.Random(SEED))
    try:
        yield started(fabric, found)
    finally:
        print(program.tail())
        program.stop()
        frr.stop()
        subprocess.run(["umount", "-l", str(state)], check=False)


def started(fabric: Fabric, mixture: Mixture) -> Mixture:
    """Waits until the leaves have all routes and the addresses are bound."""
    folder = fabric.folder / "bin"
    folder.mkdir()
    wrapper = folder / "ip"
    real = shutil.which("ip")
    wrapper.write_text(
        f'#!/bin/sh\nif rm {mixture.hanging} 2>/dev/null; then sleep 14; fi\nexec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    mixture.program.start(PATH=f"{folder}:{os.environ['PATH']}")
    for name in LEAVES_BESIDE:
        leaf = fabric.hosts[name]
        want = dict.fromkeys(HELD, frozenset(NODES.values()))
        wait_for(leaf.multipath, partial(operator.eq, want), 30, f"{name}'s routes")
    wait_for(
        lambda: mixture.program.host.run("ip -o -4 address show").count("203.0.113."),
        lambda count: count == HEALTHY,
        20,
        "the bindings",
    )
    return mixture


def sessions(program: Program) -> dict[str, float]:
    """Since how long the healthy sessions are up, in seconds."""
    return {
        peer["name"]: peer["establishedSeconds"]
        for peer in program.get("/v1/peers")
        if peer["name"] in LEAVES_BESIDE and peer["state"] == "Established"
    }


def records(program: Program) -> dict[str, str]:
    """The address on record of every healthy Service."""
    folder = program.manifests / ".status" / "services" / "default"
    found = {}
    for number in range(HEALTHY):
        path = folder / f"s{number:02}.json"
        status = json.loads(path.read_text())["status"]
        found[path.stem] = status["loadBalancer"]["ingress"][0]["ip"]
    return found


def test_a_mixture_of_faults_costs_nothing_that_is_healthy(
    fabric: Fabric, mixture: Mixture
) -> None:
    program = mixture.program
    print(f"SEED={SEED}")
    before, began, held = sessions(program), time.monotonic(), records(program)
    hosts = [fabric.hosts[name] for name in LEAVES_BESIDE]
    want = dict.fromkeys(HELD, frozenset(NODES.values()))
    with (
        no_route_lost(hosts[0], want),
        no_route_lost(hosts[1], want),
        stay_bound(program.host, HELD),
    ):
        play(mixture.faults, mixture.chance, SECONDS, AT_ONCE, apart=RELOADS)
        wait_for(lambda: program.answers("/healthz"), bool, 90, "it to be healthy again")
    lasted = time.monotonic() - began
    for name, seconds in sessions(program).items():
        assert seconds >= before[name] + lasted - 2, f"{name} lost its session"
    assert sessions(program).keys() == set(LEAVES_BESIDE)
    assert records(program) == held
    wait_for(program.is_ready, bool, 20, "it to be ready")
    program.put("late", yaml.safe_load(yaml.safe_dump(service("late"))), slice_of("late", "n2"))
    late = frozenset({NODES["n2"]})
    for host in hosts:
        wait_for(host.multipath, lambda seen: late in seen.values(), 20, "what comes after it")
