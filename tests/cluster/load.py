"""A client that asks so many times a second, each time by a new connection, and counts.

No source port is used twice.  A connection that the leaf moved to another node leaves an entry at
its first node, and a later one from the same port would be sent on to a Pod that may be gone.

Run inside the client's network namespace, by its path; ends at SIGTERM and prints what it saw:
{"asked": N, "lost": N, "errors": [[BEGAN, ENDED, TEXT], …], "answers": {POD: N},
"clients": {ADDRESS: N}}; there are at most 100 errors, with times in seconds since the epoch.
"""

from __future__ import annotations

import collections
import http.client
import json
import signal
import sys
import threading
import time

_TIMEOUT = 3.0
_MAX_ERRORS = 100


def main() -> None:
    """Asks the host `argv[1]`, `argv[2]` times a second, from source ports `argv[3]` and up."""
    address, rate, first_port = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    answers: collections.Counter[str] = collections.Counter()
    clients: collections.Counter[str] = collections.Counter()
    errors: list[tuple[float, float, str]] = []
    lock = threading.Lock()
    # no Event: its lock may be held by the very thread that handles the signal
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))

    def ask(port: int) -> None:
        began = time.time()
        connection = http.client.HTTPConnection(
            address, timeout=_TIMEOUT, source_address=("", port)
        )
        try:
            connection.request("GET", "/")
            pod, client = connection.getresponse().read().decode().split()
        except (OSError, ValueError, http.client.HTTPException) as error:
            with lock:
                errors.append((began, time.time(), str(error)))
            return
        finally:
            connection.close()
        with lock:
            answers[pod] += 1
            clients[client] += 1

    due, asked, threads = time.monotonic(), 0, []
    while not ended:
        thread = threading.Thread(target=ask, args=(first_port + asked,))
        thread.start()
        threads.append(thread)
        asked += 1
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
    for thread in threads:
        thread.join()
    seen = {"asked": asked, "lost": len(errors), "errors": errors[:_MAX_ERRORS]}
    print(json.dumps({**seen, "answers": answers, "clients": clients}), flush=True)


if __name__ == "__main__":
    main()
