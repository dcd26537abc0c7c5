"""Keeps the addresses bound that should be, and nothing of ours beyond them.

One greenthread compares what should be with what `ip` says there is, when something is asked for
and every few seconds; so a repair, a retry and an ordinary change are the same thing.
"""

from __future__ import annotations

import logging
import time

from ryu.lib import hub

from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import Network
from porter_ryu.node.binder import Binder
from porter_ryu.node.iproute import IpError, IpRoute
from porter_ryu.node.journal import Journal, JournalError
from porter_ryu.node.process import RefusedError
from porter_ryu.supervisor import Beat, Supervisor, Task

LOG = logging.getLogger(__name__)

_CHECK_EVERY = 5.0
_RETRY_FIRST, _RETRY_MOST = 1.0, 30.0
_STALLS_AFTER = 120.0
_WAIT_MOST = 1.0
_WITHDRAW_MOST = 30.0  # nobody scrubs after the last run


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
        self._journal = journal
        self._binder = Binder(mode, interface, str(table), journal, ip)
        self._mode = mode
        self._wanted: frozenset[Network] = frozenset()
        self._complete = False
        self._withdrawing = self._taken_back = False
        self._stopped = False
        self._trouble = ""
        self._failing = False
        self._backoff = Backoff(_RETRY_FIRST, _RETRY_MOST)
        self._wake = hub.Event()
        self._done = hub.Event()

    def start(self) -> Task:
        """Spawns the greenthread, and returns it for who wants to wait for its end."""
        return self._supervisor.keep_running("bound addresses", self._run, _STALLS_AFTER)

    def stop(self, withdraw: bool = False, seconds: float = _WITHDRAW_MOST) -> str:
        """Ends it; everything stays bound unless `withdraw`.

        Returns, within these seconds, what is known to be left of what should be taken back, in
        one sentence; empty where nothing is.
        """
        complaint = self._withdraw(seconds) if withdraw else ""
        self._stopped = True
        self._wake.set()
        return complaint

    def bind(self, addresses: frozenset[Network]) -> None:
        """Adds to what must be bound; waits until it was tried, a second at most, and not at all
        where nothing is new or while `ip` or the disk fails."""
        if self._withdrawing or addresses <= self._wanted:
            return
        self._wanted |= addresses
        self._ask()

    def unbind(self, addresses: frozenset[Network]) -> None:
        """Takes from what must be bound; waits likewise."""
        if addresses.isdisjoint(self._wanted):
            return
        self._wanted -= addresses
        self._ask()

    def complete(self) -> None:
        """All that must be bound is known; what is ours beyond it goes."""
        self._complete = True
        self._ask()

    def foreign(self) -> frozenset[Network]:
        """What is wanted and was bound by somebody else before; it is used and left alone."""
        return self._binder.foreign

    @property
    def trouble(self) -> str:
        """Why the last try failed; empty where it did not."""
        return self._trouble

    @property
    def count(self) -> int:
        """How many addresses of ours were bound at the last look."""
        return self._binder.bound

    def ours(self) -> frozenset[Network]:
        """What is to be bound here, and what the journal says that we bound."""
        return self._wanted.union(network for _, network in self._journal.entries)

    def _ask(self) -> None:
        self._done.clear()
        self._wake.set()
        if not self._failing:
            self._done.wait(timeout=_WAIT_MOST)

    def _withdraw(self, seconds: float) -> str:
        self._withdrawing = self._complete = True
        self._wanted = frozenset()
        self._backoff.reset()
        deadline = time.monotonic() + seconds
        while True:
            self._done.clear()
            self._wake.set()
            self._done.wait(timeout=max(0.0, deadline - time.monotonic()))
            left = self._left()
            if not left:
                return self._forgotten()
            if time.monotonic() >= deadline:
                LOG.error("withdrawn, but %s", left)
                return left

    def _left(self) -> str:
        """What is ours and still bound, as far as that is known."""
        if self._journal.unread:
            return f"what is bound is not known: {self._journal.unread}"
        networks = [str(network) for _, network in self._journal.entries]
        why = self._trouble or "ip did not answer in time"
        if not networks:
            return "" if self._taken_back else why
        return f"{len(networks)} addresses could not be unbound, {min(networks)} first: {why}"

    def _forgotten(self) -> str:
        """What may be left that only the part of the journal told which is lost."""
        if not self._journal.damage or self._mode != "address":
            return ""
        text = f"what was bound before is left where {self._journal.damage}"
        LOG.error("withdrawn, but %s", text)
        return text

    def _run(self, beat: Beat) -> None:
        while not self._stopped:
            self._wake.clear()
            withdrawing = self._withdrawing
            pause = self._attempt(beat)
            known = not self._trouble or not self._journal.damage
            self._taken_back = withdrawing and known and not self._journal.entries
            if not self._wake.is_set():  # else what was asked for meanwhile is yet to be tried
                self._done.set()
            if self._failing:
                hub.sleep(min(pause, _RETRY_FIRST))  # however often something is asked for
                pause = max(0.0, pause - _RETRY_FIRST)
            self._wake.wait(timeout=pause)

    def _attempt(self, beat: Beat) -> float:
        """Tries once; returns after how many seconds to try again."""
        try:
            self._binder.converge(self._wanted, self._complete, beat)
        except (IpError, JournalError) as error:
            self._trouble = str(error)
            LOG.error("binding addresses: %s; it is tried again", error)
            # an address that the kernel refuses holds up no other
            self._failing = not isinstance(error, RefusedError)
            pause = self._backoff.next()
            return pause if self._failing else min(pause, _CHECK_EVERY)
        self._trouble, self._failing = "", False
        self._backoff.reset()
        return _CHECK_EVERY
