"""Makes the kernel match what is wanted, once: writes the journal, then binds, then unbinds.

A step that fails does not keep the others from being tried.  An address that could not be read does
not count as gone.  An address that is wanted is unbound at an old place only when it is bound at
the new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from msgspec import Struct

from porter_ryu import metrics
from porter_ryu.domain.model import Network
from porter_ryu.node import tables
from porter_ryu.node.binding_journal import Binding, BindingJournal, BindingJournalError
from porter_ryu.node.command import RefusedError
from porter_ryu.node.interfaces import Interfaces, Link
from porter_ryu.node.iproute import IpError, IpRoute, Place
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_NOTHING: frozenset[Network] = frozenset()


class _Round(Struct):
    """One call of `converge`.  `place`: where addresses are to be bound; None if that is not known
    or nothing is wanted.  `adding`: those that have to be bound now, `repaired` those of them that
    were bound by an earlier call."""

    wanted: frozenset[Network]
    complete: bool
    beat: Callable[[], None]
    place: Place | None = None
    adding: frozenset[Network] = _NOTHING
    repaired: frozenset[Network] = _NOTHING


class BindingChange(NamedTuple):
    """Addresses that were bound, or unbound; `why` is empty if that was wanted newly."""

    networks: frozenset[Network]
    is_bound: bool
    why: str = ""


class Notices(Protocol):
    """Tells the other hosts on a link what was bound."""

    def give(self, link: Link, addresses: Iterable[Network]) -> None:
        """These addresses are bound on an interface from now on."""

    def stop(self, addresses: Iterable[Network]) -> None:
        """These addresses will be unbound."""


class Binder:
    """Binds in one mode.  `interface` empty: that of the default route.

    `foreign`: wanted addresses that somebody else has bound; they are used and left alone.
    `count`: how many addresses of ours were bound after the last round.
    """

    def __init__(
        self,
        mode: str,
        interface: str,
        table: str,
        journal: BindingJournal,
        ip: IpRoute,
        notices: Notices,
    ) -> None:
        self.foreign = _NOTHING
        self.count = 0
        self._mode = mode
        self._interface = interface
        self._table = table
        self._journal = journal
        self._ip = ip
        self._notices = notices
        self._cached: Interfaces | None = None
        self._last_place: Place | None = None
        self._last_bound = _NOTHING
        self._untold = _NOTHING
        self._adopted = False
        self._changes: list[BindingChange] = []
        self._give_way = TimeSlice()

    def converge(
        self, wanted: frozenset[Network], complete: bool, beat: Callable[[], None]
    ) -> None:
        """Binds what is wanted.  With `complete`, unbinds everything else that is ours.

        Calls `beat` now and then.  Raises the first IpError or BindingJournalError after all steps
        were tried.
        """
        self._journal.ensure_read()
        self._read_interfaces()
        round_ = _Round(wanted if self._mode != "none" else _NOTHING, complete, beat)
        first_error: IpError | BindingJournalError | None = None
        steps = (
            self._adopt_rules,
            self._bind,
            self._unbind,
            self._write_journal,
            self._check_result,
            self._give_notice,
        )
        for step in steps:
            beat()
            try:
                step(round_)
            except (IpError, BindingJournalError) as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error

    def pop_changes(self) -> list[BindingChange]:
        """What was bound and unbound since the last call."""
        changes, self._changes = self._changes, []
        return [change for change in changes if change.networks]

    def _adopt_rules(self, _round: _Round) -> None:
        """Adds the rules with our protocol to a damaged journal that may have lost them."""
        if self._journal.damage and self._mode in tables.ROUTE_TYPE and not self._adopted:
            place = Place(self._mode, self._table)
            self._journal.add((place, n) for n in self._ip.rules(self._table, ours_only=True))
            self._adopted = True

    def _bind(self, round_: _Round) -> None:
        self.foreign, known = _NOTHING, self.foreign
        if not round_.wanted:
            return
        place = round_.place = self._find_place()
        if place.mode != "address":
            versions = {network.version for network in round_.wanted}
            tables.ensure_default_routes(self._ip, place, versions)
        bound, own, ours = self._bound_at(place), self._own_addresses(), self._ours_at(place)
        self.foreign = round_.wanted & ((bound - ours) | own)
        for network in self.foreign - known:
            self._give_way()
            LOG.warning("%s is already bound by somebody else, left alone", network)
        self._give_way()
        missing = round_.wanted - bound - own
        if not missing:
            return
        round_.adding, round_.repaired = missing, missing & self._last_bound
        metrics.bound_ip_repairs.inc(len(round_.repaired))
        for network in round_.repaired:
            self._give_way()
            LOG.warning("%s was removed and is bound again", network)
        bindings = [(place, network) for network in missing]
        try:
            self._journal.add(bindings)
        finally:  # if the disk is full, those that the journal has are still bound
            recorded = [entry for entry in bindings if entry in self._journal.bindings]
            self._untold |= {network for _, network in recorded}
            self._run_batch(recorded, True, round_.beat)

    def _unbind(self, round_: _Round) -> None:
        if not round_.complete:
            return
        here = self._bound_at(round_.place) if round_.place is not None else _NOTHING
        stale = set()
        for place, network in self._journal.bindings:
            self._give_way()
            elsewhere = not place.is_same_as(round_.place)
            moved = elsewhere and (network in here or network in self.foreign)
            if moved or network not in round_.wanted:
                stale.add((place, network))
        if not stale:
            return
        self._notices.stop(network for _, network in stale if network not in round_.wanted)
        places = {place for place, _ in stale}
        before = {place: self._bound_at(place, ours_only=True) for place in places}
        try:
            present = [entry for entry in stale if entry[1] in before[entry[0]]]
            self._run_batch(present, False, round_.beat)
        finally:  # those that were unbound leave the journal although others failed
            after = {place: self._bound_at(place, ours_only=True) for place in before}
            gone = frozenset(entry for entry in stale if entry[1] not in after[entry[0]])
            self._give_way()
            in_use = {place for place, _ in self._journal.bindings - gone} | {round_.place}
            tables.remove_default_routes(self._ip, before.keys() - in_use)
            self._journal.remove(gone)
            unbound = {network for _, network in gone} - round_.wanted
            self._changes.append(BindingChange(frozenset(unbound), False))

    def _write_journal(self, _round: _Round) -> None:
        self._journal.write()

    def _check_result(self, round_: _Round) -> None:
        """Reads what is bound now; raises IpError if a wanted address is not."""
        if round_.place is None:
            if not round_.wanted:
                self._last_bound = _NOTHING
            self.count = len(self._journal.bindings)
            return
        self._last_bound = self._bound_at(round_.place) & round_.wanted
        added = round_.adding & self._last_bound
        self._changes.append(BindingChange(added - round_.repaired, True))
        self._changes.append(BindingChange(added & round_.repaired, True, "it had been removed"))
        self._give_way()
        self.count = len(self._last_bound & self._ours_at(round_.place))
        self._give_way()
        missing = round_.wanted - self._last_bound - self.foreign
        if missing:
            first = min(str(network) for network in missing)
            raise RefusedError(f"{len(missing)} addresses are not bound, the first is {first}")

    def _give_notice(self, round_: _Round) -> None:
        """Tells the hosts on the link of the addresses that were bound since the last time."""
        told = self._untold & self._last_bound & round_.wanted
        self._untold = (self._untold & round_.wanted) - told
        if round_.place is None or round_.place.mode != "address" or not told:
            return
        link = self._interfaces().at(round_.place.index)
        if link is not None:
            self._notices.give(link, told)

    # -- where to bind ----------------------------------------------------------------------------

    def _find_place(self) -> Place:
        """Where to bind; raises IpError if that is not known."""
        if self._mode != "address":
            return Place(self._mode, self._table)
        last = self._last_link()
        if self._interface:
            found = self._interfaces().named(self._interface)
            obstacle = f"there is no interface {self._interface}"
        else:
            found = self._default_link(last)
            obstacle = "there is no default route whose interface could be used"
        link = found or last
        if link is None:
            raise RefusedError(obstacle)
        if found is None:
            LOG.warning("%s: addresses stay on %s", obstacle, link.name)
        place = Place("address", link.name, link.index)
        if self._last_place is not None and self._last_place.index != place.index:
            LOG.warning("addresses move from %s to %s", self._last_place.where, place.where)
            self._last_bound = _NOTHING
        elif self._last_place is not None and self._last_place != place:
            LOG.warning("interface %s was renamed to %s", self._last_place.where, place.where)
        self._last_place = place
        return place

    def _default_link(self, last: Link | None) -> Link | None:
        """The interface of the default route: the last used one if it is among them, else the
        first."""
        names = self._ip.default_routes().interfaces
        if last is not None and last.name in names:
            return last
        return self._interfaces().named(names[0]) if names else None

    def _last_link(self) -> Link | None:
        """The interface that was used last: by this run or, for most addresses, by an earlier one.
        None if it has gone."""
        interfaces = self._interfaces()
        if self._last_place is not None and (link := interfaces.at(self._last_place.index)):
            return link
        indexes = [place.index for place, _ in self._journal.bindings if place.mode == "address"]
        most_frequent = max(sorted(set(indexes)), key=indexes.count, default=0)
        return interfaces.at(most_frequent)

    # -- the kernel -------------------------------------------------------------------------------

    def _read_interfaces(self) -> None:
        """Reads the interfaces again if this mode or the journal needs them; raises IpError."""
        self._cached = None
        modes = {self._mode} | {place.mode for place, _ in self._journal.bindings}
        if "address" in modes:
            self._interfaces()

    def _interfaces(self) -> Interfaces:
        """The interfaces since the last change.  Reading them updates the journal."""
        if self._cached is None:
            self._cached = self._ip.interfaces()
            self._journal.update_interfaces(self._cached)
        return self._cached

    def _bound_at(self, place: Place, ours_only: bool = False) -> frozenset[Network]:
        """What is bound at a place, by us or by others.  `ours_only`: only rules with our protocol;
        addresses have no such mark, only the journal knows which of them are ours."""
        if place.mode == "address":
            addresses = self._interfaces().host_prefixes_on(place.index)
            self._give_way()
            return addresses
        return self._ip.rules(place.where, ours_only)

    def _own_addresses(self) -> frozenset[Network]:
        return self._interfaces().own_addresses() if self._mode == "address" else _NOTHING

    def _ours_at(self, place: Place) -> frozenset[Network]:
        ours = set()
        for where, network in self._journal.bindings:
            self._give_way()
            if where.is_same_as(place):
                ours.add(network)
        return frozenset(ours)

    def _run_batch(
        self, bindings: Iterable[Binding], adding: bool, beat: Callable[[], None]
    ) -> None:
        """Adds or removes all bindings, also after a refusal; raises the first IpError."""
        self._cached, first_error = None, None
        ordered = sorted(bindings, key=lambda entry: int(entry[1].network_address))
        lines: dict[int, list[str]] = {4: [], 6: []}
        for place, network in ordered:
            self._give_way()
            line = place.add_line(network) if adding else place.remove_line(network)
            lines[network.version].append(line)
        for version, batch in lines.items():
            try:
                self._ip.batch(batch, version, beat)
            except IpError as error:
                first_error = first_error or error
        if first_error is not None:
            raise first_error
