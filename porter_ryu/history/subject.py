"""What a change can be about: a Service, an address, a peer, a node, an Eip or the restart, as
text.

`NAMESPACE/NAME`, `ADDRESS` or `ADDRESS/LENGTH`, `peer NAME`, `node NAME`, `eip NAME`, `restart`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING

from porter_ryu.domain.text import quoted

if TYPE_CHECKING:  # the commands import this module
    from porter_ryu.domain.model import Address, Network, ObjectKey

_NAMED = ("peer", "node", "eip")
FORMS = "NAMESPACE/NAME, ADDRESS, peer NAME, node NAME, eip NAME or restart"
RESTART = "restart"  # what the start of this process changed


def of_node(name: str) -> str:
    """A node as a subject."""
    return f"node {name}"


def of_peer(name: str) -> str:
    """A peer as a subject."""
    return f"peer {name}"


def of_eip(name: str) -> str:
    """An Eip as a subject."""
    return f"eip {name}"


def of_service(key: ObjectKey) -> str:
    """A Service as a subject."""
    return f"{key.namespace}/{key.name}"


def of_prefix(prefix: Address | Network) -> str:
    """An address or a prefix as a subject; a prefix of one address is that address."""
    if isinstance(prefix, IPv4Address | IPv6Address):
        return str(prefix)
    if prefix.prefixlen == prefix.max_prefixlen:
        return str(prefix.network_address)
    return str(prefix)


class About:
    """A question about one subject.  Raises ValueError with a sentence for a text that names
    none."""

    def __init__(self, text: str) -> None:
        self._prefix: Network | None = None
        first, *rest = text.split() or [""]
        if (first in _NAMED and len(rest) == 1) or (first == RESTART and not rest):
            self._subject = " ".join([first, *rest])
            return
        try:
            self._prefix = None if rest else ip_network(first, strict=False)
        except ValueError:
            pass
        namespace, _, name = first.partition("/")
        if self._prefix is not None:
            self._subject = of_prefix(self._prefix)
        elif namespace and name and "/" not in name and not rest:
            self._subject = first
        else:
            raise ValueError(f"{quoted(text)} is not {FORMS}")

    def matches(self, subjects: tuple[str, ...]) -> bool:
        """Whether one of these subjects is the one in question, or a prefix that contains it."""
        if self._subject in subjects:
            return True
        prefix = self._prefix
        return prefix is not None and any(_contains(subject, prefix) for subject in subjects)


def _contains(subject: str, prefix: Network) -> bool:
    """Whether a subject is a shorter prefix that contains this one."""
    if not subject.rpartition("/")[2].isdecimal():
        return False
    try:
        other = ip_network(subject)
    except ValueError:  # the Service net/24 is no prefix
        return False
    return other.version == prefix.version and prefix.network_address in other
