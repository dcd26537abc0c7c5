"""Brings the kernel to what is wanted, once: the journal first, then binding, then unbinding.

A step that fails does not keep the others from being tried.  What could not be read never counts
as gone, and what is bound and wanted is unbound only where it is bound somewhere better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from porter_ryu import metrics
from porter_ryu.domain.model import Network
from porter_ryu.node import tables
from porter_ryu.node.interfaces import Interfaces, Link
from porter_ryu.node.iproute import IpError, IpRoute, Place
from porter_ryu.node.journal import Entry, Journal, JournalError
from porter_ryu.node.process import RefusedError
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_NOTHING: frozenset[Network] = frozenset()


@dataclass(slots=True)
class _Round:
    """One look at everything; `place` is where addresses are to be bound, None where it is not
    known or nothing is wanted."""

    wanted: frozenset[Network]
    complete: bool
    alive: Callable[[], None]
    place: Place | None = None


class Binder:
    """Binds in one mode; `interface` empty means that of the default route.

    `foreign` is what is wanted and was bound by somebody else: it is used and left alone.
    `bound` is how many addresses of ours were bound at the last look.
    """

    def __init__(
        self, mode: str, interface: str, table: str, journal: Journal, ip: IpRoute
    ) -> None:
        self.foreign = _NOTHING
        self.bound = 0
        self._mode = mode
        self._interface = interface
        self._table = table
        self._journal = journal
        self._ip = ip
        self._view: Interfaces | None = None
        self._used: Place | None = None
        self._seen = _NOTHING
        self._adopted = False
        self._give_way = TimeSlice()

    def converge(
        self, wanted: frozenset[Network], complete: bool, alive: Callable[[], None]
    ) -> None:
        """Binds what is wanted; with `complete` unbinds what is ours beyond it.

        `alive` is called now and then.  Raises the first IpError or JournalError, when the rest
        was tried all the same.
        """
        self._journal.require()
        self._look()
        this = _Round(wanted if self._mode != "none" else _NOTHING, complete, alive)
        first: IpError | JournalError | None = None
        steps = (self._adopt, self._bind, self._unbind, self._write, self._account)
        for step in steps:
            alive()
            try:
                step(this)
            except (IpError, JournalError) as error:
                first = first or error
        if first is not None:
            raise first

    def _adopt(self, _this: _Round) -> None:
        """Rules carry our mark: what a damaged journal does not say of them any more is ours."""
        if self._journal.damage and self._mode in tables.DEFAULT_OF and not self._adopted:
            place = Place(self._mode, self._table)
            self._journal.add((place, n) for n in self._ip.rules(self._table, marked=True))
            self._adopted = True

    def _bind(self, this: _Round) -> None:
        self.foreign, known = _NOTHING, self.foreign
        if not this.wanted:
            return
        place = this.place = self._place()
        if place.mode != "address":
            versions = {network.version for network in this.wanted}
            tables.keep_defaults(self._ip, place, versions)
        actual, own, ours = self._bound(place), self._own(), self._ours(place)
        self.foreign = this.wanted & ((actual - ours) | own)
        for network in self.foreign - known:
            self._give_way()
            LOG.warning("%s was bound before by somebody else and is left alone", network)
        self._give_way()
        missing = this.wanted - actual - own
        if not missing:
            return
        metrics.bound_ip_repairs.inc(len(missing & self._seen))
        for network in missing & self._seen:
            self._give_way()
            LOG.warning("%s had been removed and is bound again", network)
        entries = [(place, network) for network in missing]
        try:
            self._journal.add(entries)
        finally:  # what was on disk before
            self._batch([e for e in entries if e in self._journal.entries], True, this.alive)

    def _unbind(self, this: _Round) -> None:
        if not this.complete:
            return
        here = self._bound(this.place) if this.place is not None else _NOTHING
        stale = set()
        for place, network in self._journal.entries:
            self._give_way()
            moved = not place.same(this.place) and (network in here or network in self.foreign)
            if moved or network not in this.wanted:
                stale.add((place, network))
        if not stale:
            return
        before = {place: self._bound(place, marked=True) for place in {p for p, _ in stale}}
        try:
            self._batch([e for e in stale if e[1] in before[e[0]]], False, this.alive)
        finally:  # what did go is noted all the same
            after = {place: self._bound(place, marked=True) for place in before}
            gone = frozenset(entry for entry in stale if entry[1] not in after[entry[0]])
            self._give_way()
            in_use = {place for place, _ in self._journal.entries - gone} | {this.place}
            tables.drop_defaults(self._ip, before.keys() - in_use)
            self._journal.remove(gone)

    def _write(self, _this: _Round) -> None:
        self._journal.write()

    def _account(self, this: _Round) -> None:
        """Notes what is bound now; raises IpError where something is not."""
        if this.place is None:
            if not this.wanted:
                self._seen = _NOTHING
            self.bound = len(self._journal.entries)
            return
        self._seen = self._bound(this.place) & this.wanted
        self._give_way()
        self.bound = len(self._seen & self._ours(this.place))
        self._give_way()
        missing = this.wanted - self._seen - self.foreign
        if missing:
            first = min(str(network) for network in missing)
            raise RefusedError(f"{len(missing)} addresses are not bound, {first} first")

    # -- where ------------------------------------------------------------------------------------

    def _place(self) -> Place:
        """Where to bind; raises IpError where that is not known."""
        if self._mode != "address":
            return Place(self._mode, self._table)
        last = self._last()
        if self._interface:
            found = self._interfaces().named(self._interface)
            obstacle = f"there is no interface {self._interface}"
        else:
            found = self._of_default_route(last)
            obstacle = "there is no default route whose interface could be used"
        link = found or last
        if link is None:
            raise RefusedError(obstacle)
        if found is None:
            LOG.warning("%s: addresses stay on %s, where they are", obstacle, link.name)
        place = Place("address", link.name, link.index)
        if self._used is not None and self._used.index != place.index:
            LOG.warning("addresses go from %s to %s", self._used.where, place.where)
            self._seen = _NOTHING
        elif self._used is not None and self._used != place:
            LOG.warning("interface %s is called %s now", self._used.where, place.where)
        self._used = place
        return place

    def _of_default_route(self, last: Link | None) -> Link | None:
        """The interface that was used last while the default route has it, else the first."""
        names = self._ip.main_interfaces()
        if last is not None and last.name in names:
            return last
        return self._interfaces().named(names[0]) if names else None

    def _last(self) -> Link | None:
        """The interface that was used last, by this run or, for most addresses, an earlier one;
        None where it is gone."""
        interfaces = self._interfaces()
        if self._used is not None and (link := interfaces.at(self._used.index)):
            return link
        indexes = [place.index for place, _ in self._journal.entries if place.mode == "address"]
        most = max(sorted(set(indexes)), key=indexes.count, default=0)
        return interfaces.at(most)

    # -- the kernel -------------------------------------------------------------------------------

    def _look(self) -> None:
        """Looks at the interfaces anew where they matter; raises IpError."""
        self._view = None
        modes = {self._mode} | {place.mode for place, _ in self._journal.entries}
        if "address" in modes:
            self._interfaces()

    def _interfaces(self) -> Interfaces:
        """The interfaces as they are since something was changed; the journal follows them."""
        if self._view is None:
            self._view = self._ip.interfaces()
            self._journal.follow(self._view)
        return self._view

    def _bound(self, place: Place, marked: bool = False) -> frozenset[Network]:
        """What is bound at a place, whoever bound it.  `marked`: of rules only those with our
        mark; addresses have none, and of them the journal alone knows whose they are."""
        if place.mode == "address":
            lone = self._interfaces().lone(place.index)
            self._give_way()
            return lone
        return self._ip.rules(place.where, marked)

    def _own(self) -> frozenset[Network]:
        return self._interfaces().own() if self._mode == "address" else _NOTHING

    def _ours(self, place: Place) -> frozenset[Network]:
        ours = set()
        for where, network in self._journal.entries:
            self._give_way()
            if where.same(place):
                ours.add(network)
        return frozenset(ours)

    def _batch(self, entries: Iterable[Entry], adding: bool, alive: Callable[[], None]) -> None:
        """Runs all of it, whatever is refused; raises IpError with the first complaint."""
        self._view, complaint = None, None
        ordered = sorted(entries, key=lambda entry: int(entry[1].network_address))
        lines: dict[int, list[str]] = {4: [], 6: []}
        for place, network in ordered:
            self._give_way()
            line = place.add(network) if adding else place.remove(network)
            lines[network.version].append(line)
        for version, batch in lines.items():
            try:
                self._ip.batch(batch, version, alive)
            except IpError as error:
                complaint = complaint or error
        if complaint is not None:
            raise complaint
