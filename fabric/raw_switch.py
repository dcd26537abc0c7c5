"""The octets of OpenFlow on a bare socket, as whatever pretends to be a switch sends them."""

from __future__ import annotations

import socket
import struct

from fabric import Host, inside
from fabric.openvswitch import PORT

HELLO, ECHO_REQUEST, ECHO_REPLY = 0, 2, 3
FEATURES_REQUEST, FEATURES_REPLY = 5, 6
PACKET_IN, FLOW_MOD, GROUP_MOD = 10, 14, 15
MULTIPART_REQUEST, MULTIPART_REPLY = 18, 19
BARRIER_REQUEST, BARRIER_REPLY = 20, 21
HEADER = struct.Struct(">BBHI")
OPENFLOW_13 = 4
_OPENFLOW_BASIC = 1


def message(kind: int, body: bytes = b"", version: int = OPENFLOW_13, xid: int = 1) -> bytes:
    """OpenFlow 1.3.5, 7.1: ofp_header."""
    return HEADER.pack(version, kind, HEADER.size + len(body), xid) + body


def features(datapath_id: int, version: int = OPENFLOW_13) -> bytes:
    """OpenFlow 1.3.5, 7.3.1: ofp_switch_features, with 254 tables."""
    return message(FEATURES_REPLY, struct.pack(">QIBBxxII", datapath_id, 256, 254, 0, 0x4F, 0))


def packet_in(frame: bytes, port: int = 1) -> bytes:
    """OpenFlow 1.3.5, 7.4.1: ofp_packet_in, for a table-miss flow."""
    match = struct.pack(">HHHBBI", 1, 12, 0x8000, 4, port, 0)[:12].ljust(16, b"\0")
    head = struct.pack(">IHBBQ", 0xFFFFFFFF, len(frame), 0, 0, 0)
    return message(PACKET_IN, head + match + b"\0\0" + frame)


class RawSwitch:
    """One connection to a controller."""

    def __init__(self, host: Host, to: str, port: int = PORT) -> None:
        with inside(host):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect((to, port))
        self._buffer = b""

    def send(self, octets: bytes) -> None:
        """Sends octets."""
        self.sock.sendall(octets)

    def read(self) -> tuple[int, int, bytes] | None:
        """The next message: its type, its number and its body; None at the end."""
        while True:
            if len(self._buffer) >= HEADER.size:
                _, kind, length, xid = HEADER.unpack_from(self._buffer)
                if len(self._buffer) >= length:
                    body = self._buffer[HEADER.size : length]
                    self._buffer = self._buffer[length:]
                    return kind, xid, body
            try:
                octets = self.sock.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not octets:
                return None
            self._buffer += octets

    def shake_hands(self, datapath_id: int) -> None:
        """Is a switch of OpenFlow 1.3 until its features are told."""
        self.send(message(HELLO))
        while (found := self.read()) is not None:
            kind, xid, _ = found
            if kind == FEATURES_REQUEST:
                reply = features(datapath_id)
                self.send(reply[:4] + struct.pack(">I", xid) + reply[8:])
                return

    def close(self) -> None:
        """Ends the connection."""
        self.sock.close()
