"""Ryu's router with HTTP's manners: HEAD where there is GET, 405 with Allow, errors as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from ryu.app.wsgi import WSGIApplication

from porter_ryu.http.answers import error
from porter_ryu.http.connection import Environ

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Router:
    """A WSGI application over Ryu's, whose routes are ours and those of other apps."""

    def __init__(self, wsgi: WSGIApplication) -> None:
        self._wsgi = wsgi

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers one request (PEP 3333)."""
        method = environ["REQUEST_METHOD"]
        if method == "HEAD" and not self._matches(environ, "HEAD"):
            method = "GET"
        if self._matches(environ, method):
            answer = self._wsgi({**environ, "REQUEST_METHOD": method}, start_response)
        else:
            answer = self._none(environ)(environ, start_response)
        result: Iterable[bytes] = answer
        return result

    def _none(self, environ: Environ) -> Any:
        allowed = [method for method in _METHODS if self._matches(environ, method)]
        if not allowed:
            return error(HTTPStatus.NOT_FOUND, "there is nothing of that name")
        if "GET" in allowed:
            allowed.insert(1, "HEAD")
        methods = ", ".join(allowed)
        return error(HTTPStatus.METHOD_NOT_ALLOWED, f"only {methods}", Allow=methods)

    def _matches(self, environ: Environ, method: str) -> bool:
        return bool(self._wsgi.mapper.match(environ={**environ, "REQUEST_METHOD": method}))
