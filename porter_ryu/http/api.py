"""What the paths answer: health, readiness, metrics and the state as JSON (contract section 5).

Thin: every answer is read off the running parts when it is asked for.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from ryu.app.wsgi import ControllerBase, WSGIApplication, route
from webob import Request, Response

from porter_ryu import report
from porter_ryu.domain.model import ObjectKey
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import one_line
from porter_ryu.http import answers, stop_rules
from porter_ryu.http.figures import Figures, Process

LOG = logging.getLogger(__name__)

NAME = "porter_ryu"
_LONG_ANSWERS_MOST = 3


@dataclass(frozen=True, slots=True)
class Running:
    """What the interface needs of the running parts.

    `faults` are sentences about tasks that are not healthy; `unready` is why the instance is not
    ready, '' while it is.  `process` is what the metrics say of the process.  `stop` ends the
    instance, withdrawing if told so, and with it the process, unless that is to stay; `token` is
    what has to be known to ask for it.
    """

    planner: Planner
    faults: Callable[[], tuple[str, ...]]
    unready: Callable[[], str]
    peers: report.Peers
    sent: report.Sent
    process: Process
    stop: Callable[[bool, bool], None]
    token: str


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all requests share."""

    running: Running
    figures: Figures
    long_answers: answers.Gate = field(default_factory=lambda: answers.Gate(_LONG_ANSWERS_MOST))


def register(wsgi: WSGIApplication, running: Running) -> None:
    """Adds the routes to Ryu's WSGI application."""
    figures = Figures(running.planner, running.peers, running.process)
    wsgi.register(Api, {NAME: _Shared(running, figures)})


class Api(ControllerBase):  # type: ignore[misc]
    """One method a path."""

    def __init__(self, req: Request, link: object, data: dict[str, _Shared], **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self._running = data[NAME].running
        self._figures = data[NAME].figures
        self._long = data[NAME].long_answers

    @route(NAME, "/healthz", methods=["GET"])  # type: ignore[untyped-decorator]
    def healthz(self, _req: Request, **_: Any) -> Response:
        """200 while the loop turns and every task lives; else what is wrong, a line each."""
        faults = [one_line(fault) for fault in self._running.faults()]
        return _verdict("\n".join(faults), "the loop turns and every task lives")

    @route(NAME, "/readyz", methods=["GET"])  # type: ignore[untyped-decorator]
    def readyz(self, _req: Request, **_: Any) -> Response:
        """200 once every list was read and the first decision applied, and while the source can
        be read."""
        return _verdict(one_line(self._running.unready()), "ready")

    @route(NAME, "/metrics", methods=["GET"])  # type: ignore[untyped-decorator]
    def scrape(self, _req: Request, **_: Any) -> Response:
        """Prometheus text format."""
        response = Response(body=self._figures.text())
        response.headers["Content-Type"] = CONTENT_TYPE_LATEST
        return response

    @route(NAME, "/v1/peers", methods=["GET"])  # type: ignore[untyped-decorator]
    def peers(self, _req: Request, **_: Any) -> Response:
        """The sessions."""
        return answers.entry(self._running.peers())

    @route(NAME, "/v1/services", methods=["GET"])  # type: ignore[untyped-decorator]
    def services(self, _req: Request, **_: Any) -> Response:
        """Every Service of ours in short."""
        entries = report.services(self._running.planner, self._running.sent)
        return answers.stream(self._long, answers.array(entries))

    @route(NAME, "/v1/services/{namespace}/{name}", methods=["GET"])  # type: ignore[untyped-decorator]
    def service(self, _req: Request, namespace: str, name: str, **_: Any) -> Response:
        """The whole chain for one Service; 404 where there is none of that name."""
        key = ObjectKey(namespace, name)
        entry = report.explanation(self._running.planner, key, self._running.sent)
        return answers.entry(entry, HTTPStatus.OK if entry["found"] else HTTPStatus.NOT_FOUND)

    @route(NAME, "/v1/eips", methods=["GET"])  # type: ignore[untyped-decorator]
    def eips(self, _req: Request, **_: Any) -> Response:
        """Every Eip."""
        return answers.stream(self._long, answers.array(report.eips(self._running.planner)))

    @route(NAME, "/v1/plan", methods=["GET"])  # type: ignore[untyped-decorator]
    def plan(self, _req: Request, **_: Any) -> Response:
        """Everything, in the form of `porter-ryu plan`, for `plan --diff`."""
        return answers.stream(self._long, self._plan())

    def _plan(self) -> Iterator[str]:
        planner = self._running.planner
        return itertools.chain(
            ['{"services": '],
            answers.array(report.planned(planner)),
            [', "eips": '],
            answers.array(report.eips(planner)),
            ["}"],
        )

    @route(NAME, "/v1/stop", methods=["POST"])  # type: ignore[untyped-decorator]
    def stop(self, req: Request, **_: Any) -> Response:
        """Ends this instance for good, for who knows the token."""
        origin = req.headers.get("Origin")
        asked = stop_rules.Asked(
            ip_address(req.environ["SERVER_NAME"]),
            ip_address(req.environ["REMOTE_ADDR"]),
            req.environ.get("HTTP_HOST", ""),
            () if origin is None else (origin,),
            req.headers.get("Authorization", ""),
        )
        refusal = stop_rules.refusal(asked, self._running.token)
        if refusal is not None:
            status, text = refusal
            LOG.warning("a request to stop from %s was refused: %s", asked.remote, text)
            return answers.error(status, text, WWW_Authenticate="Bearer")
        withdraw, stay = (req.GET.get(name) == "true" for name in ("withdraw", "stay"))
        self._running.stop(withdraw, stay)
        return Response(status=HTTPStatus.ACCEPTED.value, text="stopping\n")


def _verdict(trouble: str, good: str) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
    return Response(
        status=status.value, content_type="text/plain", charset="utf-8", text=f"{trouble or good}\n"
    )
