"""Resolves names by the C library without blocking the loop.

So a name has the addresses that every other program on this host finds for it, by nsswitch.conf,
the search list and all else that eventlet's own resolver reads in its own way or not at all.  Each
look-up has a native thread of its own and not one of eventlet's pool: while a name server does not
answer, the threads of the pool are needed for files, and the end of the process would wait for
them.  `porter_ryu_compat` puts this in place.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

_BLOCKING = ("gethostbyname", "gethostbyname_ex", "getnameinfo")
# who does not wait any more leaves a thread that does, perhaps for minutes
_MOST_UNANSWERED = 64
_unanswered: list[None] = []  # the loop adds one, its thread removes one


def install(module: ModuleType) -> None:
    """Replaces the functions of `eventlet.green.socket`, which monkey patching puts into `socket`;
    they have to be those of Python until then."""
    for name in _BLOCKING:
        setattr(module, name, _in_thread(getattr(module, name)))
    module.getaddrinfo = _getaddrinfo(module.getaddrinfo)  # type: ignore[attr-defined]


def _getaddrinfo(blocking: Callable[..., Any]) -> Callable[..., Any]:
    resolve = _in_thread(blocking)

    @wraps(blocking)
    def getaddrinfo(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        try:  # most of what is asked for is an address, which needs no thread
            return blocking(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass  # so that it is no cause of an error of the look-up
        return resolve(host, port, family, type, proto, flags)

    return getaddrinfo


def _in_thread(blocking: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called in a native thread while other greenthreads run; raises what it raises,
    gaierror if too many have no answer, or OSError if there is no thread or pipe to be had."""

    @wraps(blocking)
    def green(*args: Any, **kwargs: Any) -> Any:
        from eventlet import hubs, patcher

        if len(_unanswered) >= _MOST_UNANSWERED:
            raise socket.gaierror(socket.EAI_AGAIN, "too many look-ups have no answer yet")
        outcome: list[tuple[Any, BaseException | None]] = []
        here, there = os.pipe()
        _unanswered.append(None)

        def resolve() -> None:
            try:
                outcome.append((blocking(*args, **kwargs), None))
            except BaseException as error:
                outcome.append((None, error))
            finally:
                _unanswered.pop()
                os.close(there)  # which wakes the one who waits, if it still does

        try:
            try:
                patcher.original("_thread").start_new_thread(resolve, ())
            except RuntimeError as error:
                _unanswered.pop()
                os.close(there)
                raise OSError(str(error)) from error
            hubs.trampoline(here, read=True)
        finally:
            os.close(here)
        result, failure = outcome.pop()
        if failure is None:
            return result
        try:
            raise failure
        finally:
            del failure  # otherwise it and its traceback would refer to each other

    return green
