"""A real control plane on one host of the fabric: etcd and kube-apiserver, with RBAC."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.fabric import Host, end, wait_for

Json = dict[str, Any]
_PORT = 6443
_ADMIN = "an-admin-of-the-tests"


class ControlPlane:
    """etcd and kube-apiserver at an address of a host; `binaries` is where they were built."""

    def __init__(self, host: Host, address: str, binaries: Path) -> None:
        self.host = host
        self.url = f"https://{address}:{_PORT}"
        self._address = address
        self._binaries = binaries
        self._folder = host.folder
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> ControlPlane:
        """Starts both and waits until the server is ready."""
        key = self._folder / "sa.key"
        self.host.run(f"openssl genrsa -out {key} 2048")
        (self._folder / "tokens").write_text(f"{_ADMIN},admin,1,system:masters\n")
        self._etcd = self.host.spawn(
            f"etcd --data-dir {self._folder}/etcd --unsafe-no-fsync "
            "--listen-client-urls http://127.0.0.1:2379 "
            "--advertise-client-urls http://127.0.0.1:2379 "
            "--listen-peer-urls http://127.0.0.1:2380",
            "etcd.log",
        )
        self.start_server()
        self.kubeconfig("admin", _ADMIN)
        return self

    def start_server(self) -> None:
        """Starts the API server, again after `kill_server`."""
        key = self._folder / "sa.key"
        self._server = self.host.spawn(
            f"{self._binaries}/kube-apiserver --etcd-servers http://127.0.0.1:2379 "
            f"--authorization-mode=RBAC --token-auth-file {self._folder}/tokens "
            f"--service-account-issuer https://tests --service-account-key-file {key} "
            f"--service-account-signing-key-file {key} --bind-address {self._address} "
            f"--advertise-address {self._address} --secure-port {_PORT} "
            f"--cert-dir {self._folder}/certs --service-cluster-ip-range 10.96.0.0/16 "
            "--disable-admission-plugins ServiceAccount",
            "apiserver.log",
        )
        wait_for(self._ready, bool, 60, "the API server to be ready")

    def kill_server(self) -> None:
        """Ends the API server at once."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def stop(self) -> None:
        """Ends both."""
        for process in (self._server, self._etcd):
            if process is not None:
                end(process)

    def _ready(self) -> bool:
        answer = self.host.run(
            f"curl -sk -o /dev/null -w %{{http_code}} {self.url}/readyz", check=False
        )
        return answer == "200"

    def kubeconfig(self, name: str, token: str) -> Path:
        """A kubeconfig with a token."""
        path = self._folder / f"{name}.kubeconfig"
        cluster = {"server": self.url, "insecure-skip-tls-verify": True}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "c",
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                }
            )
        )
        os.chmod(path, 0o600)
        return path

    def service_account(self, name: str) -> Path:
        """A kubeconfig of a ServiceAccount of porter-system."""
        token = self.kubectl("create", "token", name, "-n", "porter-system").strip()
        return self.kubeconfig(name, token)

    def kubectl(self, *words: str, text: str = "", check: bool = True) -> str:
        """What kubectl prints, as an administrator."""
        config = self._folder / "admin.kubeconfig"
        argv = [f"{self._binaries}/kubectl", "--kubeconfig", str(config), *words]
        return self.host.run(argv, text=text, check=check)

    def apply(self, *objects: Json) -> None:
        """Applies objects, their status as well."""
        text = yaml.safe_dump_all(objects)
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
        for obj in objects:
            if obj["kind"] == "Node":
                patch = json.dumps({"status": obj["status"]})
                self.kubectl(
                    "patch",
                    "node",
                    obj["metadata"]["name"],
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    patch,
                )

    def get(self, *words: str) -> Json:
        """An object."""
        found: Json = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found
