"""The HTTP endpoints for health, metrics, Services, Eips, changes and stop (docs/http.md).

They hold no state: each response is made from the running parts at the time of the request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from ryu.app.wsgi import ControllerBase, WSGIApplication, route
from webob import Request, Response

from porter_ryu import report, report_addresses, report_changes, report_plan
from porter_ryu.domain.address_states import AddressState
from porter_ryu.domain.model import ObjectKey
from porter_ryu.domain.node_traffic import NodeTraffic
from porter_ryu.domain.ports import NOT_KNOWN
from porter_ryu.domain.prefix import plain_address
from porter_ryu.domain.text import one_line, quoted
from porter_ryu.domain.verdict import Reason
from porter_ryu.domain.what_if import Supposition, unknown
from porter_ryu.http import change_filter, responses, service_filter, stop_rules
from porter_ryu.http.context import NAME, Context, Shared
from porter_ryu.http.query import QueryError, parameters
from porter_ryu.http.state_api import StateController
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)


def register(wsgi: WSGIApplication, context: Context) -> None:
    """Adds the routes to Ryu's WSGI application."""
    shared = {NAME: Shared(context)}
    for controller in (HttpController, StateController):
        wsgi.register(controller, shared)


class HttpController(ControllerBase):  # type: ignore[misc]
    """One method for each path; Ryu makes an instance for each request."""

    def __init__(self, req: Request, link: object, data: dict[str, Shared], **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self._context = data[NAME].context
        self._exposition = data[NAME].exposition
        self._long_responses = data[NAME].long_responses
        self._page = data[NAME].page

    @route(NAME, "/", methods=["GET"])  # type: ignore[untyped-decorator]
    def show(self, _req: Request, **_: Any) -> Response:
        """The page for a browser."""
        return self._page.response()

    @route(NAME, "/healthz", methods=["GET"])  # type: ignore[untyped-decorator]
    def healthz(self, _req: Request, **_: Any) -> Response:
        """200 while the event loop runs and every task is alive, also after `porter-ryu stop
        --stay`; else 503 and one line a fault."""
        faults = [one_line(fault) for fault in self._context.faults()]
        stopped = self._context.health().stopped
        alive = "the event loop runs and every task is alive"
        return _plain_text("\n".join(faults), alive if stopped is None else stopped.text)

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

    @route(NAME, "/v1/services", methods=["GET"])  # type: ignore[untyped-decorator]
    def services(self, req: Request, **_: Any) -> Response:
        """A summary of every Service that opted in, or of some of them (`service_filter`)."""
        try:
            chosen = service_filter.parse(req)
        except QueryError as error:
            return responses.error(HTTPStatus.BAD_REQUEST, str(error))
        context = self._context
        traffic = NodeTraffic(context.planner, context.routes())
        entries = report.services(
            context.planner,
            context.sent,
            lambda decision: not chosen.node or chosen.node in traffic.nodes(decision),
            context.peers(),
            context.kept_by,
        )
        return responses.tagged_list(req, self._long_responses, chosen.of(entries))

    @route(NAME, "/v1/services/{namespace}/{name}", methods=["GET"])  # type: ignore[untyped-decorator]
    def service(self, req: Request, namespace: str, name: str, **_: Any) -> Response:
        """The decision about one Service with all its reasons; 404 if it does not exist."""
        key = ObjectKey(namespace, name)
        context = self._context
        entry = report.explanation(
            context.planner,
            key,
            context.sent,
            context.unsent,
            context.peers(),
            context.kept_by,
        )
        stopped = context.health().stopped
        if stopped is not None and entry["state"] == Reason.ALLOCATED.value:
            entry |= {"message": stopped.text, "mend": stopped.mend}
        if not entry["found"]:
            source = context.health().source
            entry["message"] = source.on_absence(entry["message"])
            entry["state"] = NOT_KNOWN if source.unread else entry["state"]
            return responses.json_value(entry, HTTPStatus.NOT_FOUND)
        return responses.tagged_value(req, entry)

    @route(NAME, "/v1/addresses/{address}", methods=["GET"])  # type: ignore[untyped-decorator]
    def address(self, req: Request, address: str, **_: Any) -> Response:
        """Who has an address, in any spelling, or whether it is free."""
        try:
            wanted = plain_address(address)
        except ValueError:
            return responses.error(HTTPStatus.BAD_REQUEST, f"{quoted(address)} is no address")
        entry = report_addresses.address(self._context.planner, wanted, TimeSlice())
        if entry["state"] == AddressState.IN_NO_EIP.value:
            source = self._context.health().source
            entry["why"] = source.on_absence(entry["why"])
            entry["state"] = NOT_KNOWN if source.unread else entry["state"]
        return responses.tagged_value(req, entry)

    @route(NAME, "/v1/eips", methods=["GET"])  # type: ignore[untyped-decorator]
    def eips(self, req: Request, **_: Any) -> Response:
        """Every Eip, and how it fills."""
        context = self._context
        eips = report.eips(context.planner)
        entries = ({**eip, **context.growth(eip["name"])} for eip in eips)
        return responses.tagged_list(req, self._long_responses, entries)

    @route(NAME, "/v1/plan", methods=["GET"])  # type: ignore[untyped-decorator]
    def plan(self, req: Request, **_: Any) -> Response:
        """All Services and Eips in the form of `porter-ryu plan`; `plan --diff` reads it.  With
        `without=NODES` and `drain=NODES`, separated by commas, what the loss of the ones and the
        drain of the others would change."""
        asked = parameters(req)
        if not asked:
            return responses.json_stream(self._long_responses, self._plan())
        lost, drained = (_names(asked.get(name)) for name in ("without", "drain"))
        try:
            supposed = Supposition(lost, drained)
        except ValueError as error:
            return responses.error(HTTPStatus.BAD_REQUEST, str(error))
        text = unknown(self._context.planner, supposed)
        if text:
            text = self._context.health().source.on_absence(text)
            return responses.error(HTTPStatus.NOT_FOUND, text)
        return responses.json_stream(self._long_responses, self._what_if(supposed))

    def _what_if(self, supposed: Supposition) -> Iterator[str]:
        answer = report_plan.Answer(self._context.planner, supposed, self._context.peers())
        yield from responses.json_object(answer.head(), answer.lists())

    def _plan(self) -> Iterator[str]:
        planner = self._context.planner
        lists = {
            "services": report_plan.planned(planner),
            "eips": report.eips(planner),
            "warnings": report_plan.warnings(planner),
        }
        return responses.json_object({}, lists)

    @route(NAME, "/v1/changes", methods=["GET"])  # type: ignore[untyped-decorator]
    def changes(self, req: Request, **_: Any) -> Response:
        """The changes after number `since`, oldest first, or all if that is a number of an earlier
        process (`change_filter`)."""
        try:
            chosen = change_filter.parse(req)
        except QueryError as error:
            return responses.error(HTTPStatus.BAD_REQUEST, str(error))
        history = self._context.history
        changes = chosen.of(history, time.time())
        # which changes are the last minutes' depends on the time
        version = f"{self._context.started_at} {history.last} {chosen.begins(history, time.time())}"
        found = responses.json_array(report_changes.changes(changes))
        return responses.tagged_stream(req, self._long_responses, version, found)

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


def _names(text: str | None) -> frozenset[str]:
    """The names in a parameter, separated by commas; none without it."""
    return frozenset(() if text is None else text.split(","))


def _plain_text(failure: str, success: str) -> Response:
    """503 with the text of a failure, or 200 if that is empty."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if failure else HTTPStatus.OK
    text = f"{failure or success}\n"
    return Response(status=status.value, content_type="text/plain", charset="utf-8", text=text)
