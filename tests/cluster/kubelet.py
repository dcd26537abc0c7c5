"""As much of a kubelet as the tests need: it reports its node and runs its Pods, each a small HTTP
server on addresses of its own, IPv4 and IPv6, that says its name and who asked.

Run inside a node's network namespace, by its path.  SIGUSR1: it falls silent, while its Pods go on
serving; SIGUSR2: it speaks again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

Json = dict[str, Any]
READY = "tests/ready"  # an annotation: "false" is a Pod whose probe fails
_PORT = 8080
_HEARTBEAT = 1.0


class Api:
    """The API server, by a token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def open(self, method: str, path: str, body: Json | None = None, timeout: float = 5.0) -> Any:
        """Sends one request; returns the answer to read."""
        request = urllib.request.Request(self._url + path, method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        patches = method == "PATCH"
        kind = "application/strategic-merge-patch+json" if patches else "application/json"
        request.add_header("Content-Type", kind)
        data = json.dumps(body).encode() if body is not None else None
        return urllib.request.urlopen(request, data, timeout, context=self._context)

    def send(self, method: str, path: str, body: Json | None = None) -> None:
        """Sends one request; an object that is gone is none to worry about."""
        try:
            self.open(method, path, body).close()
        except urllib.error.HTTPError as error:
            if error.code not in (404, 409):
                raise


class Pod:
    """A running Pod."""

    def __init__(self, name: str, uid: str, addresses: list[str]) -> None:
        self.name = name
        self.uid = uid
        self.addresses = addresses
        self.ending = False
        self._servers = [self._serve(address) for address in addresses]

    def _serve(self, address: str) -> ThreadingHTTPServer:
        at_once = ["nodad"] if ":" in address else []
        subprocess.run(["ip", "address", "add", *_on_lo(address), *at_once], check=True)
        pod = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"{pod.name} {self.client_address[0]}\n".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            request_queue_size = 128
            daemon_threads = True

            def server_bind(self) -> None:
                TCPServer.server_bind(self)  # HTTPServer's asks the DNS for a name besides

        server = Server((address, _PORT), Answer)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def stop(self) -> None:
        """Serves no longer."""
        for address, server in zip(self.addresses, self._servers, strict=True):
            server.shutdown()
            server.server_close()
            subprocess.run(["ip", "address", "del", *_on_lo(address)], check=False)


class Kubelet:
    """Of one node; `pods` are what the addresses of its Pods begin with."""

    def __init__(self, api: Api, node: str, addresses: list[str], pods: list[str]) -> None:
        self._api, self._node, self._addresses, self._pods = api, node, addresses, pods
        self._running: dict[tuple[str, str], Pod] = {}
        self._seen: dict[tuple[str, str], Json] = {}
        self._given = 0
        self._lock = threading.RLock()
        self.silent = False

    def heartbeat(self) -> None:
        """Says that the node is well."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        addresses = [{"type": "InternalIP", "address": address} for address in self._addresses]
        status = {
            "conditions": [{**ready, "lastHeartbeatTime": now}],
            # merged by type, one would take the other's place
            "addresses": [{"$patch": "replace"}, *addresses],
        }
        self._api.send("PATCH", f"/api/v1/nodes/{self._node}/status", {"status": status})

    def watch(self) -> None:
        """Follows its Pods until the server ends the watch."""
        query = f"fieldSelector=spec.nodeName%3D{self._node}"
        with self._api.open("GET", f"/api/v1/pods?{query}") as answer:
            listed = json.load(answer)
        for key in self._seen.keys() - {_key(pod) for pod in listed["items"]}:
            self._stop(key)
        for pod in listed["items"]:
            self._sync(pod)
        version = listed["metadata"]["resourceVersion"]
        path = f"/api/v1/pods?{query}&watch=true&resourceVersion={version}"
        with self._api.open("GET", path, timeout=3600) as answer:
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] == "DELETED":
                    self._stop(_key(event["object"]))
                else:
                    self._sync(event["object"])

    def speak(self, aloud: bool) -> None:
        """Falls silent, or catches up with what it has not said."""
        was_silent, self.silent = self.silent, not aloud
        if aloud and was_silent:
            threading.Thread(target=self._catch_up, daemon=True).start()

    def _catch_up(self) -> None:
        time.sleep(_HEARTBEAT)  # a real one takes some seconds longer
        for pod in list(self._seen.values()):
            self._sync(pod)

    def _sync(self, pod: Json) -> None:
        key = _key(pod)
        with self._lock:
            self._seen[key] = pod
            if self.silent:
                return
            running = self._running.get(key)
            if running is not None and running.uid != pod["metadata"]["uid"]:
                self._stop(key)
                self._seen[key], running = pod, None
            if pod["metadata"].get("deletionTimestamp"):
                self._end(key, pod["metadata"].get("deletionGracePeriodSeconds") or 0)
                return
            if running is None:
                self._given += 1
                addresses = [f"{start}{self._given}" for start in self._pods]
                running = self._running[key] = Pod(key[1], pod["metadata"]["uid"], addresses)
            self._report(key, pod, running)

    def _report(self, key: tuple[str, str], pod: Json, running: Pod) -> None:
        annotations = pod["metadata"].get("annotations", {})
        ready = "False" if annotations.get(READY) == "false" else "True"
        known = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", ())}
        if known.get("Ready") == ready and pod["status"].get("podIP") == running.addresses[0]:
            return
        status = {
            "phase": "Running",
            "podIP": running.addresses[0],
            "podIPs": [{"ip": address} for address in running.addresses],
            "conditions": [
                {"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")
            ],
        }
        self._api.send("PATCH", f"{_path(key)}/status", {"status": status})

    def _end(self, key: tuple[str, str], grace: float) -> None:
        running = self._running.get(key)
        if running is None:
            self._api.send("DELETE", f"{_path(key)}?gracePeriodSeconds=0")
        elif not running.ending:
            running.ending = True
            threading.Timer(grace, self._ended, (key, running)).start()

    def _ended(self, key: tuple[str, str], ended: Pod) -> None:
        """Unless another Pod of this name has taken its place by now."""
        if self._running.get(key) is ended:
            self._stop(key)
        only = {"gracePeriodSeconds": 0, "preconditions": {"uid": ended.uid}}
        self._api.send("DELETE", _path(key), only)

    def _stop(self, key: tuple[str, str]) -> None:
        with self._lock:
            self._seen.pop(key, None)
            running = self._running.pop(key, None)
        if running is not None:
            running.stop()


def _on_lo(address: str) -> list[str]:
    return [f"{address}/{128 if ':' in address else 32}", "dev", "lo"]


def _key(pod: Json) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _path(key: tuple[str, str]) -> str:
    return f"/api/v1/namespaces/{key[0]}/pods/{key[1]}"


def main() -> None:
    """Runs until it is ended; an API server that is away is tried again."""
    parser = argparse.ArgumentParser()
    for name in ("url", "token", "node"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("addresses", "pods"):
        parser.add_argument(f"--{name}", required=True, nargs=2, help="IPv4, IPv6")
    given = parser.parse_args()
    kubelet = Kubelet(Api(given.url, given.token), given.node, given.addresses, given.pods)
    signal.signal(signal.SIGUSR1, lambda *_: kubelet.speak(False))
    signal.signal(signal.SIGUSR2, lambda *_: kubelet.speak(True))

    def follow() -> None:
        while True:
            try:
                kubelet.watch()
            except (OSError, http.client.HTTPException, ValueError) as error:
                print(f"watch: {error!r}", flush=True)  # cut off, perhaps in the middle of a line
                time.sleep(0.2)

    threading.Thread(target=follow, daemon=True).start()
    while True:
        if not kubelet.silent:
            try:
                kubelet.heartbeat()
            except (OSError, http.client.HTTPException) as error:
                print(f"heartbeat: {error!r}", flush=True)
        time.sleep(_HEARTBEAT)


if __name__ == "__main__":
    main()
