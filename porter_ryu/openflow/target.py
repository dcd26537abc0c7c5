"""The switches as a target of routes (`domain.ports.AddressTarget`)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from porter_ryu import metrics
from porter_ryu.domain.announcement import Route
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.text import listed
from porter_ryu.openflow.config import OpenFlowSettings
from porter_ryu.openflow.connection import SwitchConnection
from porter_ryu.openflow.controller import Controller, Endpoint, install_handler
from porter_ryu.openflow.counters import Served
from porter_ryu.openflow.limits import Limits
from porter_ryu.openflow.next_hop_sets import Wanted, wanted
from porter_ryu.openflow.report import SwitchHealth, SwitchReport
from porter_ryu.openflow.switch import Switch
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_WITHDRAW_SECONDS = 5.0


class Switches:
    """All switches that are connected.  `pool_of` names the Eip of an address, `node_of` the node
    of a next hop."""

    def __init__(
        self,
        settings: OpenFlowSettings,
        endpoint: Endpoint,
        supervisor: Supervisor,
        limits: Limits | None = None,
    ) -> None:
        self.pool_of: Callable[[Address], str] = lambda _address: ""
        self._settings = settings
        self._supervisor = supervisor
        self._limits = limits or Limits()
        self._controller = Controller(endpoint, self, supervisor, self._limits)
        self._wanted: dict[Network, Wanted] = {}
        self._nodes: dict[Address, str] = {}
        self._complete = self._stopping = False
        self._switches: dict[int, Switch] = {}
        self._gone: dict[int, None] = {}
        self._give_way = TimeSlice()

    def listen(self) -> None:
        """Opens the port; raises OSError or ValueError if that is not possible."""
        install_handler()
        self._controller.listen()

    def start(self, is_eip: Callable[[Address], bool]) -> None:
        """Starts to accept switches; connections to an address for which `is_eip` is true are
        closed."""
        self._controller.start(is_eip)

    def stop(self, withdraw: bool) -> str:
        """Ends the connections.  Flows and groups stay, so that traffic goes on, unless
        `withdraw`.  Returns one sentence about the switches that still have what is ours; empty if
        there are none."""
        self._stopping = True
        left = self._withdraw() if withdraw else []
        self._controller.stop()
        if not left:
            return ""
        names = listed([f"{datapath:#x}" for datapath in left])
        text = f"flows of ours may be in switches that are away or did not confirm: {names}"
        LOG.error("%s", text)
        return text

    def _withdraw(self) -> list[int]:
        """Has all switches remove what is ours; returns those that are away, or have not confirmed
        it within five seconds."""
        left = {*self._settings.datapaths, *self._gone, *self._switches}
        switches = list(self._switches.values())
        for switch in switches:
            switch.withdraw()
        deadline = time.monotonic() + _WITHDRAW_SECONDS
        for switch in switches:
            if switch.wait_withdrawn(max(0.0, deadline - time.monotonic())):
                left.discard(switch.datapath)
        return sorted(left)

    # -- AddressTarget ----------------------------------------------------------------------------

    def set_addresses(self, routes: Mapping[Network, Route], read_at: float | None) -> None:
        """Sets what is wanted for these addresses (AddressTarget)."""
        del read_at
        changed = []
        for prefix, route in routes.items():
            self._give_way()
            pool = self.pool_of(prefix.network_address)
            entry = wanted(prefix, route, pool, self._settings.max_next_hops)
            if entry == self._wanted.get(prefix):
                continue
            changed.append(prefix)
            if entry is None:
                del self._wanted[prefix]
                continue
            self._wanted[prefix] = entry
            for path in (*route.paths, *(p for _, paths in route.ports for p in paths)):
                address = path.next_hop.address or path.next_hop.ipv6
                if address is not None:
                    self._nodes[address] = path.next_hop.node
        if changed:
            for switch in self._switches.values():
                switch.touch(changed)

    def forwards(self, prefix: Network) -> bool:
        """Whether an address is wanted (AddressTarget)."""
        return prefix in self._wanted

    def complete(self) -> None:
        """All addresses are set (AddressTarget)."""
        self._complete = True
        for switch in self._switches.values():
            switch.wake()

    # -- connections ------------------------------------------------------------------------------

    def connected(self, connection: SwitchConnection) -> None:
        """A switch connected (Owner)."""
        datapath = int(connection.id)
        if self._settings.datapaths and datapath not in self._settings.datapaths:
            LOG.warning("switch %#x at %s is not ours", datapath, connection.address[0])
            return
        before = self._switches.get(datapath)
        if before is not None:
            before.connection.end("the switch connected again")
            before.ended()
        switch = Switch(
            connection,
            self._settings,
            self._wanted,
            lambda: self._complete,
            self._count_packets,
            self._supervisor,
            self._limits,
        )
        self._switches[datapath] = switch
        self._gone.pop(datapath, None)
        LOG.warning("switch %#x at %s connected", datapath, connection.address[0])
        self._supervisor.spawn("openflow switch", self._run, switch)

    def received(self, connection: SwitchConnection, kind: int, xid: int, body: bytes) -> None:
        """A message of a switch (Owner)."""
        switch = self._of(connection)
        if switch is None:
            return
        try:
            switch.received(kind, xid, body)
        except ValueError as error:
            connection.end(f"it sent {error}")

    def ended(self, connection: SwitchConnection) -> None:
        """A connection ended (Owner)."""
        switch = self._of(connection)
        if switch is not None:
            switch.ended()
            del self._switches[switch.datapath]
            self._gone[switch.datapath] = None
            if len(self._gone) > self._limits.max_switches:
                del self._gone[next(iter(self._gone))]

    def _of(self, connection: SwitchConnection) -> Switch | None:
        switch = self._switches.get(connection.id) if connection.id is not None else None
        return switch if switch is not None and switch.connection is connection else None

    def _run(self, switch: Switch) -> None:
        try:
            switch.run()
        finally:
            if not self._stopping:
                switch.connection.end("it is not kept any more")

    # -- what is told -----------------------------------------------------------------------------

    def _count_packets(self, added: Mapping[Served, int]) -> None:
        for (pool, address), count in added.items():
            metrics.openflow_packets.labels(eip=pool, node=self.node_of(address)).inc(count)

    def node_of(self, address: Address) -> str:
        """The node of a next hop."""
        return self._nodes.get(address, str(address))

    def health(self) -> Mapping[int, SwitchHealth]:
        """How each switch is: also one that went away, and one that is named in the settings and
        never came."""
        away = dict.fromkeys([*sorted(self._settings.datapaths), *self._gone], SwitchHealth())
        return away | {datapath: each.health() for datapath, each in self._switches.items()}

    def reports(self) -> tuple[SwitchReport, ...]:
        """The state of each switch, in order of datapath."""
        return tuple(self._switches[datapath].report() for datapath in sorted(self._switches))

    def is_sent(self, prefix: Network) -> bool:
        """Whether a switch forwards packets for an address."""
        return prefix in self._wanted and any(s.up for s in list(self._switches.values()))

    def sent(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """To which next hops each switch sends the packets for an address."""
        return {
            f"switch {datapath:#x}": hops
            for datapath, switch in sorted(self._switches.items())
            if (hops := switch.hops(prefix))
        }
