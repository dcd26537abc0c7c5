"""Explains why a request to the API server failed, with a hint at the cause.

The text of an exception may contain a header with a token, so it is never part of the message.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Iterator

import urllib3
from urllib3.util.ssl_match_hostname import CertificateError

from porter_ryu import tls_errors
from porter_ryu.kube.errors import ApiError

_MAX_CAUSES = 20
_HOST = "{host}"  # stands for the host of the server
_CA, _CLIENT = "the CA of the kubeconfig", "the kubeconfig"


def failure(error: BaseException, server: str) -> ApiError:
    """The ApiError for an exception of a request; `server` is host:port."""
    causes = list(_causes(error))
    host = server.rpartition(":")[0] or server
    for explain in (_certificate, _tls, _name, _timeout, _connection, _system):
        found = explain(causes)
        if found is not None:
            reason, text = found
            return ApiError(0, reason, f"the API server {server} {text.replace(_HOST, host)}")
    name = type(error).__name__
    return ApiError(0, "NoAnswer", f"the API server {server} cannot be reached ({name})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and its causes, because urllib3 and the official client wrap exceptions."""
    waiting, seen = [error], 0
    while waiting and seen < _MAX_CAUSES:
        cause = waiting.pop(0)
        seen += 1
        yield cause
        beneath = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting += [other for other in beneath if isinstance(other, BaseException)]


_Found = tuple[str, str] | None
_NEW_CONNECTION_ERROR = urllib3.exceptions.NewConnectionError


def _certificate(causes: list[BaseException]) -> _Found:
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "CertificateRefused", tls_errors.certificate(cause, _CA, _HOST)
        if isinstance(cause, CertificateError):
            return "CertificateRefused", tls_errors.other_name(_HOST)
    return None


def _tls(causes: list[BaseException]) -> _Found:
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            ended = isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError)
            reason = "ConnectionLost" if ended else "TlsFailed"
            return reason, tls_errors.protocol(cause, _CLIENT)
    return None


def _name(causes: list[BaseException]) -> _Found:
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            why = "its name does not resolve"
            if cause.errno == socket.EAI_AGAIN:
                why += " (no name server answers)"
            return "NameNotResolved", f"cannot be found: {why}"
    return None


def _timeout(causes: list[BaseException]) -> _Found:
    wanted = (urllib3.exceptions.TimeoutError, TimeoutError)
    for cause in causes:
        # in urllib3 a NewConnectionError is a timeout, whatever its cause
        if isinstance(cause, wanted) and not isinstance(cause, _NEW_CONNECTION_ERROR):
            return "TimedOut", "does not answer (timed out)"
    return None


def _connection(causes: list[BaseException]) -> _Found:
    lost = (
        ConnectionError,
        http.client.HTTPException,
        urllib3.exceptions.ProtocolError,
        urllib3.exceptions.DecodeError,
    )
    for cause in causes:
        if isinstance(cause, ConnectionRefusedError):
            return "ConnectionRefused", "refuses connections"
    if any(isinstance(cause, lost) for cause in causes):
        return "ConnectionLost", "ended the connection"
    return None


def _system(causes: list[BaseException]) -> _Found:
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno:
            where = f" ({cause.filename})" if isinstance(cause.filename, str) else ""
            return "Unreachable", f"cannot be reached: {os.strerror(cause.errno)}{where}"
    return None
