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

from porter_ryu.kube.errors import ApiError

_MAX_CAUSES = 20
_HOST = "{host}"  # stands for the host of the server
# X509_V_ERR_…, openssl/x509_vfy.h
_UNKNOWN_CA = "it is not signed by the CA of the kubeconfig"
_VERIFY_ERRORS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed, not signed by the CA of the kubeconfig",
    19: _UNKNOWN_CA,
    20: _UNKNOWN_CA,
    21: _UNKNOWN_CA,
    22: "its chain is too long",
    23: "it was revoked",
    24: "a certificate in its chain is not one of a CA",
    26: "it is not for a server",
    62: "it is for another name than {host}",
    64: "it is for another address than {host}",
    66: "its key is too weak",
    67: "the key of its CA is too weak",
    68: "the signature of its CA is too weak",
}
# reasons of ssl.SSLError; what a server of another kind answers is in the first four
_NO_TLS = "does not speak TLS: the URL begins with https, but another service may listen there"
_TLS_ERRORS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": "has only versions of TLS that are too old",
    "TLSV1_ALERT_PROTOCOL_VERSION": "accepts no version of TLS that this host has",
    "NO_PROTOCOLS_AVAILABLE": "accepts no version of TLS that this host has",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "wants a client certificate, but the kubeconfig has none",
    "SSLV3_ALERT_BAD_CERTIFICATE": "does not accept the client certificate of the kubeconfig",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "says that the client certificate has expired",
    "TLSV1_ALERT_UNKNOWN_CA": "does not know the CA of the client certificate",
    "TLSV1_UNRECOGNIZED_NAME": "has no certificate for this name",
}


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
            code, text = getattr(cause, "verify_code", 0), getattr(cause, "verify_message", "")
            problem = _VERIFY_ERRORS.get(code, str(text))
            return "CertificateRefused", f"has a certificate that is not accepted: {problem}"
        if isinstance(cause, CertificateError):
            problem = _VERIFY_ERRORS[62]
            return "CertificateRefused", f"has a certificate that is not accepted: {problem}"
    return None


def _tls(causes: list[BaseException]) -> _Found:
    for cause in causes:
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return "ConnectionLost", "ended the connection"
        if isinstance(cause, ssl.SSLError):
            problem = str(getattr(cause, "reason", None) or "unknown reason")
            other = f"and this host cannot agree on TLS: {problem}"
            return "TlsFailed", _TLS_ERRORS.get(problem, other)
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
