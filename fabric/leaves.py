"""Real routers as leaves: FRR, BIRD and gobgpd."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeAlias

from fabric import Fabric, FabricError, Host, end, wait_for

FRR_DAEMONS = "/usr/lib/frr"


@dataclass(frozen=True)
class Neighbour:
    """A neighbour of a leaf; `passive`: the leaf waits for its connection."""

    address: str
    asn: int
    add_path: bool = True
    passive: bool = True
    password: str = ""
    local: str = ""
    port: int = 179


class Bird:
    """BIRD 2 with ADD-PATH receive and multipath into the kernel; `more` is for every neighbour,
    and so is `accepts`, its import filter."""

    def __init__(
        self,
        host: Host,
        asn: int,
        router_id: str,
        neighbours: list[Neighbour],
        more: str = "",
        accepts: str = "all",
    ) -> None:
        self.host = host
        self._config = host.folder / "bird.conf"
        self._control = str(host.folder / "bird.ctl")
        self._config.write_text(self._text(asn, router_id, neighbours, more, accepts))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Bird:
        """Starts it."""
        command = f"bird -f -c {self._config} -s {self._control}"
        self.process = self.host.spawn(command, "bird.log")
        wait_for(self._answers, bool, 10, "BIRD to answer")
        return self

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None:
            end(self.process)

    def routes(self, version: int = 4) -> dict[str, frozenset[str]]:
        """Next hops by prefix, from the kernel."""
        return self.host.multipath(version)

    def command(self, text: str) -> str:
        """Runs a command of birdc; returns its output."""
        return self.host.run(["birdc", "-s", self._control, *text.split()])

    def _answers(self) -> bool:
        try:
            self.command("show status")
        except FabricError:
            return False
        return True

    @staticmethod
    def _text(
        asn: int, router_id: str, neighbours: list[Neighbour], more: str, accepts: str
    ) -> str:
        text = f"router id {router_id};\nprotocol device {{ scan time 5; }}\n"
        for version in (4, 6):
            text += (
                f"protocol kernel k{version} {{ ipv{version} {{ import none; export where source "
                f"= RTS_BGP; }}; merge paths on limit 64; }}\n"
            )
        for number, n in enumerate(neighbours):
            add_path = "add paths rx; " if n.add_path else ""
            channels = "".join(
                f"ipv{v} {{ {add_path}import {accepts}; export none; next hop keep; }};\n"
                for v in (4, 6)
            )
            passive = "passive on;" if n.passive else ""
            password = f'password "{n.password}";' if n.password else ""
            local = f"local {n.local} as {asn};" if n.local else f"local as {asn};"
            text += (
                f"protocol bgp p{number} {{ {local} "
                f"neighbor {n.address} port {n.port} as {n.asn}; {passive} "
                f"{password} connect delay time 1; connect retry time 1; error wait time 1,2;\n"
                f"graceful restart on; {more}\n{channels} }}\n"
            )
        return text


class Frr:
    """FRR's zebra and bgpd."""

    def __init__(
        self,
        fabric: Fabric,
        host: Host,
        asn: int,
        router_id: str,
        neighbours: list[Neighbour],
        more: str = "",
    ) -> None:
        self.host = host
        self._asn = asn
        self._name = f"{fabric.prefix}{host.name}"
        self._state = Path("/var/run/frr") / self._name
        self._config = host.folder / "frr.conf"
        self._config.write_text(self._text(asn, router_id, neighbours, more))
        self._config.chmod(0o644)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        fabric.on_close(lambda: shutil.rmtree(self._state, ignore_errors=True))

    def start(self, daemons: Sequence[str] = ("zebra", "bgpd")) -> Frr:
        """Starts its daemons."""
        self._state.mkdir(parents=True, exist_ok=True)
        shutil.chown(self._state, "frr", "frr")
        for daemon in daemons:
            command = (
                f"{FRR_DAEMONS}/{daemon} -N {self._name} -i {self._state}/{daemon}.pid "
                f"-f {self._config} -A 127.0.0.1 -u frr -g frr"
            )
            self._processes[daemon] = self.host.spawn(command, f"{daemon}.log")
            wait_for((self._state / f"{daemon}.vty").exists, bool, 10, f"FRR's {daemon}")
        return self

    def stop(self) -> None:
        """Ends them."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            end(process)
        self._processes.clear()
        shutil.rmtree(self._state, ignore_errors=True)

    def process(self, daemon: str) -> subprocess.Popen[bytes]:
        """One of its daemons."""
        return self._processes[daemon]

    def routes(self, version: int = 4) -> dict[str, frozenset[str]]:
        """Next hops by prefix, from the kernel."""
        return self.host.multipath(version)

    def command(self, *lines: str) -> str:
        """Runs commands of vtysh, one after the other; returns their output."""
        return self.host.run(
            ["vtysh", "-N", self._name, *(w for line in lines for w in ("-c", line))]
        )

    def forget(self, address: str) -> None:
        """Drops the routes that it keeps for a neighbour that may yet come back (RFC 4724)."""
        enter = ("configure terminal", f"router bgp {self._asn}")
        self.command(*enter, f"neighbor {address} shutdown")
        self.command(*enter, f"no neighbor {address} shutdown")

    @staticmethod
    def _text(asn: int, router_id: str, neighbours: list[Neighbour], more: str) -> str:
        lines = [
            f"router bgp {asn}",
            f" bgp router-id {router_id}",
            " no bgp ebgp-requires-policy",
            " no bgp default ipv4-unicast",
            " no bgp network import-check",
            " bgp bestpath as-path multipath-relax",
        ]
        for n in neighbours:
            lines += [
                f" neighbor {n.address} remote-as {n.asn}",
                f" neighbor {n.address} timers connect 1",
                f" neighbor {n.address} graceful-restart-helper",
            ]
            if n.passive:
                lines.append(f" neighbor {n.address} passive")
            if n.password:
                lines.append(f" neighbor {n.address} password {n.password}")
        for family in ("ipv4", "ipv6"):
            lines += [f" address-family {family} unicast", "  maximum-paths 64"]
            for n in neighbours:
                lines.append(f"  neighbor {n.address} activate")
                if not n.add_path:
                    lines.append(f"  neighbor {n.address} disable-addpath-rx")
            lines.append(" exit-address-family")
        return "\n".join([*lines, more, ""])


class Gobgpd:
    """gobgpd, which installs no routes in the kernel."""

    def __init__(self, host: Host, asn: int, router_id: str, neighbours: list[Neighbour]) -> None:
        self.host = host
        self._config = host.folder / "gobgpd.json"
        self._config.write_text(json.dumps(self._document(asn, router_id, neighbours)))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Gobgpd:
        """Starts it."""
        command = f"gobgpd -t json -f {self._config} --api-hosts 127.0.0.1:50051"
        self.process = self.host.spawn(command, "gobgpd.log")
        wait_for(self._answers, bool, 10, "gobgpd's API")
        return self

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None:
            end(self.process)

    def routes(self, version: int = 4) -> dict[str, frozenset[str]]:
        """Next hops by prefix, from its table."""
        text = self.host.run(f"gobgp global rib -a ipv{version} -j")
        table = json.loads(text) if text.strip().startswith("{") else {}
        return {
            prefix.removesuffix("/32").removesuffix("/128"): frozenset(
                str(ip_address(_next_hop(path))) for path in paths
            )
            for prefix, paths in table.items()
        }

    def _answers(self) -> bool:
        try:
            self.host.run("gobgp global -j")
        except FabricError:
            return False
        return True

    @staticmethod
    def _document(asn: int, router_id: str, neighbours: list[Neighbour]) -> dict[str, object]:
        return {
            "global": {"config": {"as": asn, "router-id": router_id}},
            "neighbors": [
                {
                    "config": {"neighbor-address": n.address, "peer-as": n.asn},
                    "transport": {"config": {"passive-mode": n.passive}},
                    "afi-safis": [
                        {
                            "config": {"afi-safi-name": f"ipv{version}-unicast"},
                            "add-paths": {"config": {"receive": n.add_path}},
                        }
                        for version in (4, 6)
                    ],
                }
                for n in neighbours
            ],
        }


Leaf: TypeAlias = Bird | Frr | Gobgpd


def _next_hop(path: dict[str, Any]) -> str:
    for attribute in path["attrs"]:
        if "nexthop" in attribute:
            return str(attribute["nexthop"])
    raise FabricError(f"a path without a next hop: {path}")
