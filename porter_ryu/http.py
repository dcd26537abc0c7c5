"""The HTTP interface on Ryu's WSGI: health, readiness, metrics and the state as JSON.

Thin: every answer is read off the running parts when it is asked for.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from ryu.app.wsgi import ControllerBase, WSGIApplication, route
from ryu.lib import hub
from webob import Request, Response

from porter_ryu import metrics, report
from porter_ryu.domain.model import Address, ObjectKey
from porter_ryu.domain.planner import Planner
from porter_ryu.reconciler import Reconciler

NAME = "porter_ryu"


@dataclass(frozen=True, slots=True)
class Running:
    """The parts that the interface reads; `stop` ends the instance, withdrawing if told so, and
    with it the process, unless that is to stay."""

    reconciler: Reconciler
    faults: Callable[[], tuple[str, ...]]
    peers: Callable[[], list[dict[str, Any]]]
    sent: report.Sent
    stop: Callable[[bool, bool], None]

    @property
    def planner(self) -> Planner:
        """What was decided."""
        return self.reconciler.planner


def serve(wsgi: WSGIApplication, running: Running) -> None:
    """Adds the routes to Ryu's WSGI application."""
    wsgi.register(Api, {NAME: running})


class Api(ControllerBase):  # type: ignore[misc]
    """One method a path; see contract section 5."""

    def __init__(self, req: Request, link: object, data: dict[str, Running], **config: Any) -> None:
        super().__init__(req, link, data, **config)
        self._running = data[NAME]

    def __call__(self, req: Request) -> Response:
        """Refuses connections to an EIP: nothing of ours answers there."""
        if self._is_eip(req):
            return Response(status=403, text="not served on this address\n")
        return super().__call__(req)

    def _is_eip(self, req: Request) -> bool:
        try:
            local: Address = ip_address(req.environ.get("SERVER_NAME", ""))
        except ValueError:
            return False
        return bool(self._running.planner.allocator.holders(local))

    @route(NAME, "/healthz", methods=["GET"])  # type: ignore[untyped-decorator]
    def healthz(self, _req: Request, **_: Any) -> Response:
        """200 while the loop turns."""
        faults = self._running.faults()
        return _verdict(not faults, "the loop turns", "; ".join(faults))

    @route(NAME, "/readyz", methods=["GET"])  # type: ignore[untyped-decorator]
    def readyz(self, _req: Request, **_: Any) -> Response:
        """200 once every list was read and the first decision applied."""
        return _verdict(self._running.reconciler.synced, "ready", "the lists are not read yet")

    @route(NAME, "/metrics", methods=["GET"])  # type: ignore[untyped-decorator]
    def scrape(self, _req: Request, **_: Any) -> Response:
        """Prometheus text format."""
        self._refresh_gauges()
        response = Response(body=generate_latest(metrics.REGISTRY))
        response.headers["Content-Type"] = CONTENT_TYPE_LATEST
        return response

    def _refresh_gauges(self) -> None:
        planner = self._running.planner
        metrics.leader.set(planner.leading)
        metrics.services.clear()
        states = collections.Counter(d.state for d in planner.decisions.values())
        for state, count in states.items():
            metrics.services.labels(state=state).set(count)
        metrics.eip_pool_size.clear()
        metrics.eip_pool_used.clear()
        for eip in report.eips(planner):
            metrics.eip_pool_size.labels(eip=eip["name"]).set(eip["poolSize"])
            metrics.eip_pool_used.labels(eip=eip["name"]).set(eip["usage"])
        self._running.peers()

    @route(NAME, "/v1/peers", methods=["GET"])  # type: ignore[untyped-decorator]
    def peers(self, _req: Request, **_: Any) -> Response:
        """The sessions."""
        return _json(self._running.peers())

    @route(NAME, "/v1/services", methods=["GET"])  # type: ignore[untyped-decorator]
    def services(self, _req: Request, **_: Any) -> Response:
        """Every Service of ours in short."""
        return _json(report.services(self._running.planner))

    @route(NAME, "/v1/services/{namespace}/{name}", methods=["GET"])  # type: ignore[untyped-decorator]
    def service(self, _req: Request, namespace: str, name: str, **_: Any) -> Response:
        """The whole chain for one Service; 404 where there is none of that name."""
        key = ObjectKey(namespace, name)
        entry = report.explanation(self._running.planner, key, self._running.sent)
        return _json(entry, status=200 if entry["found"] else 404)

    @route(NAME, "/v1/eips", methods=["GET"])  # type: ignore[untyped-decorator]
    def eips(self, _req: Request, **_: Any) -> Response:
        """Every Eip."""
        return _json(report.eips(self._running.planner))

    @route(NAME, "/v1/plan", methods=["GET"])  # type: ignore[untyped-decorator]
    def plan(self, _req: Request, **_: Any) -> Response:
        """Everything, in the form of `porter-ryu plan`, for `plan --diff`."""
        return _json(report.plan(self._running.planner, pause=lambda: hub.sleep(0)))

    @route(NAME, "/v1/stop", methods=["POST"])  # type: ignore[untyped-decorator]
    def stop(self, req: Request, **_: Any) -> Response:
        """Ends this instance for good, for callers on loopback only."""
        try:
            loopback = ip_address(req.remote_addr or "").is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            return Response(status=403, text="only from loopback\n")
        withdraw, stay = (req.params.get(name) == "true" for name in ("withdraw", "stay"))
        self._running.stop(withdraw, stay)
        return Response(status=202, text="stopping\n")


def _verdict(good: bool, yes: str, no: str) -> Response:
    return Response(status=200 if good else 503, text=(yes if good else no) + "\n")


def _json(value: Any, status: int = 200) -> Response:
    body = json.dumps(value, indent=2, default=str) + "\n"
    return Response(status=status, content_type="application/json", charset="utf-8", text=body)
