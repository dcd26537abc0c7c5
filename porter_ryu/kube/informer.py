"""Lists and watches one kind for ever, and reports its objects to the Observer as Readings.

A watch that ends is resumed from the last resourceVersion.  After 410 Gone, or an error after which
it cannot be resumed, the kind is listed again, and the observer finds the difference.  A server
whose store was restored from a backup accepts a watch from a resourceVersion that it does not have
yet, and reports nothing.  So a watch that broke is resumed only if the server's resourceVersion is
not below ours.

An object that cannot be understood is reported as Unreadable and affects no other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.json import Decoder
from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.domain.objects import Object, Reading, Unreadable
from porter_ryu.domain.ports import Observer
from porter_ryu.kube import metav1
from porter_ryu.kube.codec import Codec, Identity, identity
from porter_ryu.kube.errors import BAD_ANSWER, GONE, LABELS, ApiError, CodecError
from porter_ryu.kube.json_text import Text, decoded
from porter_ryu.kube.pace import Pace
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_TROUBLE_AFTER_SECONDS = 10.0
_ERROR_CODES = range(400, 600)
_OBJECT_EVENTS = ("ADDED", "MODIFIED", "DELETED")
_ENDED = "Ended"
RESTART_REASONS = (_ENDED, *LABELS)
"""The reasons for which a kind is listed or watched again, for the label of a metric."""
_MAX_VERSION_DIGITS = 30
_NAMED, _STATUS = Decoder(metav1.NamedObject), Decoder(metav1.Status)


class Lister(Protocol):
    """The requests of an informer (`client.Client`)."""

    def pages(self, kind: Kind) -> Iterator[tuple[Sequence[Text], str]]:
        """All objects as JSON, page by page, each with the resourceVersion; raises ApiError."""

    def version(self, kind: Kind) -> str:
        """The resourceVersion that a list would have now; raises ApiError."""

    def watch(self, kind: Kind, resource_version: str) -> Iterator[metav1.WatchEvent]:
        """Starts a watch and returns its events; both raise ApiError."""


class _Watch(Struct):
    """The result of a watch: the resourceVersion to resume from (empty: list again), the number of
    events, and the error if the API server could not be reached."""

    version: str
    events: int = 0
    unreachable: ApiError | None = None
    retry_after: float | None = None


class Informer:
    """Reads one kind."""

    def __init__(
        self,
        kind: Kind,
        lister: Lister,
        codec: Codec,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = hub.sleep,
    ) -> None:
        self._kind = kind
        self._lister = lister
        self._codec = codec
        self._clock = clock
        self._sleep = sleep
        self._versions: dict[ObjectKey, int] = {}
        self._newest_version = 0
        self._written_meanwhile: dict[ObjectKey, Object] | None = None
        self._stopped = False
        self._interrupted = False
        self._failing_since: float | None = None
        self._failure = ""
        self.listed = hub.Event()
        # when an event was read, a list was complete, and a watch was begun, last: Unix time
        self.last_event: float | None = None
        self.last_watch: float | None = None
        self.last_list: float | None = None

    def stop(self) -> None:
        """Stops reporting."""
        self._stopped = True

    @property
    def trouble(self) -> str:
        """Why the kind cannot be read, once that has lasted for more than 10 s; else empty."""
        since = self._failing_since
        return (
            self._failure
            if since is not None and self._clock() - since > _TROUBLE_AFTER_SECONDS
            else ""
        )

    def run(self, observer: Observer) -> None:
        """Lists and watches until stopped, with backoff on errors."""
        pace = Pace()
        version = ""
        while not self._stopped:
            try:
                if self._interrupted and version and self._is_behind(version):
                    version = ""
                if not version:
                    pace.listed(self._clock())
                    version = self.list_once(observer)
            except ApiError as error:
                version = self._failed(error, version)
                self._pause(pace.refused(error, self._clock()))
                continue
            begun_at = self._clock()
            watch = self._watch(version, observer)
            version = watch.version
            now = self._clock()
            if watch.unreachable is not None:
                self._pause(pace.refused(watch.unreachable, now))
                continue
            wait = pace.ended(now - begun_at, watch.events, now, watch.retry_after)
            if wait and not self._interrupted:
                metrics.watch_restarts.labels(self._kind.value, _ENDED).inc()
                LOG.info("%s: the watch ended immediately", self._kind.value)
            self._pause(wait)

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and not self._stopped:
            self._sleep(seconds)

    def list_once(self, observer: Observer) -> str:
        """Lists the kind, reports it and returns the resourceVersion; raises ApiError."""
        self._written_meanwhile = {}
        version, read_at = "", time.monotonic()
        found: dict[ObjectKey, Reading] = {}
        versions: dict[ObjectKey, int] = {}
        give_way = TimeSlice()
        for items, page_version in self._lister.pages(self._kind):
            version, read_at = page_version, time.monotonic()
            for item in items:
                named = self._identify(item)
                if named is not None:
                    key = named.key
                    found[key] = self._read(key, item)
                    versions[key] = _number(named.version)
                give_way()
        answered, self._written_meanwhile = self._written_meanwhile, None
        for key in answered.keys() & versions.keys() & self._versions.keys():
            # the object was written while this list was read, and the answer is newer.  Otherwise
            # the list is right even if its versions are older: the store may be from a backup
            if self._versions[key] > versions[key]:
                found[key], versions[key] = answered[key], self._versions[key]
        for key in self._versions.keys() - versions.keys():
            del self._versions[key]
        self._versions.update(versions)  # keeps the keys that the objects have
        self._newest_version = _number(version)
        self._written_meanwhile = {}
        observer.replace(self._kind, found.values(), read_at)
        answered, self._written_meanwhile = self._written_meanwhile, None
        for reading in answered.values():
            # the object was written while the list was stored, so an older form may have replaced
            # it; the watch does not report it again
            observer.put(reading, time.monotonic())
        self.listed.set()
        self.last_list = time.time()
        return version

    def _is_behind(self, version: str) -> bool:
        """Whether the server's resourceVersion is below ours; raises ApiError."""
        behind = _number(self._lister.version(self._kind)) < _number(version)
        if behind:
            LOG.warning(
                "%s: listing again: the server's resourceVersion is below ours", self._kind.value
            )
        return behind

    def _reads_again(self) -> None:
        self._interrupted = False
        if self._failing_since is not None:
            LOG.info("%s can be read again", self._kind.value)
        self._failing_since, self._failure = None, ""

    def _failed(self, error: ApiError, version: str) -> str:
        """The resourceVersion to resume from after a request that failed."""
        metrics.watch_restarts.labels(kind=self._kind.value, reason=error.label).inc()
        self._interrupted = True
        self._failure = str(error)
        if self._failing_since is None:
            self._failing_since = self._clock()
        if error.status == GONE:
            LOG.info("%s: listing again: our resourceVersion is too old", self._kind.value)
            return ""
        LOG.warning("%s cannot be read, the last state stays: %s", self._kind.value, error)
        return "" if error.status or error.reason == BAD_ANSWER else version

    def _watch(self, version: str, observer: Observer) -> _Watch:
        """Watches from a resourceVersion until the watch ends."""
        watch = _Watch(version)
        try:
            events = self._lister.watch(self._kind, version)
        except ApiError as error:
            watch.version = self._failed(error, version)
            watch.unreachable, watch.retry_after = (
                None if error.status else error,
                error.retry_after,
            )
            return watch
        self.last_watch = time.time()
        self._reads_again()
        try:
            self._handle_events(events, watch, observer)
        except ApiError as error:
            metrics.watch_restarts.labels(kind=self._kind.value, reason=error.label).inc()
            self._interrupted = True
            watch.retry_after = error.retry_after
            if error.status or error.reason == BAD_ANSWER:
                LOG.info("%s: listing again: the watch ended with: %s", self._kind.value, error)
                watch.version = ""
            else:
                LOG.warning("%s: the watch broke and is resumed: %s", self._kind.value, error)
        return watch

    def _handle_events(
        self, events: Iterator[metav1.WatchEvent], watch: _Watch, observer: Observer
    ) -> None:
        give_way = TimeSlice()
        for event in events:
            if self._stopped:
                return
            watch.version = self._handle_event(event, observer) or watch.version
            watch.events += 1
            give_way()

    def _handle_event(self, event: metav1.WatchEvent, observer: Observer) -> str:
        """Handles one event; returns the resourceVersion to resume from, empty if the event has
        none.  Raises ApiError if the watch cannot continue."""
        read_at = time.monotonic()
        if event.type == "ERROR":
            raise _watch_error(event.object)
        self.last_event = time.time()
        named = self._identify(event.object) if event.type in _OBJECT_EVENTS else None
        if named is not None and event.type == "DELETED":
            self._versions.pop(named.key, None)
            observer.remove(self._kind, named.key, read_at)
        elif named is not None:
            self._report(named, event.object, observer, read_at)
        version = named.version if named is not None else _version_of(event.object)
        if version:
            self._newest_version = _number(version)
        return version

    def _report(self, named: Identity, text: Text, observer: Observer, read_at: float) -> None:
        """Reports an object, unless this form or a newer one was reported."""
        key, version = named.key, _number(named.version)
        if not self._is_new(key, version):
            return
        self._versions[key] = version
        observer.put(self._read(key, text), read_at)

    def accept(self, text: Text) -> Object | None:
        """Reads the answer to a write.  None if it cannot be understood, if the watch reported it
        already, or if it is older than what is known, for example that the object was deleted."""
        named = self._identify(text)
        if named is None:
            return None
        key, version = named.key, _number(named.version)
        if not self._is_new(key, version):
            return None
        reading = self._read(key, text)
        if isinstance(reading, Unreadable):
            return None
        self._versions[key] = version
        if self._written_meanwhile is not None:
            self._written_meanwhile[key] = reading
        return reading

    def _is_new(self, key: ObjectKey, version: int) -> bool:
        """Whether neither this form of an object nor a newer one is known, from the watch or as the
        answer to a write; one without a version (0) may be another form."""
        known = self._versions.get(key)
        if version and version == known:
            return False
        return version >= (self._newest_version if known is None else known)

    def _identify(self, text: Text) -> Identity | None:
        """Name and resourceVersion of an object; None, and a log line, if it has no name."""
        try:
            return identity(self._kind, text)
        except CodecError as error:
            LOG.error("one of the %s is left out: %s", self._kind.value, error)
            return None

    def _read(self, key: ObjectKey, text: Text) -> Reading:
        reading = self._codec.read(self._kind, key, text)
        if isinstance(reading, Unreadable):
            LOG.error("%s %s: %s; its last valid form stays", self._kind.value, key, reading.reason)
        return reading


def _watch_error(text: Text) -> ApiError:
    """The error that ends a watch (metav1.Status); 410 if its code is not an error code."""
    try:
        status = decoded(_STATUS, text)
    except CodecError as error:
        return ApiError(GONE, BAD_ANSWER, str(error))
    code = status.code if status.code is not None and status.code in _ERROR_CODES else GONE
    after = status.details.retry_after_seconds if status.details is not None else None
    return ApiError(code, status.reason or "", status.message or "", after or 0)


def _version_of(text: Text) -> str:
    """The resourceVersion of an object, which may be without a name; empty if it has none."""
    try:
        meta = decoded(_NAMED, text).metadata
    except CodecError:
        return ""
    version = meta.resource_version if meta is not None else None
    return version if isinstance(version, str) else ""


def _number(version: str) -> int:
    """A resourceVersion as a number, 0 if it is none.  They can be compared since Kubernetes 1.35
    (KEP-5504), and in practice before."""
    plain = version.isascii() and version.isdigit() and len(version) <= _MAX_VERSION_DIGITS
    return int(version) if plain else 0
