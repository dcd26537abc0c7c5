"""Keeps the addresses bound that should be, and nothing of ours beyond them.

One greenthread compares what should be with what `ip` says there is, when something is asked for
and every few seconds; so a repair, a retry and an ordinary change are the same thing.
"""

from __future__ import annotations

import logging

from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.domain.model import Network
from porter_ryu.node.iproute import IpError, IpRoute, Place
from porter_ryu.node.journal import Entry, Journal, JournalError
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_CHECK_EVERY = 5.0
_RETRY_EVERY = 1.0
_STALLS_AFTER = 120.0
_WAIT_MOST = 1.0
_WITHDRAW_MOST = 30.0  # nobody scrubs after the last run
_DEFAULT_OF = {"rule": "local", "blackhole": "blackhole"}


class BoundIps:
    """A BindingTarget in one mode; `interface` empty means that of the default route."""

    def __init__(
        self,
        mode: str,
        interface: str,
        table: int,
        journal: Journal,
        ip: IpRoute,
        supervisor: Supervisor,
    ) -> None:
        self._supervisor = supervisor
        self._mode = mode
        self._interface = interface
        self._table = str(table)
        self._journal = journal
        self._ip = ip
        self._wanted: frozenset[Network] = frozenset()
        self._seen: frozenset[Network] = frozenset()
        self._complete = False
        self._stopped = False
        self._wake = hub.Event()
        self._done = hub.Event()
        self._complained: set[str] = set()
        self._foreign: frozenset[Network] = frozenset()

    def start(self) -> None:
        """Spawns the greenthread."""
        self._supervisor.keep("bound addresses", self._run, _STALLS_AFTER)

    def stop(self, withdraw: bool = False) -> None:
        """Ends it; everything stays bound unless `withdraw`."""
        if withdraw:
            self._wanted = frozenset()
            self._complete = True
            self._ask(_WITHDRAW_MOST)
        self._stopped = True
        self._wake.set()

    def bind(self, addresses: frozenset[Network]) -> None:
        """Adds to what must be bound; waits until it was tried, a second at most."""
        self._wanted |= addresses
        self._ask()

    def unbind(self, addresses: frozenset[Network]) -> None:
        """Takes from what must be bound; waits likewise."""
        self._wanted -= addresses
        self._ask()

    def complete(self) -> None:
        """All that must be bound is known; what is ours beyond it goes."""
        self._complete = True
        self._ask()

    def foreign(self) -> frozenset[Network]:
        """What is wanted and was bound by somebody else before; it is used and left alone."""
        return self._foreign

    def ours(self) -> frozenset[Network]:
        """What is to be bound here, and what the journal says that we bound."""
        return self._wanted.union(network for _, network in self._journal.entries)

    def _ask(self, seconds: float = _WAIT_MOST) -> None:
        self._done.clear()
        self._wake.set()
        self._done.wait(timeout=seconds)

    def _run(self, beat: Beat) -> None:
        while not self._stopped:
            beat()
            self._wake.clear()
            settled = self._attempt()
            if not self._wake.is_set():  # else what was asked for meanwhile is yet to be tried
                self._done.set()
            self._wake.wait(timeout=_CHECK_EVERY if settled else _RETRY_EVERY)

    def _attempt(self) -> bool:
        try:
            self.converge()
        except (IpError, JournalError) as error:
            if str(error) not in self._complained:
                self._complained.add(str(error))
                LOG.error("binding addresses: %s; it is tried again", error)
            return False
        self._complained.clear()
        return True

    def converge(self) -> None:
        """Brings the kernel to what is wanted; raises IpError, JournalError."""
        place = self._place()
        wanted = self._wanted if place is not None else frozenset()
        try:
            if place is not None:
                self._add(place, wanted)
        finally:
            if self._complete:
                self._scrub(place, wanted)
        if place is not None:
            self._seen = self._ip.bound(place) & wanted if wanted else frozenset()
            metrics.bound_ips.set(len(self._seen & self._ours(place)))
            missing = wanted - self._seen
            if missing:
                raise IpError(f"{len(missing)} addresses are not bound, {_first(missing)} first")

    def _place(self) -> Place | None:
        if self._mode == "none":
            return None
        if self._mode != "address":
            return Place(self._mode, self._table)
        interface = self._interface or self._ip.main_interface()
        if interface is None:
            raise IpError("there is no default route whose interface could be used")
        return Place("address", interface)

    def _ours(self, place: Place) -> frozenset[Network]:
        return frozenset(network for where, network in self._journal.entries if where == place)

    def _add(self, place: Place, wanted: frozenset[Network]) -> None:
        if not wanted:
            return
        if place.mode != "address":
            self._keep_defaults()
        actual = self._ip.bound(place)
        missing = wanted - actual
        foreign = (wanted & actual) - self._ours(place)
        for network in foreign - self._foreign:
            LOG.warning("%s was bound before by somebody else and is left alone", network)
        self._foreign = foreign
        if not missing:
            return
        metrics.bound_ip_repairs.inc(len(missing & self._seen))
        for network in missing & self._seen:
            LOG.warning("%s had been removed and is bound again", network)
        self._journal.save(self._journal.entries | {(place, network) for network in missing})
        self._batch([(place, network) for network in missing], adding=True)

    def _scrub(self, place: Place | None, wanted: frozenset[Network]) -> None:
        stale = [
            (where, network)
            for where, network in self._journal.entries
            if where != place or network not in wanted
        ]
        if not stale:
            return
        present = {where: self._bound_there(where) for where in {place for place, _ in stale}}
        complaint: IpError | None = None
        try:
            self._batch([entry for entry in stale if entry[1] in present[entry[0]]], adding=False)
        except IpError as error:
            complaint = error  # what did go is noted all the same
        remaining = {where: self._bound_there(where) for where in present}
        kept = self._journal.entries - {
            entry for entry in stale if entry[1] not in remaining[entry[0]]
        }
        self._drop_defaults(present.keys() - {where for where, _ in kept})
        self._journal.save(kept)
        if complaint is not None:
            raise complaint

    def _bound_there(self, place: Place) -> frozenset[Network]:
        try:
            return self._ip.bound(place, marked=True)
        except IpError:
            if place.mode == "address":
                return frozenset()  # the interface is gone, and its addresses with it
            raise

    def _batch(self, entries: list[Entry], adding: bool) -> None:
        """Runs all of it, whatever fails; raises IpError with the first complaint."""
        complaint: IpError | None = None
        for version in (4, 6):
            lines = [
                place.add(network) if adding else place.remove(network)
                for place, network in sorted(entries, key=lambda entry: str(entry[1]))
                if network.version == version
            ]
            try:
                self._ip.batch(lines, version)
            except IpError as error:
                complaint = complaint or error
        if complaint is not None:
            raise complaint

    def _keep_defaults(self) -> None:
        kind = _DEFAULT_OF[self._mode]
        for version in {network.version for network in self._wanted}:
            there = self._ip.defaults(self._table, version)
            if kind in (kind_there for kind_there, _ in there):
                continue
            if not all(marked for _, marked in there):
                raise IpError(f"table {self._table} has a foreign default route, left alone")
            for mode, kind_of_mode in _DEFAULT_OF.items():  # of an earlier run in another mode
                if (kind_of_mode, True) in there:
                    self._ip.remove_default(mode, self._table, version)
            self._ip.add_default(self._mode, self._table, version)

    def _drop_defaults(self, places: set[Place]) -> None:
        for place in places:
            if place.mode == "address":
                continue
            for version in (4, 6):
                if (_DEFAULT_OF[place.mode], True) in self._ip.defaults(place.where, version):
                    self._ip.remove_default(place.mode, place.where, version)


def _first(networks: frozenset[Network]) -> str:
    return min(str(network) for network in networks)
