"""Messages for exceptions that a test server on loopback cannot cause."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from pathlib import Path

import pytest
from urllib3 import HTTPConnectionPool, exceptions
from urllib3.connection import HTTPConnection

from porter_ryu.kube.errors import CODES, LABELS, ApiError
from porter_ryu.kube.failures import failure

POOL, CONNECTION = HTTPConnectionPool("10.0.0.1"), HTTPConnection("10.0.0.1")
UNREACHABLE = OSError(errno.EHOSTUNREACH, "No route to host")


def tls_error(reason: str) -> ssl.SSLError:
    """An error of a handshake."""
    error = ssl.SSLError(1, "x")
    error.reason = reason
    return error


def refused(code: int) -> ssl.SSLCertVerificationError:
    """An error of a certificate."""
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, "some reason"
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    """An exception with a cause."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "label", "words"),
    [
        (exceptions.ConnectTimeoutError("x"), "TimedOut", "does not answer (timed out)"),
        (exceptions.ReadTimeoutError(POOL, "/", "x"), "TimedOut", "does not answer (timed out)"),
        (TimeoutError("timed out"), "TimedOut", "does not answer (timed out)"),
        (
            caused(exceptions.NewConnectionError(CONNECTION, "Bearer t0ken"), UNREACHABLE),
            "Unreachable",
            "cannot be reached: No route to host",
        ),
        (
            caused(exceptions.MaxRetryError(POOL, "/", None), ConnectionRefusedError(111, "x")),
            "ConnectionRefused",
            "refuses connections",
        ),
        (socket.gaierror(-2, "none"), "NameNotResolved", "found: its name does not resolve"),
        (
            socket.gaierror(socket.EAI_AGAIN, "again"),
            "NameNotResolved",
            "its name does not resolve (no name server answers)",
        ),
        *(
            (tls_error(reason), "TlsFailed", words)
            for reason, words in (
                ("WRONG_VERSION_NUMBER", "does not speak TLS"),
                ("HTTP_REQUEST", "does not speak TLS"),
                ("UNSUPPORTED_PROTOCOL", "has only versions of TLS that are too old"),
                ("TLSV1_ALERT_PROTOCOL_VERSION", "accepts no version of TLS that this host has"),
                ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "wants a client certificate"),
                ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "the client certificate has expired"),
                ("TLSV1_ALERT_UNKNOWN_CA", "does not know the CA of the client certificate"),
                ("TLSV1_UNRECOGNIZED_NAME", "has no certificate for this name"),
                ("SSLV3_ALERT_HANDSHAKE_FAILURE", "agree on TLS: SSLV3_ALERT_HANDSHAKE_FAILURE"),
            )
        ),
        *(
            (refused(code), "CertificateRefused", words)
            for code, words in (
                (9, "it is not valid yet"),
                (10, "it has expired"),
                (18, "it is self-signed"),
                (20, "it is not signed by the CA of the kubeconfig"),
                (23, "it was revoked"),
                (26, "it is not for a server"),
                (62, "it is for another name than 10.0.0.1"),
                (64, "it is for another address than 10.0.0.1"),
                (66, "its key is too weak"),
                (99, "some reason"),
            )
        ),
        (OSError(errno.EMFILE, "x"), "Unreachable", "cannot be reached: Too many open files"),
        (
            FileNotFoundError(errno.ENOENT, "x", "/etc/ca.crt"),
            "Unreachable",
            "cannot be reached: No such file or directory (/etc/ca.crt)",
        ),
        (ssl.SSLEOFError(8, "EOF"), "ConnectionLost", "ended the connection"),
        (ssl.SSLError(1, "x"), "TlsFailed", "and this host cannot agree on TLS"),
        (ValueError("Invalid header value b'Bearer t0ken'"), "NoAnswer", "(ValueError)"),
    ],
)
def test_the_message_names_the_cause(error: Exception, label: str, words: str) -> None:
    found = failure(error, "10.0.0.1:6443")
    assert (found.status, found.label) == (0, label)
    assert str(found).startswith("the API server 10.0.0.1:6443 ")
    assert words in str(found)
    assert "t0ken" not in str(found)


def test_circular_causes_are_limited() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert failure(one, "a:1").label == "NoAnswer"


def test_the_label_of_every_error_is_on_a_list_and_so_is_its_code() -> None:
    source = "".join(path.read_text() for path in Path("porter_ryu/kube").glob("*.py"))
    reasons = re.findall(r'ApiError\(\s*0, "(\w+)"', source)
    reasons += re.findall(r'return "(\w+)", f?"', Path("porter_ryu/kube/failures.py").read_text())
    assert {"NoConfiguration", "TimedOut", "Unreachable"} <= set(reasons)
    of_files = {"Unreadable", "Unwritable"}  # of a directory, which is not watched
    assert all(ApiError(0, reason, "").label == reason for reason in set(reasons) - of_files)
    for status in (0, 200, 301, 400, 404, 418, 429, 500, 503, 599, 999):
        for reason in ("x", "Weird {}"):
            error = ApiError(status, reason, "")
            assert error.label in LABELS
            assert error.code in CODES
