"""Which `Host` fields are answered: over loopback, only those that name this host.

A web page of another origin makes a browser on this host ask by DNS rebinding: the name of the page
resolves to loopback, and the browser takes the answer for one of the page's own server.  Such a
request has that name as its Host.  An address or `localhost` cannot be rebound.  Who
comes over another address needs no browser on this host, so there every Host is answered.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Set
from ipaddress import ip_address

from porter_ryu.domain.model import Address

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::\d{1,5})?")
_LOCALHOST = "localhost"
_MAX_CHARACTERS = 65_536  # of the file of names


def is_answered(local: Address, host: str, names: Set[str]) -> bool:
    """Whether a request to the address `local` with this Host field ('': none) is answered; `names`
    are those of this host, in lower case."""
    if not local.is_loopback or not host:
        return True
    name = name_in(host)
    if name == _LOCALHOST or name.endswith(f".{_LOCALHOST}") or name in names:  # RFC 6761, 6.3
        return True
    # no name in the DNS ends in a number: 127.1 is an address as well
    return _address(name) is not None or name.rpartition(".")[2].isdecimal()


def names_loopback(host: str) -> bool:
    """Whether a Host field is localhost, 127.0.0.0/8 or [::1], with or without a port."""
    name = name_in(host)
    address = _address(name)
    return name == _LOCALHOST or (address is not None and address.is_loopback)


def name_in(host: str) -> str:
    """The name or the address in a Host field, in lower case; '' if it is not valid."""
    found = _HOST.fullmatch(host)
    if found is None:
        return ""
    name = found[1] or found[2]
    return name.lower().removesuffix(".") if found[2] else name


def own_names(file: str = "/etc/hosts") -> frozenset[str]:
    """The names of this host, in lower case: its own, the first label of that, and those that
    `file` gives a loopback address, such as 127.0.1.1 on Debian."""
    whole = socket.gethostname().lower().removesuffix(".")
    return frozenset({whole, whole.partition(".")[0], *_names_of_loopback(file)} - {""})


def _names_of_loopback(file: str) -> Iterator[str]:
    try:
        with open(file, encoding="utf-8", errors="replace") as hosts:
            text = hosts.read(_MAX_CHARACTERS)
    except OSError:
        return
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        found = _address(address)
        if found is not None and found.is_loopback:
            yield from (name.lower().removesuffix(".") for name in names)


def _address(name: str) -> Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
