"""A crowd of HTTP clients at once, run inside a namespace; prints what became of them as JSON.

Meanwhile one well-behaved client asks /healthz ten times a second and measures how long it waits.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import sys
import time

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
WHERE = ("127.0.0.1", 8080)


async def ask(data: bytes) -> bytes:
    """A complete response."""
    reader, writer = await asyncio.open_connection(*WHERE)
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()


async def health(waits: list[float], failures: list[str]) -> None:
    """Sends requests until it is cancelled."""
    while True:
        started = time.monotonic()
        try:
            answer = await asyncio.wait_for(ask(HEALTH), 30)
            if b" 200 " not in answer.partition(b"\r\n")[0]:
                failures.append(answer.decode(errors="replace"))
        except (OSError, TimeoutError, asyncio.TimeoutError) as error:
            failures.append(repr(error))
        waits.append(time.monotonic() - started)
        await asyncio.sleep(0.1)


async def be_late(delays: list[float]) -> None:
    """Notes by how much this process is later than it has to be, until it is cancelled."""
    while True:
        due = time.monotonic() + 0.05
        await asyncio.sleep(0.05)
        delays.append(time.monotonic() - due)


async def client(data: bytes, manner: str, seconds: float) -> str:
    """A client that `reads` its response, `holds` its connection open, or is `slow`; one that
    `follows` reads a response that does not end, and one that `vanishes` reads nothing of it, each
    for these seconds."""
    try:
        reader, writer = await asyncio.open_connection(*WHERE, limit=4096)
        writer.write(data)
        if manner in ("holds", "vanishes"):
            await asyncio.sleep(seconds)
        if manner == "vanishes":
            writer.transport.abort()
            return "vanished"
        until = time.monotonic() + seconds
        first, size = b"", 0
        octets = 1 << 16 if manner in ("reads", "follows") else 100
        while piece := await asyncio.wait_for(reader.read(octets), 120):
            first, size = first or piece, size + len(piece)
            if manner == "follows" and time.monotonic() > until:
                break
            if manner == "slow":
                await asyncio.sleep(0.1)
                if time.monotonic() > until:
                    break
        writer.close()
        whole = size and manner == "reads" and not piece
        return f"{first[9:12].decode()} {'whole' if whole else 'ended'}"
    except OSError as error:
        return type(error).__name__


async def main(count: int, manner: str, seconds: float, data: bytes) -> None:
    """Prints the number of each outcome, and the failures of the well-behaved client."""
    waits: list[float] = []
    failures: list[str] = []
    delays = [0.0]
    watching = asyncio.gather(health(waits, failures), be_late(delays))
    await asyncio.sleep(0.3)
    started = time.monotonic()
    outcomes = await asyncio.gather(*(client(data, manner, seconds) for _ in range(count)))
    took = time.monotonic() - started
    await asyncio.sleep(0.3)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    print(
        json.dumps(
            {
                "outcomes": collections.Counter(outcomes),
                "slowest": max(waits),
                "late": max(delays),
                "asked": len(waits),
                "failures": failures,
                "took": took,
            }
        )
    )


if __name__ == "__main__":
    text = sys.argv[4].encode().decode("unicode_escape").encode("latin-1")
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), text))
