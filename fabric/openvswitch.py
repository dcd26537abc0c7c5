"""Open vSwitch as a switch of the fabric, with its user-space datapath.

Each instance has its own database, run directory and daemons in the namespace of its host, so
several run beside one another, and beside one that the machine itself may have.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric import Fabric, FabricError, Host, end, wait_for

BRIDGE = "ovs0"
_DATAPATH = "netdev"
PORT = 6653
_PACKAGES = {
    "ovsdb-tool": "openvswitch-common",
    "ovs-vswitchd": "openvswitch-switch",
    "ethtool": "ethtool",
}
_SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
_START_SECONDS = 20.0
_SECONDS = 60  # of a change in the database
_FLOW = re.compile(
    r"cookie=0x(?P<cookie>[0-9a-f]+), duration=(?P<duration>[0-9.]+)s, table=(?P<table>\d+), "
    r"n_packets=(?P<packets>\d+), n_bytes=\d+, (?P<text>.*)"
)
_AGE = re.compile(r"(?:idle|hard)_age=\d+, ")
_GROUP = re.compile(r"group_id=(\d+),(.*)")


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow in a table; `seconds`: how long it is there; `text`: its priority, match and
    actions."""

    table: int
    cookie: int
    text: str
    packets: int
    seconds: float

    @property
    def rule(self) -> tuple[int, int, str]:
        """What it is, without what is counted."""
        return self.table, self.cookie, self.text


class OpenVSwitch:
    """One switch with the bridge `ovs0`; `controller`: the address that it connects to, empty for
    none; `protocols`: the versions of OpenFlow that it speaks."""

    def __init__(
        self,
        host: Host,
        datapath_id: int,
        controller: str = "",
        protocols: Sequence[str] = ("OpenFlow13", "OpenFlow14", "OpenFlow15"),
    ) -> None:
        for name, package in _PACKAGES.items():
            if shutil.which(name) is None:
                raise FabricError(
                    f"Open vSwitch cannot run, because {name} is missing: install the Debian "
                    f"package {package} (scripts/install-tools does)"
                )
        self.host = host
        self.datapath_id = f"{datapath_id:016x}"
        self.ports: dict[str, str] = {}  # the port of each host that is plugged in
        self._protocols = protocols
        self._controller = controller
        self._database = f"unix:{host.folder}/db.sock"
        self._control = f"{host.folder}/vswitchd.ctl"
        self._environment = {"OVS_RUNDIR": str(host.folder)}
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> OpenVSwitch:
        """Starts it with an empty database, and connects it to the controller."""
        folder = self.host.folder
        self.host.run(f"ovsdb-tool create {folder}/conf.db {_SCHEMA}")
        self.host.spawn(
            f"ovsdb-server {folder}/conf.db --remote=p{self._database} "
            f"--unixctl={folder}/ovsdb.ctl",
            "ovsdb.log",
            self._environment,
        )
        wait_for((folder / "db.sock").exists, bool, _START_SECONDS, "the database of Open vSwitch")
        self.configure("--no-wait", "init")
        self._spawn()
        self.configure(
            *("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, f"datapath_type={_DATAPATH}"),
            *("fail_mode=secure", f"other-config:datapath-id={self.datapath_id}"),
            "protocols=" + ",".join(self._protocols),
        )
        if self._controller:
            self.connect(self._controller)
        return self

    def connect(self, controller: str, tls: bool = False) -> None:
        """Connects it to a controller, and tries again and again where that is not there."""
        self.configure(
            *("set-controller", BRIDGE, f"{'ssl' if tls else 'tcp'}:{controller}:{PORT}", "--"),
            *("set", "controller", BRIDGE, "connection-mode=out-of-band", "max-backoff=1000"),
        )

    def use_certificate(self, key: Path, certificate: Path, authority: Path) -> None:
        """What it shows to a controller by TLS, and by whom the controller has to be known."""
        self.configure("set-ssl", str(key), str(certificate), str(authority))

    def disconnect(self) -> None:
        """Ends the connection to the controller, for good."""
        self.configure("del-controller", BRIDGE)

    def plug(self, fabric: Fabric, host: Host, addresses: Sequence[str]) -> str:
        """Links a host to a new port; returns the name of the interface of the host."""
        device = fabric.link(host, self.host, addresses, [])
        port = f"{device.removesuffix('a')}b"
        # the user-space datapath does not fill in checksums that a veth leaves to the hardware
        host.run(f"ethtool -K {device} tx off")
        self.host.run(f"ethtool -K {port} tx off")
        self.host.sysctl({f"net.ipv6.conf.{port}.disable_ipv6": 1})
        self.configure("add-port", BRIDGE, port)
        self.ports[host.name] = port
        return device

    def replug(self, name: str, number: int) -> None:
        """Moves the link of a host to another port of the switch, by its OpenFlow number."""
        port = self.ports[name]
        self.configure(
            *("del-port", BRIDGE, port, "--", "add-port", BRIDGE, port, "--"),
            *("set", "interface", port, f"ofport_request={number}"),
        )

    def port_number(self, name: str) -> int:
        """The OpenFlow number of the port of a host."""
        return int(self.configure("get", "interface", self.ports[name], "ofport"))

    def limit(self, table: int, flows: int) -> None:
        """Has it refuse more than so many flows in a table."""
        self.configure(
            *("--", "--id=@limit", "create", "flow_table", f"flow_limit={flows}"),
            *("overflow_policy=refuse", "--", "set", "bridge", BRIDGE),
            f"flow_tables:{table}=@limit",
        )

    def unlimit(self) -> None:
        """Takes every limit away."""
        self.configure("clear", "bridge", BRIDGE, "flow_tables")

    def restart(self) -> None:
        """Ends the switch and starts it again; it has no flow and no group then."""
        if self._daemon is not None:
            end(self._daemon)
        self._spawn()
        wait_for(self._answers, bool, _START_SECONDS, "Open vSwitch to be there again")

    def settle(self) -> None:
        """Waits until what it does with packets is what its flows and groups say: it remembers
        decisions, and looks at them again in the background after a change."""
        self.appctl("revalidator/wait")

    @property
    def connected(self) -> bool:
        """Whether it has a connection to its controller."""
        return self.configure("get", "controller", BRIDGE, "is_connected").strip() == "true"

    def flows(self) -> list[Flow]:
        """All flows in all tables."""
        found = []
        for line in self.ofctl("dump-flows").splitlines():
            if (match := _FLOW.search(line)) is not None:
                found.append(
                    Flow(
                        int(match["table"]),
                        int(match["cookie"], 16),
                        _AGE.sub("", match["text"]),
                        int(match["packets"]),
                        float(match["duration"]),
                    )
                )
        return found

    def groups(self) -> dict[int, str]:
        """All groups: what is in them by their identifiers."""
        return {int(number): text for number, text in _GROUP.findall(self.ofctl("dump-groups"))}

    def add_flow(self, flow: str) -> None:
        """Adds a flow, which is written as ovs-ofctl(8) has it."""
        self.ofctl("add-flow", flow)

    def add_group(self, group: str) -> None:
        """Adds a group, which is written as ovs-ofctl(8) has it."""
        self.ofctl("add-group", group)

    def clear(self) -> None:
        """Removes all flows and all groups, and what its datapath remembers of them.

        That would otherwise go on for as long as packets hit it: while the tables are empty the
        datapath remembers flows that overlap older ones, and when rules come back the user-space
        datapath of Open vSwitch 3.1.0 gives the actions of one to the other, and keeps a "drop".
        """
        self.ofctl("del-flows")
        self.ofctl("del-groups")
        self.appctl("revalidator/purge")

    def drop_answers(self, name: str) -> int:
        """Has the datapath drop what it remembers to send from a host to the controller, as the
        fault does that `clear` tells of; returns how many decisions are wrong now.  Open vSwitch
        itself believes that they are right, and forgets each when no packet used it for 10 s."""
        wrong = 0
        for line in self.appctl("dpctl/dump-flows", "-m").splitlines():
            match, _, rest = line.partition(", packets:")
            if f"in_port({self.ports[name]})" in match and "controller(" in rest:
                self.appctl("dpctl/mod-flow", f"netdev@ovs-{_DATAPATH}", match, "drop")
                wrong += 1
        return wrong

    def ofctl(self, command: str, *arguments: str) -> str:
        """Runs a command of ovs-ofctl on the bridge; returns its output."""
        argv = ["ovs-ofctl", "-O", self._protocols[-1], command, self._management, *arguments]
        return self.host.run(argv)

    def appctl(self, *arguments: str) -> str:
        """Runs a command of ovs-appctl; returns its output."""
        return self.host.run(["ovs-appctl", "-t", self._control, *arguments])

    def configure(self, *arguments: str) -> str:
        """Runs a command of ovs-vsctl, which returns when the switch has done it; returns its
        output."""
        argv = ["ovs-vsctl", f"--db={self._database}", f"--timeout={_SECONDS}", "--retry"]
        return self.host.run([*argv, *arguments])

    @contextlib.contextmanager
    def flow_changes(self) -> Iterator[list[str]]:
        """What is added, changed and deleted in its tables; the list is filled at the end."""
        number = len(list(self.host.folder.glob("monitor-*.log")))
        log = f"monitor-{number}.log"
        watch = ["monitor", self._management, "watch:!initial"]
        monitor = self.host.spawn(["ovs-ofctl", "-O", "OpenFlow14", *watch], log, self._environment)
        mark = "cookie=0x77617463682e,table=253,priority=1"  # of a table that nobody uses
        wait_for(lambda: self._marked(mark, log), bool, _START_SECONDS, "ovs-ofctl monitor")
        seen: list[str] = []
        try:
            yield seen
        finally:
            before = self.host.log(log).count("0x77617463682e")
            self.ofctl("add-flow", f"{mark},actions=drop")
            wait_for(
                lambda: self.host.log(log).count("0x77617463682e") > before,
                bool,
                _START_SECONDS,
                "the last change of a flow",
            )
            end(monitor)
            self.ofctl("del-flows", "cookie=0x77617463682e/-1")
        lines = self.host.log(log).splitlines()
        seen += [line for line in lines if "event=" in line and "0x77617463682e" not in line]

    def _marked(self, mark: str, log: str) -> bool:
        """Changes a flow of nobody; returns whether the log has seen that."""
        self.ofctl("add-flow", f"{mark},actions=drop")
        self.ofctl("del-flows", "cookie=0x77617463682e/-1")
        return "0x77617463682e" in self.host.log(log)

    def _answers(self) -> bool:
        try:
            self.ofctl("show")
        except FabricError:
            return False
        return True

    @property
    def _management(self) -> str:
        return f"unix:{self.host.folder}/{BRIDGE}.mgmt"

    def _spawn(self) -> None:
        self._daemon = self.host.spawn(
            f"ovs-vswitchd {self._database} --unixctl={self._control} --disable-system",
            "vswitchd.log",
            self._environment,
        )
