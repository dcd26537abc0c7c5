"""Which instance may allocate and write: the one that holds the Lease (coordination.k8s.io/v1).

Time is this host's own: a Lease has expired when it did not change for its duration as seen from
here, so that a wrong clock somewhere else changes nothing.  A Lease that is odd is reported, and
looked at again.
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
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.json_text import Json, converted
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

NAME = "porter-ryu"
DURATION = 10
_DURATION_MOST = 60
_RENEW_WITHIN = 7.0
_EVERY = 2.0
_LEAST = 0.05
_STALLS_AFTER = 30.0
_TRANSITIONS_MOST = 2**31 - 1
_NO_SPEC = structs.LeaseSpec()
# what is in a Lease is not ours alone to write
_ODD = (ApiError, ValueError, TypeError, ArithmeticError)


class Requests(Protocol):
    """What the Lease is read and written by (`client.Client`)."""

    def request(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: Json | None = None
    ) -> Json:
        """One request and its answer; raises ApiError."""


class Lease:
    """Tries for the Lease as long as it runs and tells `on_change` what is known of who leads.

    `prepare` is called before it is taken: who takes it has to know all that the last holder
    wrote.  It may raise ApiError.
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
        self._seen: Any = None
        self._expires_at = 0.0
        self._renewed_at: float | None = None
        self._stopped = False

    def start(self) -> None:
        """Spawns its greenthreads."""
        self._supervisor.keep_running("lease", self._run)
        self._supervisor.keep_running("lease guard", self._guard, _STALLS_AFTER)

    def stop(self) -> None:
        """Gives the Lease up."""
        self._stopped = True
        if self._renewed_at is not None:
            self._change(Role.UNKNOWN)
            try:
                self.attempt(release=True)
            except _ODD as error:
                LOG.warning("the Lease was not given up: %s", error)

    def _run(self, beat: Beat) -> None:
        while not self._stopped:
            beat()
            try:
                self.attempt()
            except _ODD as error:
                LOG.warning("the Lease cannot be kept: %s", error)
            hub.sleep(self._patience())

    def _patience(self) -> float:
        """How long to wait before it is looked at again, in seconds: not beyond its expiry."""
        left = self._expires_at - self._clock()
        return min(_EVERY, left + _LEAST) if left > 0 else _EVERY

    def _guard(self, beat: Beat) -> None:
        """Steps down before anybody else could take the Lease for expired."""
        while not self._stopped:
            beat()
            if self._renewed_at is not None and self._age() > _RENEW_WITHIN:
                self._change(Role.UNKNOWN)
            hub.sleep(_EVERY / 4)

    def _age(self) -> float:
        return self._clock() - (self._renewed_at or 0.0)

    def attempt(self, release: bool = False) -> None:
        """Looks at the Lease once, and takes or renews it where that may be, or gives it up;
        raises ApiError, and CodecError where it is odd."""
        started = self._clock()
        lease = self._client.request("GET", self._path)
        spec = converted(structs.Lease, lease).spec or _NO_SPEC
        holder = spec.holder_identity or ""
        others = holder not in ("", self._identity)
        seen = (holder, spec.renew_time or "")
        alive = others and self._seen not in (None, seen)
        if seen != self._seen:
            duration = spec.lease_duration_seconds
            duration = DURATION if duration is None else duration
            self._seen, self._expires_at = seen, started + min(duration, _DURATION_MOST)
        if others and started < self._expires_at:
            if alive or self._renewed_at is not None:
                self._change(Role.FOLLOWER)
            return
        if self._stopped is not release:
            return
        if self._renewed_at is None and not release:
            self._prepare()
            started = self._clock()
        self._client.request("PUT", self._path, None, self._renewed(lease, spec, release))
        if not release:
            self._renewed_at = started
            self._change(Role.LEADER)

    def _renewed(self, lease: Json, before: structs.LeaseSpec, release: bool) -> Json:
        """The Lease with what this program writes of it; whatever else it has stays."""
        stamp = rfc3339.now(microseconds=True)
        spec = dict(lease.get("spec") or {})
        spec["holderIdentity"] = "" if release else self._identity
        spec["leaseDurationSeconds"] = 1 if release else DURATION
        spec["renewTime"] = stamp
        if before.holder_identity != self._identity and not release:
            spec["acquireTime"] = stamp
            transitions = (before.lease_transitions or 0) + 1
            spec["leaseTransitions"] = min(transitions, _TRANSITIONS_MOST)
        return {**lease, "spec": spec}

    def _change(self, role: Role) -> None:
        if role is not Role.LEADER:
            self._renewed_at = None
        self._on_change(role)
