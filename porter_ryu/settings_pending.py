"""Which settings of the files a process does not run with, because they need a restart.

A sentence for each, for the log, the record, `status` and `config`: who changed a key has to see
that it has no effect yet, also hours later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from porter_ryu.domain.text import printable

if TYPE_CHECKING:
    from porter_ryu.settings import Settings

HIDDEN = "(hidden)"
_URL_USER = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_MAX_VALUE_CHARACTERS = 200


def pending(runs: Settings, read: Settings) -> Iterator[str]:
    """A sentence for each setting in `read` that a process which started with `runs` has not in
    force, in the order of the reference."""
    for (group, key), value in read.fixed.items():
        before = runs.fixed.get((group, key))
        if before != value:
            yield f"[{group}] {key}: {difference(before, value)}: needs a restart"
    over_ipv6 = read.bgp.next_hops.ipv4_over_ipv6
    if over_ipv6 != runs.bgp.next_hops.ipv4_over_ipv6:
        text = "runs without, the file has a peer with" if over_ipv6 else "runs with, no peer has"
        yield f"[bgp] peers: {text} IPv4 routes over IPv6 (RFC 8950): needs a restart"


def difference(runs: Any, file: Any) -> str:
    """What a process runs with and what its file says."""
    return f"runs with {_told(runs)}, the file says {_told(file)}"


def _told(value: Any) -> str:
    text = value_text(without_secrets(value))
    return printable(text, _MAX_VALUE_CHARACTERS) if text else "nothing"


def value_text(value: Any) -> str:
    """A value as in a configuration file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def shown(option: cfg.Opt, value: Any) -> Any:
    """A value of an option without secrets."""
    return HIDDEN if option.secret and value else without_secrets(value)


def without_secrets(value: Any) -> Any:
    """A value without the user and password of a URL in it."""
    if isinstance(value, list):
        return [without_secrets(str(part)) for part in value]
    return _URL_USER.sub(HIDDEN, value) if isinstance(value, str) else value
