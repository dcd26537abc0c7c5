"""The page at `/`: one file, read once, and header fields that let a browser run nothing else.

Text from tenants is shown on it.  The Content-Security-Policy names the script and the style by
their hashes, allows requests to this server alone, and forbids that text becomes markup (Trusted
Types), so that even a mistake in the page runs nothing of theirs.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from msgspec import Struct
from webob import Response

_FILE = Path(__file__).with_name("page.html")
_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


class Page(Struct, frozen=True):
    """The page: its octets, and the Content-Security-Policy that fits them."""

    body: bytes
    policy: str

    def response(self) -> Response:
        """The page; 304 without it if the client has it."""
        response = Response(body=self.body, content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = self.policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-cache"
        response.etag = hashlib.sha256(self.body).hexdigest()
        response.conditional_response = True
        return response


def read() -> Page:
    """The page as it is installed; raises OSError if it is not."""
    text = _FILE.read_text(encoding="utf-8")
    hashes = {tag: " ".join(_hashes(text, tag)) for tag in ("script", "style")}
    return Page(text.encode(), _POLICY.format(**hashes))


def _hashes(text: str, tag: str) -> list[str]:
    """The hash of the text of each element with this tag, as a policy names it (CSP 3, 2.3.1)."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (hashlib.sha256(part.encode()).digest() for part in found)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
