"""The HTTP endpoints: health, readiness, metrics and the state as JSON (docs/configuration.md).

They hold no state: each response is made from the running parts at the time of the request.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl

from prometheus_client import CONTENT_TYPE_LATEST
from ryu.app.wsgi import ControllerBase, WSGIApplication, route
from webob import Request, Response

from porter_ryu import report, report_changes
from porter_ryu.domain.model import ObjectKey
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import one_line, quoted
from porter_ryu.history.change import Change
from porter_ryu.history.record import History
from porter_ryu.history.subject import About
from porter_ryu.http import responses, stop_rules
from porter_ryu.http.exposition import Exposition, ProcessState
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

NAME = "porter_ryu"
_MAX_LONG_RESPONSES = 3
_MAX_SINCE_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Context:
    """What the endpoints need from the running parts.

    `faults` returns a sentence for each unhealthy task.  `unready` returns why the instance is not
    ready, '' if it is.  `stop` takes (withdraw, stay) and ends the instance; the process ends as
    well unless `stay` is true.  `token` is the control token that a stop request must carry.
    """

    planner: Planner
    faults: Callable[[], tuple[str, ...]]
    unready: Callable[[], str]
    peers: report.Peers
    sent: report.Sent
    process: ProcessState
    stop: Callable[[bool, bool], None]
    token: str
    history: History


@dataclass(frozen=True, slots=True)
class _Shared:
    """State that all requests share."""

    context: Context
    exposition: Exposition
    long_responses: responses.ConcurrencyLimit = field(
        default_factory=lambda: responses.ConcurrencyLimit(_MAX_LONG_RESPONSES)
    )


def register(wsgi: WSGIApplication, context: Context) -> None:
    """Adds the routes to Ryu's WSGI application."""
    exposition = Exposition(context.planner, context.peers, context.process)
    wsgi.register(HttpController, {NAME: _Shared(context, exposition)})


class HttpController(ControllerBase):  # type: ignore[misc]
    """One method for each path; Ryu makes an instance for each request."""

    def __init__(self, req: Request, link: object, data: dict[str, _Shared], **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self._context = data[NAME].context
        self._exposition = data[NAME].exposition
        self._long_responses = data[NAME].long_responses

    @route(NAME, "/healthz", methods=["GET"])  # type: ignore[untyped-decorator]
    def healthz(self, _req: Request, **_: Any) -> Response:
        """200 while the event loop runs and every task is alive; else 503 and one line a fault."""
        faults = [one_line(fault) for fault in self._context.faults()]
        return _plain_text("\n".join(faults), "the event loop runs and every task is alive")

    @route(NAME, "/readyz", methods=["GET"])  # type: ignore[untyped-decorator]
    def readyz(self, _req: Request, **_: Any) -> Response:
        """200 after all lists were read and the first decisions were applied, while the source
        can be read; else 503 and the reason."""
        return _plain_text(one_line(self._context.unready()), "ready")

    @route(NAME, "/metrics", methods=["GET"])  # type: ignore[untyped-decorator]
    def scrape(self, _req: Request, **_: Any) -> Response:
        """The metrics in the Prometheus text format."""
        response = Response(body=self._exposition.text())
        response.headers["Content-Type"] = CONTENT_TYPE_LATEST
        return response

    @route(NAME, "/v1/peers", methods=["GET"])  # type: ignore[untyped-decorator]
    def peers(self, _req: Request, **_: Any) -> Response:
        """The BGP sessions."""
        return responses.json_value(self._context.peers())

    @route(NAME, "/v1/services", methods=["GET"])  # type: ignore[untyped-decorator]
    def services(self, _req: Request, **_: Any) -> Response:
        """A summary of every Service that opted in."""
        entries = report.services(self._context.planner, self._context.sent)
        return responses.json_stream(self._long_responses, responses.json_array(entries))

    @route(NAME, "/v1/services/{namespace}/{name}", methods=["GET"])  # type: ignore[untyped-decorator]
    def service(self, _req: Request, namespace: str, name: str, **_: Any) -> Response:
        """The decision about one Service with all its reasons; 404 if it does not exist."""
        key = ObjectKey(namespace, name)
        entry = report.explanation(self._context.planner, key, self._context.sent)
        return responses.json_value(
            entry, HTTPStatus.OK if entry["found"] else HTTPStatus.NOT_FOUND
        )

    @route(NAME, "/v1/eips", methods=["GET"])  # type: ignore[untyped-decorator]
    def eips(self, _req: Request, **_: Any) -> Response:
        """Every Eip."""
        return responses.json_stream(
            self._long_responses, responses.json_array(report.eips(self._context.planner))
        )

    @route(NAME, "/v1/plan", methods=["GET"])  # type: ignore[untyped-decorator]
    def plan(self, _req: Request, **_: Any) -> Response:
        """All Services and Eips in the form of `porter-ryu plan`; `plan --diff` reads it."""
        return responses.json_stream(self._long_responses, self._plan())

    def _plan(self) -> Iterator[str]:
        planner = self._context.planner
        return itertools.chain(
            ['{"services": '],
            responses.json_array(report.planned(planner)),
            [', "eips": '],
            responses.json_array(report.eips(planner)),
            [', "warnings": '],
            responses.json_array(report.warnings(planner)),
            ["}"],
        )

    @route(NAME, "/v1/changes", methods=["GET"])  # type: ignore[untyped-decorator]
    def changes(self, req: Request, **_: Any) -> Response:
        """The changes after number `since`, oldest first; with `about` only those about a Service,
        an address, a peer, a node or an Eip."""
        # WebOb raises an error for octets that are no UTF-8
        query = dict(parse_qsl(req.query_string, keep_blank_values=True))
        since, about = query.get("since", "0"), query.get("about")
        if not since.isascii() or not since.isdecimal() or len(since) > _MAX_SINCE_DIGITS:
            text = f"since: {quoted(since)} is not the sequence number of a change"
            return responses.error(HTTPStatus.BAD_REQUEST, text)
        try:
            subject = None if about is None else About(about)
        except ValueError as error:
            return responses.error(HTTPStatus.BAD_REQUEST, f"about: {error}")
        found = report_changes.changes(_about(self._context.history.since(int(since)), subject))
        return responses.json_stream(self._long_responses, responses.json_array(found))

    @route(NAME, "/v1/stop", methods=["POST"])  # type: ignore[untyped-decorator]
    def stop(self, req: Request, **_: Any) -> Response:
        """Ends this instance; the request must carry the control token."""
        origin = req.headers.get("Origin")
        request = stop_rules.StopRequest(
            ip_address(req.environ["SERVER_NAME"]),
            ip_address(req.environ["REMOTE_ADDR"]),
            req.environ.get("HTTP_HOST", ""),
            () if origin is None else (origin,),
            req.headers.get("Authorization", ""),
        )
        refusal = stop_rules.refusal(request, self._context.token)
        if refusal is not None:
            status, message = refusal
            LOG.warning("refused a stop request from %s: %s", request.remote, message)
            return responses.error(status, message, WWW_Authenticate="Bearer")
        withdraw, stay = (req.GET.get(name) == "true" for name in ("withdraw", "stay"))
        self._context.stop(withdraw, stay)
        return Response(status=HTTPStatus.ACCEPTED.value, text="stopping\n")


def _about(changes: Iterable[Change], subject: About | None) -> Iterator[Change]:
    """The changes about a subject, or all; lets other greenthreads run in between."""
    give_way = TimeSlice()
    for change in changes:
        give_way()
        if subject is None or subject.matches(change.about):
            yield change


def _plain_text(failure: str, success: str) -> Response:
    """503 with the text of a failure, or 200 if that is empty."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if failure else HTTPStatus.OK
    text = f"{failure or success}\n"
    return Response(status=status.value, content_type="text/plain", charset="utf-8", text=text)
