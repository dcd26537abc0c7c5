"""What has to be known to end the process over HTTP: a secret in a file of its state_dir.

Who can read that file is who runs the process, or root.  Every start has another one.
"""

from __future__ import annotations

import os
import secrets

from porter_ryu import atomic_file, regular_file

DEFAULT = "/var/lib/porter-ryu/control.token"
_NAME = "control.token"
_OCTETS = 32
_LENGTH_MOST = 256


def create(state_dir: str) -> str:
    """A new token, on disk when this returns; raises OSError."""
    token = secrets.token_urlsafe(_OCTETS)
    atomic_file.write(os.path.join(state_dir, _NAME), f"{token}\n".encode(), private=True)
    return token


def read(path: str) -> str:
    """The token in a file; raises OSError, or ValueError where there is none in it."""
    try:
        data, _ = regular_file.read(path, _LENGTH_MOST, follow=True)
        token = data.decode("ascii").strip()
    except ValueError:  # no regular file, too large, or not ASCII
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise ValueError("there is no token in it")
    return token
