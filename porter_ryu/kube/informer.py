"""List and watch of one kind, for ever: what is there goes to the Observer, as a Reading.

A watch that ends goes on from where it was; 410 Gone, or anything that cannot be gone on from,
is a new list whose difference is what is told.  A server whose store came back from a backup lets
a watch from its former future begin, and tells nothing by it: so one that broke is gone on with
only where the server has not fallen behind.

An object that cannot be understood is told as Unreadable and costs nobody else anything; the
domain knows what stays in force of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec.json import Decoder
from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.domain.objects import Object, Reading, Unreadable
from porter_ryu.domain.ports import Observer
from porter_ryu.kube import metav1
from porter_ryu.kube.codec import Codec, Identity, identity
from porter_ryu.kube.errors import BAD_ANSWER, GONE, ApiError, CodecError
from porter_ryu.kube.json_text import Text, decoded
from porter_ryu.kube.pace import Pace
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_TROUBLE_AFTER = 10.0
_CODES = range(400, 600)
_ABOUT_OBJECTS = ("ADDED", "MODIFIED", "DELETED")
_DIGITS_MOST = 30
_NAMED, _STATUS = Decoder(metav1.NamedObject), Decoder(metav1.Status)


class Lister(Protocol):
    """What an informer reads from (`client.Client`)."""

    def pages(self, kind: Kind) -> Iterator[tuple[Sequence[Text], str]]:
        """All objects as JSON, page by page, each with the resourceVersion; raises ApiError."""

    def version(self, kind: Kind) -> str:
        """The resourceVersion that a list would have now; raises ApiError."""

    def watch(self, kind: Kind, resource_version: str) -> Iterator[metav1.WatchEvent]:
        """Begins a watch and returns its events from there on; both raise ApiError."""


@dataclass
class _Watch:
    """How a watch went: what to go on from (empty: a list), how many events it had, and the error
    where the API server was not even reached."""

    version: str
    events: int = 0
    unheard: ApiError | None = None
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
        self._told = 0
        self._answered: dict[ObjectKey, Object] | None = None
        self._stopped = False
        self._broken = False
        self._failing_since: float | None = None
        self._failure = ""
        self.listed = hub.Event()

    def stop(self) -> None:
        """Nothing is told any more."""
        self._stopped = True

    @property
    def trouble(self) -> str:
        """Why the kind cannot be read, once that has lasted for more than 10 s; else empty."""
        since = self._failing_since
        return self._failure if since is not None and self._clock() - since > _TROUBLE_AFTER else ""

    def run(self, observer: Observer) -> None:
        """Lists and watches until stopped; waits longer and longer while it fails."""
        pace = Pace()
        version = ""
        while not self._stopped:
            try:
                if self._broken and version and self._is_behind(version):
                    version = ""
                if not version:
                    pace.listed(self._clock())
                    version = self.list_once(observer)
            except ApiError as error:
                version = self._failed(error, version)
                self._pause(pace.refused(error, self._clock()))
                continue
            begun_at = self._clock()
            went = self._follow(version, observer)
            version = went.version
            now = self._clock()
            if went.unheard is not None:
                self._pause(pace.refused(went.unheard, now))
                continue
            wait = pace.ended(now - begun_at, went.events, now, went.retry_after)
            if wait and not self._broken:
                metrics.watch_restarts.labels(kind=self._kind.value, reason="Ended").inc()
                LOG.info("%s: the watch ended as soon as it had begun", self._kind.value)
            self._pause(wait)

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and not self._stopped:
            self._sleep(seconds)

    def list_once(self, observer: Observer) -> str:
        """Lists, tells all of it, and returns the resourceVersion; raises ApiError."""
        self._answered = {}
        version, read_at = "", time.monotonic()
        found: dict[ObjectKey, Reading] = {}
        versions: dict[ObjectKey, int] = {}
        give_way = TimeSlice()
        for items, of_page in self._lister.pages(self._kind):
            version, read_at = of_page, time.monotonic()
            for item in items:
                named = self._named(item)
                if named is not None:
                    key = named.key
                    found[key] = self._read(key, item)
                    versions[key] = _number(named.version)
                give_way()
        answered, self._answered = self._answered, None
        for key in answered.keys() & versions.keys() & self._versions.keys():
            # a write was answered while this list was made.  Before that, a list is the truth even
            # where its versions are older: the server's store may come from a backup
            if self._versions[key] > versions[key]:
                found[key], versions[key] = answered[key], self._versions[key]
        self._versions = versions
        self._told = _number(version)
        self._answered = {}
        observer.replace(self._kind, found.values(), read_at)
        answered, self._answered = self._answered, None
        for reading in answered.values():
            # a write was answered while the list was stored, which may have put an older form in
            # its place; the watch does not repeat it
            observer.put(reading, time.monotonic())
        self.listed.set()
        return version

    def _is_behind(self, version: str) -> bool:
        """Whether the server does not know yet what it told before; raises ApiError."""
        behind = _number(self._lister.version(self._kind)) < _number(version)
        if behind:
            LOG.warning("%s: the server has fallen behind, they are listed again", self._kind.value)
        return behind

    def _is_read(self) -> None:
        self._broken = False
        if self._failing_since is not None:
            LOG.info("%s are read again", self._kind.value)
        self._failing_since, self._failure = None, ""

    def _failed(self, error: ApiError, version: str) -> str:
        """What to go on from after a request that the API server did not grant."""
        metrics.watch_restarts.labels(kind=self._kind.value, reason=error.label).inc()
        self._broken = True
        self._failure = str(error)
        if self._failing_since is None:
            self._failing_since = self._clock()
        if error.status == GONE:
            LOG.info("%s: too old to go on from, they are listed again", self._kind.value)
            return ""
        LOG.warning("%s cannot be read: %s; nothing is changed", self._kind.value, error)
        return "" if error.status or error.reason == BAD_ANSWER else version

    def _follow(self, version: str, observer: Observer) -> _Watch:
        """Watches from a version on until the watch ends, and says how it went."""
        went = _Watch(version)
        try:
            events = self._lister.watch(self._kind, version)
        except ApiError as error:
            went.version = self._failed(error, version)
            went.unheard, went.retry_after = None if error.status else error, error.retry_after
            return went
        self._is_read()
        try:
            self._take_all(events, went, observer)
        except ApiError as error:
            metrics.watch_restarts.labels(kind=self._kind.value, reason=error.label).inc()
            self._broken = True
            went.retry_after = error.retry_after
            if error.status or error.reason == BAD_ANSWER:
                LOG.info("%s are listed again: the watch ended with: %s", self._kind.value, error)
                went.version = ""
            else:
                LOG.warning("%s are watched again: %s", self._kind.value, error)
        return went

    def _take_all(
        self, events: Iterator[metav1.WatchEvent], went: _Watch, observer: Observer
    ) -> None:
        give_way = TimeSlice()
        for event in events:
            if self._stopped:
                return
            went.version = self._take(event, observer) or went.version
            went.events += 1
            give_way()

    def _take(self, event: metav1.WatchEvent, observer: Observer) -> str:
        """Takes in one event; returns the resourceVersion to go on from, empty where it says
        none; raises ApiError where the watch cannot go on."""
        read_at = time.monotonic()
        if event.type == "ERROR":
            raise _told_error(event.object)
        named = self._named(event.object) if event.type in _ABOUT_OBJECTS else None
        if named is not None and event.type == "DELETED":
            self._versions.pop(named.key, None)
            observer.remove(self._kind, named.key, read_at)
        elif named is not None:
            self._there(named, event.object, observer, read_at)
        version = named.version if named is not None else _version_of(event.object)
        if version:
            self._told = _number(version)
        return version

    def _there(self, named: Identity, text: Text, observer: Observer, read_at: float) -> None:
        """Reports an object, unless a newer form of it is known, or this one was reported."""
        key, version = named.key, _number(named.version)
        if version < self._versions.get(key, self._told):
            return
        if version and version == self._versions.get(key):
            return  # the answer to a write was reported; the watch repeats it
        self._versions[key] = version
        observer.put(self._read(key, text), read_at)

    def accept(self, text: Text) -> Object | None:
        """Takes in what the server answered to a write; None where it is older than what is
        known, as that the object is gone, or cannot be understood."""
        named = self._named(text)
        if named is None:
            return None
        key, version = named.key, _number(named.version)
        if version < self._versions.get(key, self._told):
            return None
        reading = self._read(key, text)
        if isinstance(reading, Unreadable):
            return None
        self._versions[key] = version
        if self._answered is not None:
            self._answered[key] = reading
        return reading

    def _named(self, text: Text) -> Identity | None:
        """What names an object; None, and a line in the log, where nothing does."""
        try:
            return identity(self._kind, text)
        except CodecError as error:
            LOG.error("one of the %s is left out: %s", self._kind.value, error)
            return None

    def _read(self, key: ObjectKey, text: Text) -> Reading:
        reading = self._codec.read(self._kind, key, text)
        if isinstance(reading, Unreadable):
            LOG.error(
                "%s %s: %s; what was last good of it stays", self._kind.value, key, reading.reason
            )
        return reading


def _told_error(text: Text) -> ApiError:
    """The error that a watch ends with (metav1.Status); 410 where its code is none."""
    try:
        status = decoded(_STATUS, text)
    except CodecError as error:
        return ApiError(GONE, BAD_ANSWER, str(error))
    code = status.code if status.code is not None and status.code in _CODES else GONE
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
    """A resourceVersion as a number: comparable as of Kubernetes 1.35 (KEP-5504), and in practice
    before; 0 where it is none."""
    plain = version.isascii() and version.isdigit() and len(version) <= _DIGITS_MOST
    return int(version) if plain else 0
