"""Stands before the API server and answers a share of all requests with an error of its own.

Run by its path: `fault_proxy.py ADDRESS PORT UPSTREAM_PORT FILE`.  FILE says what to do, now:
{"share": 0.2, "codes": [409, 429, 500]}; with "watch": 410 every watch is answered so, with "gone"
it begins and is told at once that its resourceVersion is too old, with "empty" it ends at once.
Plain HTTP in, TLS out; one request a connection.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
from pathlib import Path

_REASONS = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_CHUNK = 1 << 16
_WATCH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
_GONE = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    },
}


def faulty(code: int) -> bytes:
    """An answer of the API's own form."""
    status = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": _REASONS[code],
        "message": "a fault of the tests",
    }
    body = json.dumps(status).encode()
    after = "Retry-After: 1\r\n" if code == 429 else ""
    head = f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: application/json\r\n{after}"
    return f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Proxy:
    """One upstream."""

    def __init__(self, address: str, port: int, faults: Path) -> None:
        self._address, self._port, self._faults = address, port, faults
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = [line for line in lines[1:-2] if not line.lower().startswith("connection:")]
            sizes = [
                line.split(":")[1] for line in headers if line.lower()[:15] == "content-length:"
            ]
            body = await reader.readexactly(int(sizes[0])) if sizes else b""
            faults = json.loads(self._faults.read_text())
            watch = faults.get("watch") if "watch=true" in lines[0] else None
            if isinstance(watch, int):
                writer.write(faulty(watch))
            elif watch is not None:
                writer.write(_WATCH_HEAD)
                writer.write(json.dumps(_GONE).encode() + b"\n" if watch == "gone" else b"")
            elif random.random() < faults["share"]:
                writer.write(faulty(random.choice(faults["codes"])))
            else:
                text = "\r\n".join([lines[0], *headers, "Connection: close", "", ""])
                await self._pass_on(text.encode("latin-1") + body, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _pass_on(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        upstream, sender = await asyncio.open_connection(
            self._address, self._port, ssl=self._context
        )
        try:
            sender.write(request)
            while chunk := await upstream.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
        finally:
            sender.close()


async def main() -> None:
    """Serves until it is ended."""
    address, port, upstream, faults = sys.argv[1:]
    proxy = Proxy(address, int(upstream), Path(faults))
    server = await asyncio.start_server(proxy.serve, address, int(port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
