"""Adds to Ryu's router what HTTP requires: HEAD for every GET, 405 with Allow, errors as JSON; and
refuses parameters that a path does not have, and requests that a web page had its browser send."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from ryu.app.wsgi import WSGIApplication

from porter_ryu.domain.text import quoted
from porter_ryu.http import catalogue, hosts, query, responses
from porter_ryu.http.connection import Environ
from porter_ryu.http.query import QueryError

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Router:
    """A WSGI application around Ryu's, with the routes of this program and of other apps.

    `names` returns further names of this host, in lower case (`hosts.is_answered`).
    """

    def __init__(self, wsgi: WSGIApplication, names: Callable[[], frozenset[str]]) -> None:
        self._wsgi = wsgi
        self._names = names
        self._own_names = hosts.own_names()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Handles one request (PEP 3333)."""
        response = self._refusal(environ)
        if response is not None:
            body: Iterable[bytes] = response(environ, start_response)
            return body
        return self._route(environ, start_response)

    def _refusal(self, environ: Environ) -> Any:
        """The response to a request for another host; None if it is for this one."""
        local, host = ip_address(environ["SERVER_NAME"]), environ.get("HTTP_HOST", "")
        if hosts.is_answered(local, host, self._own_names | self._names()):
            return None
        text = f"over loopback the Host field must name this host, and {quoted(host)} does not: "
        mend = "[porter] http_names has the names that a reverse proxy asks by"
        return responses.error(HTTPStatus.FORBIDDEN, text + mend)

    def _route(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "HEAD" and not self._matches(environ, "HEAD"):
            method = "GET"
        found = self._wsgi.mapper.routematch(environ={**environ, "REQUEST_METHOD": method})
        if found is not None:
            try:
                _check_query(found[1].routepath, method, environ["QUERY_STRING"])
            except QueryError as error:
                refusal = responses.error(HTTPStatus.BAD_REQUEST, str(error))
                refused: Iterable[bytes] = refusal(environ, start_response)
                return refused
            body = self._wsgi({**environ, "REQUEST_METHOD": method}, start_response)
        else:
            body = self._no_route(environ)(environ, start_response)
        result: Iterable[bytes] = body
        return result

    def _no_route(self, environ: Environ) -> Any:
        allowed = [method for method in _METHODS if self._matches(environ, method)]
        if not allowed:
            return responses.error(HTTPStatus.NOT_FOUND, "there is no such path")
        if "GET" in allowed:
            allowed.insert(1, "HEAD")
        methods = ", ".join(allowed)
        return responses.error(
            HTTPStatus.METHOD_NOT_ALLOWED, f"this path supports only {methods}", Allow=methods
        )

    def _matches(self, environ: Environ, method: str) -> bool:
        return bool(self._wsgi.mapper.match(environ={**environ, "REQUEST_METHOD": method}))


def _check_query(path: str, method: str, text: str) -> None:
    """Raises QueryError for parameters that one of our paths does not take: without a wrong one the
    response would be another than was meant."""
    known = catalogue.parameters(path, method)
    if known is not None:
        query.check(text, known)
