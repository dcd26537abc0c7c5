"""The HTTP endpoints for the state of the instance, its peers and nodes, and the stream of changes
(docs/http.md)."""

from __future__ import annotations

import itertools
import platform
from http import HTTPStatus
from ipaddress import ip_network
from typing import Any

import ryu
from ryu.app.wsgi import ControllerBase, route
from webob import Request, Response

from porter_ryu import report_nodes, report_peers, report_status, report_switches, rfc3339
from porter_ryu.domain.ports import NOT_KNOWN
from porter_ryu.domain.text import listed, quoted
from porter_ryu.http import catalogue, responses
from porter_ryu.http.context import NAME, Shared, record
from porter_ryu.http.query import SEQUENCE, QueryError, number, parameters, subject
from porter_ryu.time_slice import TimeSlice
from porter_ryu.version import VERSION


class StateController(ControllerBase):  # type: ignore[misc]
    """One method for each path; Ryu makes an instance for each request."""

    def __init__(self, req: Request, link: object, data: dict[str, Shared], **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self._shared = data[NAME]
        self._context = data[NAME].context

    @route(NAME, "/v1", methods=["GET"])  # type: ignore[untyped-decorator]
    def index(self, req: Request, **_: Any) -> Response:
        """The paths of this interface."""
        return responses.tagged_value(req, {"version": VERSION, "paths": catalogue.index()})

    @route(NAME, "/v1/version", methods=["GET"])  # type: ignore[untyped-decorator]
    def version(self, req: Request, **_: Any) -> Response:
        """The versions of this program and what it runs on."""
        return responses.tagged_value(req, self._version())

    def _version(self) -> dict[str, Any]:
        began = self._context.started_at
        history = self._context.history
        incomplete = {kind.value: rfc3339.text(at) for kind, at in history.incomplete().items()}
        return {
            "version": VERSION,
            "python": platform.python_version(),
            "ryu": ryu.version,
            "startedAt": rfc3339.text(began),
            "recordedSince": rfc3339.text(history.complete_since(began)),
            "incompleteBefore": incomplete,
        }

    @route(NAME, "/v1/config", methods=["GET"])  # type: ignore[untyped-decorator]
    def config(self, req: Request, **_: Any) -> Response:
        """The settings in force, and what the files say otherwise; without secrets."""
        return responses.tagged_value(req, self._context.config())

    @route(NAME, "/v1/status", methods=["GET"])  # type: ignore[untyped-decorator]
    def status(self, req: Request, **_: Any) -> Response:
        """Whether all is well, and what hurts most."""
        return responses.tagged_value(req, self._shared.status.get(), report_status.VOLATILE)

    @route(NAME, "/v1/peers", methods=["GET"])  # type: ignore[untyped-decorator]
    def peers(self, req: Request, **_: Any) -> Response:
        """The BGP sessions."""
        return responses.tagged_value(req, self._context.peers(), report_peers.VOLATILE)

    @route(NAME, "/v1/peers/{name}", methods=["GET"])  # type: ignore[untyped-decorator]
    def peer(self, req: Request, name: str, **_: Any) -> Response:
        """One BGP session; 404 if there is none of that name."""
        entries = self._context.peers()
        for entry in entries:
            if entry["name"] == name:
                return responses.tagged_value(req, entry, report_peers.VOLATILE)
        return _no_session(name, entries)

    @route(NAME, "/v1/peers/{name}/routes", methods=["GET"])  # type: ignore[untyped-decorator]
    def peer_routes(self, req: Request, name: str, **_: Any) -> Response:
        """What is announced in a session now, or in all sessions with the peer of that name; with
        `prefix` what concerns that alone; with `last` what was sent last in those that are down."""
        given = parameters(req)
        last = given.get("last", "false")
        if last not in ("true", "false"):
            reason = f"last: {quoted(last)} is not true and not false"
            return responses.error(HTTPStatus.BAD_REQUEST, reason)
        try:
            text = given.get("prefix")
            prefix = None if text is None else ip_network(text, strict=False)
        except ValueError:
            reason = f"prefix: {quoted(text or '')} is no address and no prefix"
            return responses.error(HTTPStatus.BAD_REQUEST, reason)
        entries = self._context.peers()
        names = [entry["name"] for entry in entries if name in (entry["name"], entry["peer"])]
        table = self._context.last_table if last == "true" else self._context.peer_table
        tables = {session: table(session) for session in names}
        found = {session: table for session, table in tables.items() if table is not None}
        if not found:
            return _no_session(name, entries)
        routes = (report_peers.routes(session, found[session].paths(prefix)) for session in found)
        chained = itertools.chain.from_iterable(routes)
        return responses.tagged_list(req, self._shared.long_responses, chained)

    @route(NAME, "/v1/switches", methods=["GET"])  # type: ignore[untyped-decorator]
    def switches(self, req: Request, **_: Any) -> Response:
        """The OpenFlow switches."""
        entries = self._context.switches()
        return responses.tagged_value(req, entries, report_switches.VOLATILE)

    @route(NAME, "/v1/nodes", methods=["GET"])  # type: ignore[untyped-decorator]
    def nodes(self, req: Request, **_: Any) -> Response:
        """The nodes as next hops."""
        return responses.tagged_value(req, self._shared.nodes.get())

    @route(NAME, "/v1/nodes/{name}", methods=["GET"])  # type: ignore[untyped-decorator]
    def node(self, req: Request, name: str, **_: Any) -> Response:
        """One node and the Services that depend on it; 404 if there is none of that name."""
        context = self._context
        entry = report_nodes.node(
            context.planner, context.routes(), name, record(context), TimeSlice()
        )
        if not entry["found"]:
            source = context.health().source
            entry["why"] = source.on_absence(entry["why"])
            entry["reason"] = NOT_KNOWN if source.unread else entry["reason"]
            return responses.json_value(entry, HTTPStatus.NOT_FOUND)
        return responses.tagged_value(req, entry)

    @route(NAME, "/v1/stream", methods=["GET"])  # type: ignore[untyped-decorator]
    def stream(self, req: Request, **_: Any) -> Response:
        """The changes from now on as server-sent events; after `since` or Last-Event-ID, if the
        request has one, and with `about` only those about a subject."""
        feed = self._shared.feed
        try:
            query = parameters(req)
            after = str(req.headers.get("Last-Event-ID", query.get("since", feed.last)))
            since = number("Last-Event-ID or since", after, SEQUENCE)
            about = subject(query.get("about"))
        except QueryError as error:
            return responses.error(HTTPStatus.BAD_REQUEST, str(error))
        events = feed.events(since, about, {**self._version(), "sequence": feed.last})
        return responses.event_stream(self._shared.streams, events)


def _no_session(name: str, entries: list[dict[str, Any]]) -> Response:
    """404; names the sessions of a peer that has several."""
    sessions = [entry["name"] for entry in entries if entry["peer"] == name]
    if sessions:
        text = f"the peer {quoted(name)} has several sessions: ask for {' or '.join(sessions)}"
    else:
        names = listed(list(dict.fromkeys(quoted(str(entry["peer"])) for entry in entries)))
        there = f"the peers are {names}" if names else "there are no peers"
        text = f"there is no peer and no session {quoted(name)}; {there}"
    return responses.error(HTTPStatus.NOT_FOUND, text)
