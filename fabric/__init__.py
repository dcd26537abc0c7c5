"""A network of hosts in network namespaces, with real routers as leaves.

The tests, the demo and the benchmarks use it.  At the end of its `with` block a Fabric always ends
every process that it started, by its id, and removes every namespace.  If a run was killed, the
next run removes its namespaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
# the kernel kills our child processes when this process ends, for whatever reason
_DIES_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
_NAMESPACE = re.compile(r"^(pr(\d+)-\S+)", re.MULTILINE)
_SHARED = 3  # four tests run at once on two cores
_LOOK_AGAIN_SECONDS, _LOOK_AGAIN_MOST_SECONDS = 0.02, 0.5
_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class FabricError(Exception):
    """A command failed, or a condition was not met in time."""


def wait_for(look: Callable[[], T], good: Callable[[T], bool], seconds: float, what: str) -> T:
    """Calls `look` until its result is `good`, and returns the result.  `seconds` is what it takes
    at most on a machine that has nothing else to do: after `_SHARED` times as long raises
    FabricError with the last result."""
    deadline = time.monotonic() + seconds * _SHARED
    while True:
        began = time.monotonic()
        seen = look()
        if good(seen):
            return seen
        now = time.monotonic()
        if now > deadline:
            raise FabricError(f"{what}: still {seen!r} after {seconds * _SHARED} s")
        # whoever looks by a command takes the processor from what is waited for
        time.sleep(min(max(_LOOK_AGAIN_SECONDS, 2 * (now - began)), _LOOK_AGAIN_MOST_SECONDS))


@contextlib.contextmanager
def inside(host: Host) -> Iterator[None]:
    """Moves this thread into the namespace of the host, for the sockets that it opens and the
    commands that it starts."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    away = os.open(f"/run/netns/{host.namespace}", os.O_RDONLY)
    try:
        if _LIBC.setns(away, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        _LIBC.setns(home, _CLONE_NEWNET)
        os.close(home)
        os.close(away)


class Host:
    """A network namespace with its own processes.

    `nice`: of the processes that it starts from now on.  What is asserted of time has to hold on a
    machine that does other things as well: with -20 those that have to keep it come first.
    """

    def __init__(self, fabric: Fabric, name: str) -> None:
        self.name = name
        self.namespace = f"{fabric.prefix}-{name}"
        self.folder = fabric.folder / name
        self.folder.mkdir()
        self.nice = 0
        self.is_switch = False
        self._before = () if fabric.keep else _DIES_WITH_PARENT
        self._processes: list[subprocess.Popen[bytes]] = []
        _run(["ip", "netns", "add", self.namespace])
        self.run("ip link set lo up")
        self.sysctl({
            "net.ipv4.ip_forward": 1,
            "net.ipv4.conf.all.rp_filter": 0,
            "net.ipv4.conf.default.rp_filter": 0,
            "net.ipv6.conf.all.forwarding": 1,
            # by addresses, protocol and ports of a packet; policy 1 takes the hash of its socket,
            # which changes when TCP sends again
            "net.ipv4.fib_multipath_hash_fields": 0x37,
            "net.ipv4.fib_multipath_hash_policy": 3,
            "net.ipv6.fib_multipath_hash_fields": 0x37,
            "net.ipv6.fib_multipath_hash_policy": 3,
        })  # fmt: skip

    def inside(self, command: str | Sequence[str]) -> list[str]:
        """The command line that runs a command in this namespace, with the interfaces of this
        namespace in /sys/class/net."""
        words = command.split() if isinstance(command, str) else list(command)
        return ["ip", "netns", "exec", self.namespace, *words]

    def run(
        self,
        command: str | Sequence[str],
        check: bool = True,
        text: str = "",
        seconds: float = 60,
    ) -> str:
        """Runs a command and returns its output; raises FabricError if it fails.  Its /sys is that
        of the machine: so it takes half of what `ip netns exec` takes, which counts where a test
        looks again and again."""
        words = command.split() if isinstance(command, str) else list(command)
        try:
            with inside(self):
                return _run(words, check, text, seconds)
        except FabricError as error:
            raise FabricError(f"{self.name}: {error}") from error

    def sysctl(self, values: Mapping[str, int]) -> None:
        """Sets parameters of the kernel in this namespace, as the command `sysctl` does."""
        with inside(self):
            for name, value in values.items():
                Path("/proc/sys", name.replace(".", "/")).write_text(str(value))

    def ip(self, *commands: str) -> None:
        """Runs `ip` once for many commands; raises FabricError at the first that fails."""
        self.run("ip -batch -", text="".join(f"{command}\n" for command in commands))

    def json(self, command: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.run(command) or "[]")

    def spawn(
        self, command: str | Sequence[str], log: str, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a process that ends with the fabric; its output goes to `log`."""
        words = command.split() if isinstance(command, str) else list(command)
        first = ["nice", "-n", str(self.nice)] if self.nice else []
        with open(self.folder / log, "ab") as output:
            process = subprocess.Popen(
                self.inside([*self._before, *first, *words]),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
            )
        self._processes.append(process)
        return process

    def log(self, name: str) -> str:
        """The output of a process so far."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def multipath(self, version: int = 4) -> dict[str, frozenset[str]]:
        """The BGP routes in the kernel of this host: next hops by prefix."""
        routes: dict[str, frozenset[str]] = {}
        for route in self.json(f"ip -j -{version} route show"):
            if route.get("protocol") not in ("bird", "bgp"):
                continue
            hops = [hop.get("gateway") for hop in route.get("nexthops", ())]
            hops = hops or [route.get("gateway")]
            known = routes.get(route["dst"], frozenset())
            routes[route["dst"]] = known | {hop for hop in hops if hop}
        return routes

    def shares(self, prefix: str) -> dict[str, int]:
        """The share of each next hop in a route of the kernel of this host, in per cent."""
        version = 6 if ":" in prefix else 4
        routes: list[dict[str, Any]] = self.json(f"ip -{version} -j route show {prefix}")
        # an IPv6 route may be one entry for each next hop, without weights
        hops = [
            hop for route in routes for hop in route.get("nexthops") or [{**route, "weight": 1}]
        ]
        total = sum(hop["weight"] for hop in hops)
        return {hop["gateway"]: round(100 * hop["weight"] / total) for hop in hops}

    def close(self) -> None:
        """Ends the processes and removes the namespace."""
        for process in self._processes:
            end(process)
        _run(["ip", "netns", "del", self.namespace], check=False)


class Fabric:
    """Hosts and the links between them."""

    def __init__(self, keep: bool = False) -> None:
        _remove_leftovers()
        self.prefix = f"pr{os.getpid()}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"porter-ryu-{os.getpid()}-"))
        self.folder.chmod(0o755)
        self.hosts: dict[str, Host] = {}
        self.keep = keep
        self._links = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Fabric:
        return self

    def __exit__(self, *_: object) -> None:
        if self.keep:
            return
        self.close()

    def close(self) -> None:
        """Ends all processes and removes everything."""
        self._stack.close()
        for host in self.hosts.values():
            host.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def on_close(self, action: Callable[[], object]) -> None:
        """Registers an action for the end of the fabric."""
        self._stack.callback(action)

    def host(self, name: str) -> Host:
        """A new host."""
        self.hosts[name] = Host(self, name)
        return self.hosts[name]

    def switch(self, name: str) -> Host:
        """A host with a bridge `br0` to which others can be linked."""
        switch = self.host(name)
        switch.ip("link add br0 type bridge", "link set br0 up")
        switch.is_switch = True
        return switch

    def link(self, a: Host, b: Host, a_addresses: Sequence[str], b_addresses: Sequence[str]) -> str:
        """A veth link between two hosts; if `b` is a switch, its end is added to the bridge.
        Returns the name of the interface of `a`."""
        self._links += 1
        here, there = f"e{self._links}a", f"e{self._links}b"
        ends = f"{here} netns {a.namespace} type veth peer name {there} netns {b.namespace}"
        _run(["ip", "link", "add", *ends.split()])
        for host, device, addresses in ((a, here, a_addresses), (b, there, b_addresses)):
            host.ip(
                *(
                    f"address add {address} dev {device} {'nodad' if ':' in address else ''}"
                    for address in addresses
                ),
                f"link set {device} up",
            )
        if b.is_switch:
            b.run(f"ip link set {there} master br0")
        return here


def _remove_leftovers() -> None:
    """Removes the namespaces and folders of runs that were killed, except networks that were kept
    on purpose, which still have processes."""
    dead = {
        (namespace, pid)
        for namespace, pid in _NAMESPACE.findall(_run(["ip", "netns", "list"]))
        if not Path("/proc", pid).exists()
    }
    kept = {pid for name, pid in dead if _run(["ip", "netns", "pids", name], check=False).strip()}
    for namespace, pid in dead:
        if pid in kept:
            continue
        _run(["ip", "netns", "del", namespace], check=False)
        for folder in Path(tempfile.gettempdir()).glob(f"porter-ryu-{pid}-*"):
            shutil.rmtree(folder, ignore_errors=True)


def end(process: subprocess.Popen[bytes], seconds: float = 30.0) -> int:
    """Ends a process by SIGTERM, or by SIGKILL after `seconds`; returns its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def _run(command: Sequence[str], check: bool = True, text: str = "", seconds: float = 60) -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=seconds, check=False
    )
    if check and done.returncode:
        raise FabricError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
