"""Keeps the wanted addresses bound, and unbinds all others that this program has bound.

One greenthread compares what is wanted with the kernel: after each change and every few seconds.
So an ordinary change, a retry and a repair are the same thing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ryu.lib import hub

from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import Network
from porter_ryu.node.binder import Binder, Notices
from porter_ryu.node.binding_journal import BindingJournal, BindingJournalError
from porter_ryu.node.command import RefusedError
from porter_ryu.node.iproute import IpError, IpRoute
from porter_ryu.supervisor import Beat, Supervisor, Task

LOG = logging.getLogger(__name__)

_CHECK_INTERVAL_SECONDS = 5.0
_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS = 1.0, 30.0
_STALL_TIMEOUT_SECONDS = 120.0
_WAIT_MAX_SECONDS = 1.0
_WITHDRAW_MAX_SECONDS = 30.0  # no later run removes what is left then


class BoundIps:
    """A BindingTarget in one mode.  `interface` empty: that of the default route."""

    def __init__(
        self,
        mode: str,
        interface: str,
        table: int,
        journal: BindingJournal,
        ip: IpRoute,
        notices: Notices,
        supervisor: Supervisor,
    ) -> None:
        self._supervisor = supervisor
        self._journal = journal
        self._binder = Binder(mode, interface, str(table), journal, ip, notices)
        self._mode = mode
        # called with addresses, whether they were bound or unbound, and why; '' if a turn wanted it
        self.on_change: Callable[[frozenset[Network], bool, str], None] = _ignore
        self._wanted: frozenset[Network] = frozenset()
        self._complete = False
        self._withdrawing = self._withdrawn = False
        self._stopped = False
        self._last_error = ""
        self._failing = False
        self._backoff = Backoff(_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS)
        self._wake = hub.Event()
        self._done = hub.Event()

    def start(self) -> Task:
        """Starts the greenthread and returns its task."""
        return self._supervisor.keep_running("bound addresses", self._run, _STALL_TIMEOUT_SECONDS)

    def stop(self, withdraw: bool = False, seconds: float = _WITHDRAW_MAX_SECONDS) -> str:
        """Ends the greenthread.  Everything stays bound unless `withdraw`.

        With `withdraw`, returns within these seconds one sentence about the addresses that are
        still bound; empty if there are none.
        """
        remaining = self._withdraw(seconds) if withdraw else ""
        self._stopped = True
        self._wake.set()
        return remaining

    def bind(self, addresses: frozenset[Network]) -> None:
        """Adds wanted addresses.  Waits until binding them was tried, one second at most; does not
        wait if all are wanted already, or while `ip` or the disk fails."""
        if self._withdrawing or addresses <= self._wanted:
            return
        self._wanted |= addresses
        self._request_round()

    def unbind(self, addresses: frozenset[Network]) -> None:
        """Removes wanted addresses; waits like `bind`."""
        if addresses.isdisjoint(self._wanted):
            return
        self._wanted -= addresses
        self._request_round()

    def complete(self) -> None:
        """All wanted addresses are known: the others that are ours are unbound from now on."""
        self._complete = True
        self._request_round()

    def foreign(self) -> frozenset[Network]:
        """Wanted addresses that somebody else has bound; they are used and left alone."""
        return self._binder.foreign

    @property
    def last_error(self) -> str:
        """Why the last round failed; empty if it succeeded."""
        return self._last_error

    @property
    def count(self) -> int:
        """How many addresses of ours were bound after the last round."""
        return self._binder.count

    def wants_or_has(self, address: Network) -> bool:
        """Whether an address is wanted, or bound by us according to the journal."""
        return address in self._wanted or self._journal.has(address)

    def _request_round(self) -> None:
        self._done.clear()
        self._wake.set()
        if not self._failing:
            self._done.wait(timeout=_WAIT_MAX_SECONDS)

    def _withdraw(self, seconds: float) -> str:
        self._withdrawing = self._complete = True
        self._wanted = frozenset()
        self._backoff.reset()
        deadline = time.monotonic() + seconds
        while True:
            self._done.clear()
            self._wake.set()
            self._done.wait(timeout=max(0.0, deadline - time.monotonic()))
            remaining = self._remaining()
            if not remaining:
                return self._lost_with_journal()
            if time.monotonic() >= deadline:
                LOG.error("withdrawn, but %s", remaining)
                return remaining

    def _remaining(self) -> str:
        """A sentence about our addresses that are still bound, as far as they are known."""
        if self._journal.read_error:
            return f"the bound addresses are not known: {self._journal.read_error}"
        networks = [str(network) for _, network in self._journal.bindings]
        why = self._last_error or "ip did not answer in time"
        if not networks:
            return "" if self._withdrawn else why
        first = min(networks)
        return f"{len(networks)} addresses could not be unbound, the first is {first}: {why}"

    def _lost_with_journal(self) -> str:
        """A sentence about addresses that only the lost part of a damaged journal had."""
        if not self._journal.damage or self._mode != "address":
            return ""
        text = f"addresses of an earlier run may still be bound, because {self._journal.damage}"
        LOG.error("withdrawn, but %s", text)
        return text

    def _run(self, beat: Beat) -> None:
        while not self._stopped:
            self._wake.clear()
            withdrawing = self._withdrawing
            pause = self._try_round(beat)
            known = not self._last_error or not self._journal.damage
            self._withdrawn = withdrawing and known and not self._journal.bindings
            if not self._wake.is_set():  # else another round is requested already
                self._done.set()
            for change in self._binder.pop_changes():
                hub.sleep(0)  # the turn that waits for this round announces first
                self.on_change(change.networks, change.is_bound, change.why)
            if self._failing:
                # requests do not shorten this part of the wait
                hub.sleep(min(pause, _RETRY_FIRST_SECONDS))
                pause = max(0.0, pause - _RETRY_FIRST_SECONDS)
            self._wake.wait(timeout=pause)

    def _try_round(self, beat: Beat) -> float:
        """Runs one round; returns the seconds until the next one."""
        try:
            self._binder.converge(self._wanted, self._complete, beat)
        except (IpError, BindingJournalError) as error:
            self._last_error = str(error)
            LOG.error("cannot bind addresses, it is retried: %s", error)
            # a refused address must not delay the others
            self._failing = not isinstance(error, RefusedError)
            pause = self._backoff.next()
            return pause if self._failing else min(pause, _CHECK_INTERVAL_SECONDS)
        self._last_error, self._failing = "", False
        self._backoff.reset()
        return _CHECK_INTERVAL_SECONDS


def _ignore(_networks: frozenset[Network], _is_bound: bool, _why: str) -> None:
    """Until there is an observer."""
