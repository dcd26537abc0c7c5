"""The TCP MD5 keys (RFC 2385) of the peers on the sockets that listen for them.

A socket without the key of a peer accepts unsigned segments of it.  So a peer is rejected until its
key is set on every listening socket.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable

from porter_ryu.bgp import transport
from porter_ryu.domain.peering import PeerConfig, Secret
from porter_ryu.log import reason_of

LOG = logging.getLogger(__name__)


class Md5Keys:
    """Sets and removes keys; `sockets` returns the sockets that listen now."""

    def __init__(self, sockets: Callable[[], Iterable[socket.socket]]) -> None:
        self._sockets = sockets
        self._missing: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether the keys of all peers are set."""
        return not self._missing

    def is_missing(self, peer: PeerConfig) -> bool:
        """Whether a peer has a key that could not be set on every socket."""
        return peer.name in self._missing

    def set_on(self, sock: socket.socket, peers: Iterable[PeerConfig]) -> None:
        """Sets the keys of these peers on a new listening socket."""
        for peer in peers:
            if peer.password is not None and not _set(sock, peer, peer.password):
                self._missing.add(peer.name)

    def set(self, peer: PeerConfig) -> None:
        """Sets the key of a peer on all listening sockets."""
        self._missing.discard(peer.name)
        if peer.password is None:
            return
        for sock in self._sockets():
            if not _set(sock, peer, peer.password):
                self._missing.add(peer.name)

    def remove(self, peer: PeerConfig, wanted: Iterable[PeerConfig]) -> None:
        """Removes the key of a session from all listening sockets, unless one of the `wanted`
        sessions is with the same address, to which the key belongs, and has a key, too."""
        self._missing.discard(peer.name)
        kept = any(other.address == peer.address and other.password for other in wanted)
        if peer.password is not None and not kept:
            for sock in self._sockets():
                _set(sock, peer, None)


def _set(sock: socket.socket, peer: PeerConfig, key: Secret | None) -> bool:
    if sock.family != transport.family_of(peer.address):
        return True
    try:
        transport.set_md5(sock, peer.address, key)
    except OSError as error:
        LOG.error("peer %s: cannot set its TCP MD5 key: %s", peer.name, reason_of(error))
        return False
    return True
