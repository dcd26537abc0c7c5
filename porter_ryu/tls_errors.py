"""Why TLS failed, in words: OpenSSL names what it noticed, and not what is wrong.

The texts go on from the name of the other side: `the API server 10.0.0.1:6443 …`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

NO_TLS = "does not speak TLS: the URL begins with https, but another service may listen there"
_UNKNOWN_CA = "it is not signed by {ca}"
# X509_V_ERR_…, openssl/x509_vfy.h
_CERTIFICATE = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed, not signed by {ca}",
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
OTHER_NAME = 62
# reasons of ssl.SSLError; what a server of another kind answers is in the first four
_PROTOCOL = {
    "WRONG_VERSION_NUMBER": NO_TLS,
    "HTTP_REQUEST": NO_TLS,
    "UNKNOWN_PROTOCOL": NO_TLS,
    "RECORD_LAYER_FAILURE": NO_TLS,
    "UNSUPPORTED_PROTOCOL": "has only versions of TLS that are too old",
    "TLSV1_ALERT_PROTOCOL_VERSION": "accepts no version of TLS that this host has",
    "NO_PROTOCOLS_AVAILABLE": "accepts no version of TLS that this host has",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "wants a client certificate, but {client} has none",
    "SSLV3_ALERT_BAD_CERTIFICATE": "does not accept the client certificate of {client}",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "says that the client certificate has expired",
    "TLSV1_ALERT_UNKNOWN_CA": "does not know the CA of the client certificate",
    "TLSV1_UNRECOGNIZED_NAME": "has no certificate for this name",
}


def certificate(error: ssl.SSLCertVerificationError, ca: str, host: str) -> str:
    """Why a certificate is not accepted.  `ca` says which CAs are trusted, `host` for whom the
    certificate should be."""
    text = _CERTIFICATE.get(getattr(error, "verify_code", 0))
    return of_certificate(text or str(getattr(error, "verify_message", "")), ca, host)


def of_certificate(text: str, ca: str, host: str) -> str:
    """The sentence about a certificate that is not accepted."""
    problem = text.replace("{ca}", ca).replace("{host}", host)
    return f"has a certificate that is not accepted: {problem}"


def other_name(host: str) -> str:
    """The sentence about a certificate for somebody else."""
    return of_certificate(_CERTIFICATE[OTHER_NAME], "", host)


def protocol(error: ssl.SSLError, client: str) -> str:
    """Why the two sides do not come to speak TLS.  `client` says what has the client
    certificate."""
    import ssl

    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "ended the connection"
    reason = str(getattr(error, "reason", None) or "unknown reason")
    other = f"and this host cannot agree on TLS: {reason}"
    return _PROTOCOL.get(reason, other).replace("{client}", client)


def reason(error: Exception) -> str:
    """What OpenSSL says, empty if that is no error of TLS.  The number of such an error is none of
    the system, although OSError has it in the same place."""
    loaded = sys.modules.get("ssl")  # it is large, and without it there is no such error
    if loaded is None or not isinstance(error, loaded.SSLError):
        return ""
    named = str(getattr(error, "reason", None) or "").lower().replace("_", " ")
    return str(getattr(error, "verify_message", "")) or named or str(error) or "TLS failed"
