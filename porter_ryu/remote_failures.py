"""Why an instance cannot be asked, in one sentence: at the URL may be anything, or nothing.

The text of an exception says what Python noticed (`BadStatusLine`, `IncompleteRead`), and not what
is there.
"""

from __future__ import annotations

import http.client
import json
import ssl
from http import HTTPStatus

from porter_ryu import tls_errors
from porter_ryu.domain.text import one_line, quoted
from porter_ryu.log import reason_of

_MAX_CHARACTERS = 200
_MAX_GREETING_CHARACTERS = 40
_TRUSTED = "a CA that this host trusts"
_CLIENT = "porter-ryu"
_ABSENT, _NO_PATH = ("there is no ", "it is not known: "), "there is no such path"
_TLS_THERE = "the server speaks TLS: the URL begins with http, but https may be spoken there"
# how other protocols begin, as http.client reports the first line of a response
_TLS_ALERT, _BGP_MARKER = "\x15\x03", "\xff\xff\xff\xff"
# what nginx, Apache and Go say of plain HTTP at a port for TLS
_WANTS_TLS = (b"plain HTTP", b"HTTP request to an HTTPS")
_LOGINS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED)


def of_connection(error: Exception, host: str, silence_seconds: float) -> str:
    """Why no response came, or not all of it; an answer was waited for that many seconds."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server {tls_errors.certificate(error, _TRUSTED, host)}"
    if isinstance(error, ssl.SSLError):
        return f"the server {tls_errors.protocol(error, _CLIENT)}"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    if isinstance(error, http.client.BadStatusLine):
        return _no_http(str(error))
    if isinstance(error, http.client.IncompleteRead):
        missing = f" of {len(error.partial) + error.expected}" if error.expected else ""
        return f"the response was cut after {len(error.partial)}{missing} octets"
    if isinstance(error, ConnectionRefusedError):
        return "Connection refused: no instance listens there"
    if isinstance(error, ConnectionResetError):
        return "the server ended the connection before its response was complete"
    if isinstance(error, TimeoutError) and not error.errno and str(error).endswith("timed out"):
        return f"no answer within {silence_seconds:.0f} s"
    return one_line(reason_of(error), _MAX_CHARACTERS)


def _no_http(line: str) -> str:
    """What speaks there, by the first line of its response, in Latin-1."""
    if line.startswith(_TLS_ALERT):
        return _TLS_THERE
    if line.startswith(_BGP_MARKER):
        return "the server speaks BGP, not HTTP"
    text = quoted(line.strip(), _MAX_GREETING_CHARACTERS)
    return f"the server does not speak HTTP: its response begins with {text}"


def of_absence(status: int, body: bytes) -> str:
    """What a response of this program says is not there; empty if it says something else."""
    message = _message(body) if status == HTTPStatus.NOT_FOUND else None
    if message is None or not message.startswith(_ABSENT) or message == _NO_PATH:
        return ""
    return one_line(message, _MAX_CHARACTERS)


def of_status(status: int, body: bytes, fields: http.client.HTTPMessage) -> str:
    """What a response with an error, or one that has no JSON value, says."""
    phrase = f"{status} {http.client.responses.get(status, '')}".rstrip()
    message = _message(body)
    if message is not None:
        return f"{phrase}: {one_line(message, _MAX_CHARACTERS)}"
    if status == HTTPStatus.BAD_REQUEST and any(text in body for text in _WANTS_TLS):
        return _TLS_THERE
    location = fields.get("Location", "")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST and location:
        to = quoted(location, _MAX_CHARACTERS)
        return f"{phrase}: redirects are not followed; this one leads to {to}"
    if status == HTTPStatus.OK and "json" in fields.get("Content-Type", ""):
        return "its JSON cannot be read: it is cut, or damaged"
    server = fields.get("Server", "")
    who = f" (it is {quoted(server, _MAX_GREETING_CHARACTERS)})" if server else ""
    login = "; a proxy may want a login, which porter-ryu has not" if status in _LOGINS else ""
    return f"{phrase} without JSON; is this Porter-Ryu?{who}{login}"


def _message(body: bytes) -> str | None:
    """The message of an error in JSON, as this program and the API server have it; None if there
    is none."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        for key in ("error", "message"):
            if isinstance(value.get(key), str):
                return str(value[key])
    return None
