"""The token that a stop request over HTTP must carry: a secret in a file of the state_dir.

Only root and the user that runs the process can read the file.  Every start makes a new token.
"""

from __future__ import annotations

import os

from porter_ryu import atomic_file, regular_file

DEFAULT = "/var/lib/porter-ryu/control.token"
_NAME = "control.token"
_TOKEN_OCTETS = 32
_MAX_FILE_OCTETS = 256


def create(state_dir: str) -> str:
    """Makes a new token and writes it to disk; raises OSError."""
    import secrets  # with OpenSSL, which no command needs

    token = secrets.token_urlsafe(_TOKEN_OCTETS)
    atomic_file.write(os.path.join(state_dir, _NAME), f"{token}\n".encode(), private=True)
    return token


def read(path: str) -> str:
    """The token in a file; raises OSError, or ValueError, with the reason, if it has none."""
    data, _ = regular_file.read(path, _MAX_FILE_OCTETS, follow=True)
    try:
        token = data.decode("ascii").strip()
    except ValueError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise ValueError("there is no token in the file")
    return token
