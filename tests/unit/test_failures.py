"""Messages for exceptions that a test server on loopback cannot cause."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from urllib3 import HTTPConnectionPool, exceptions
from urllib3.connection import HTTPConnection

from porter_ryu.kube.failures import failure

POOL, CONNECTION = HTTPConnectionPool("10.0.0.1"), HTTPConnection("10.0.0.1")
UNREACHABLE = OSError(errno.EHOSTUNREACH, "No route to host")


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
        (socket.gaierror(-3, "again"), "NameNotResolved", "cannot be found: its name does not"),
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
