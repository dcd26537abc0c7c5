"""Leader election: only the holder of the Lease (coordination.k8s.io/v1) allocates and writes.

Only the clock of this host counts: a Lease has expired when it did not change for its duration as
seen from here, so a wrong clock on another host has no effect.  An invalid Lease is reported and
read again.

The holder renews the Lease as it was answered last time, without reading it: if another instance
has written it since, the server refuses that (its resourceVersion), and the Lease is read.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from ryu.lib import hub

from porter_ryu import rfc3339
from porter_ryu.domain.ports import Role
from porter_ryu.kube import structs
from porter_ryu.kube.errors import CONFLICT, ApiError
from porter_ryu.kube.json_text import Json, converted
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

NAME = "porter-ryu"
DURATION_SECONDS = 10
_MAX_DURATION_SECONDS = 60
_RENEW_DEADLINE_SECONDS = 7.0
_RETRY_SECONDS = 2.0
_AFTER_EXPIRY_SECONDS = 0.05
_STALLED_AFTER_SECONDS = 30.0
_MAX_TRANSITIONS = 2**31 - 1
_NO_SPEC = structs.LeaseSpec()
# other clients can write a Lease as well, so its content may be invalid
_FAILURES = (ApiError, ValueError, TypeError, ArithmeticError)


class Requests(Protocol):
    """The client that reads and writes the Lease (`client.Client`)."""

    def request(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Json | None = None
    ) -> Json:
        """Sends a request and returns the response; raises ApiError."""


class Lease:
    """Tries to acquire and renew the Lease, and calls `on_change` with the role of this instance.

    `prepare` is called before the Lease is acquired, because the new holder must know everything
    that the last holder wrote.  It may raise ApiError.  `tried` is set after the first attempt.
    """

    def __init__(
        self,
        client: Requests,
        namespace: str,
        prepare: Callable[[], None],
        on_change: Callable[[Role], None],
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._client = client
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{NAME}"
        self._prepare = prepare
        self._on_change = on_change
        self._identity = f"{socket.gethostname()}_{os.getpid()}_{os.urandom(4).hex()}"
        self._observed: Any = None  # holder and renewTime
        self._held: Json | None = None  # the Lease as this instance wrote it last
        self._expires_at = 0.0
        self._renewed_at: float | None = None
        self._stopped = False
        self.tried = hub.Event()

    def start(self) -> None:
        """Starts the greenthreads."""
        self._supervisor.keep_running("lease", self._run)
        self._supervisor.keep_running("lease guard", self._guard, _STALLED_AFTER_SECONDS)

    def stop(self) -> None:
        """Releases the Lease."""
        self._stopped = True
        if self._renewed_at is not None:
            self._change(Role.UNKNOWN)
            try:
                self.attempt(release=True)
            except _FAILURES as error:
                LOG.warning("the Lease cannot be released: %s", error)

    def _run(self, beat: Beat) -> None:
        while not self._stopped:
            beat()
            try:
                self.attempt()
            except _FAILURES as error:
                LOG.warning("the Lease cannot be acquired or renewed: %s", error)
            self.tried.set()
            hub.sleep(self._wait_seconds())

    def _wait_seconds(self) -> float:
        """The wait before the next attempt: at most until just after the Lease expires."""
        remaining = self._expires_at - self._clock()
        if remaining <= 0:
            return _RETRY_SECONDS
        return min(_RETRY_SECONDS, remaining + _AFTER_EXPIRY_SECONDS)

    def _guard(self, beat: Beat) -> None:
        """Steps down before the Lease can look expired to another instance."""
        while not self._stopped:
            beat()
            if self._renewed_at is not None and self._left() <= 0:
                self._change(Role.UNKNOWN)
            hub.sleep(self._left() if self._renewed_at is not None else _RETRY_SECONDS / 4)

    def _left(self) -> float:
        """Until when this instance may lead without another renewal, in seconds from now."""
        return (self._renewed_at or 0.0) + _RENEW_DEADLINE_SECONDS - self._clock()

    def attempt(self, release: bool = False) -> None:
        """Renews the Lease, or reads it once and acquires it if possible; with `release`, releases
        it.

        Raises ApiError, or CodecError if the Lease is invalid.
        """
        started = self._clock()
        if self._renew(started):
            return
        lease = self._client.request("GET", self._path)
        spec = converted(structs.Lease, lease).spec or _NO_SPEC
        holder = spec.holder_identity or ""
        held_by_other = holder not in ("", self._identity)
        observed = (holder, spec.renew_time or "")
        renewed = held_by_other and self._observed not in (None, observed)
        if observed != self._observed:
            duration = spec.lease_duration_seconds
            duration = DURATION_SECONDS if duration is None else duration
            self._observed = observed
            self._expires_at = started + min(duration, _MAX_DURATION_SECONDS)
        if held_by_other and started < self._expires_at:
            if renewed or self._renewed_at is not None:
                self._change(Role.FOLLOWER)
            return
        if self._stopped is not release:
            return
        if self._renewed_at is None and not release:
            self._prepare()
            started = self._clock()
        self._write(lease, spec, started, release)

    def _renew(self, started: float) -> bool:
        """Renews the Lease that this instance holds; returns False where it has to be read first.
        Raises ApiError."""
        held, self._held = self._held, None
        if held is None or self._stopped:
            return False
        try:
            self._write(held, converted(structs.Lease, held).spec or _NO_SPEC, started)
        except ApiError as error:
            if error.status != CONFLICT:
                raise
            return False
        return True

    def _write(
        self, lease: Json, before: structs.LeaseSpec, started: float, release: bool = False
    ) -> None:
        """Writes the Lease, which is refused if it is not as it was read or answered, and leads if
        the answer is in time; `started` is when that was asked for.  Raises ApiError."""
        wanted = self._renewed(lease, before, release)
        answer = self._client.request("PUT", self._path, None, wanted)
        if release or self._stopped:
            return
        self._observed = (self._identity, wanted["spec"]["renewTime"])
        self._expires_at = started + DURATION_SECONDS
        self._renewed_at = started
        if self._left() <= 0:  # the answer took so long that another may lead
            self._change(Role.UNKNOWN)
            return
        self._held = answer
        self._change(Role.LEADER)

    def _renewed(self, lease: Json, before: structs.LeaseSpec, release: bool) -> Json:
        """The Lease with what this program writes of it; whatever else it has stays."""
        stamp = rfc3339.now(microseconds=True)
        spec = dict(lease.get("spec") or {})
        spec["holderIdentity"] = "" if release else self._identity
        spec["leaseDurationSeconds"] = 1 if release else DURATION_SECONDS
        spec["renewTime"] = stamp
        if before.holder_identity != self._identity and not release:
            spec["acquireTime"] = stamp
            transitions = (before.lease_transitions or 0) + 1
            spec["leaseTransitions"] = min(transitions, _MAX_TRANSITIONS)
        return {**lease, "spec": spec}

    def _change(self, role: Role) -> None:
        if role is not Role.LEADER:
            self._renewed_at = self._held = None
        self._on_change(role)
