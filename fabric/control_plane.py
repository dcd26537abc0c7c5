"""A real control plane on one host of the fabric: etcd, kube-apiserver with RBAC and an audit log
of our ServiceAccounts, and kube-controller-manager.

The cluster tests and the benchmarks use it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

import yaml

from fabric import FabricError, Host, end, wait_for
from fabric.api_requests import APPLY, JSON, JSON_MERGE, Connection, RefusedError, Request

Json = dict[str, Any]
NAMESPACE = "porter-system"
_PORT = 6443
ADMIN = "an-admin-of-the-tests"
SHIPPED = ("-f", "deploy/porter-ryu.yaml", "-f", "deploy/porter-ryu-node.yaml")
_OURS = tuple(f"system:serviceaccount:{NAMESPACE}:{n}" for n in ("porter-ryu", "porter-ryu-node"))
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": list(_OURS)}, {"level": "None"}],
}
_CONTROLLERS = (
    "endpointslice-controller,namespace-controller,node-lifecycle-controller,"
    "garbage-collector-controller"
)

_OUR_GROUP = "/apis/network.kubesphere.io"
# where the API server has a kind, its plural, and whether it is in a namespace
_KINDS = {
    "configmap": ("/api/v1", "configmaps", True),
    "endpointslice": ("/apis/discovery.k8s.io/v1", "endpointslices", True),
    "eip": (f"{_OUR_GROUP}/v1alpha2", "eips", False),
    "eip v1alpha1": (f"{_OUR_GROUP}/v1alpha1", "eips", False),
    "event": ("/api/v1", "events", True),
    "lease": ("/apis/coordination.k8s.io/v1", "leases", True),
    "namespace": ("/api/v1", "namespaces", False),
    "node": ("/api/v1", "nodes", False),
    "pod": ("/api/v1", "pods", True),
    "secret": ("/api/v1", "secrets", True),
    "service": ("/api/v1", "services", True),
    "serviceaccount": ("/api/v1", "serviceaccounts", True),
}
_VERSIONS = {"network.kubesphere.io/v1alpha1": "eip v1alpha1"}  # of which a kind has several


def binaries() -> Path:
    """The folder with Kubernetes' parts: what PORTER_RYU_KUBERNETES says, else that of the user's
    cache, into which they are built once, in some minutes."""
    told = os.environ.get("PORTER_RYU_KUBERNETES")
    if told is None:
        build = Path(__file__).parent / "kubernetes" / "build"
        told = subprocess.run([build], stdout=subprocess.PIPE, text=True, check=True).stdout
    return Path(told.strip())


class ControlPlane:
    """The components on an address of a host.

    `binaries` is their folder, `controllers` the list of controllers ('': no
    kube-controller-manager), and `more` has additional flags of kube-apiserver.
    """

    def __init__(
        self,
        host: Host,
        address: str,
        binaries: Path,
        controllers: str = _CONTROLLERS,
        more: str = "",
    ) -> None:
        self.host = host
        self._controllers = controllers
        self._more = more
        self.binaries = binaries
        self.url = f"https://{address}:{_PORT}"
        self._address = address
        self._folder = host.folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> ControlPlane:
        """Starts all components and waits until the API server is ready."""
        (self._folder / "tokens").write_text(f"{ADMIN},admin,1,system:masters\n")
        (self._folder / "audit.yaml").write_text(yaml.safe_dump(_AUDIT))
        self.host.run(f"openssl genrsa -out {self._folder}/sa.key 2048")
        self._start_etcd()
        self.kubeconfig("admin", ADMIN)
        self.start_server()
        return self

    def _start_etcd(self) -> None:
        self._processes["etcd"] = self.host.spawn(
            f"etcd --data-dir {self._folder}/etcd --unsafe-no-fsync "
            "--listen-client-urls http://127.0.0.1:2379 "
            "--advertise-client-urls http://127.0.0.1:2379 "
            "--listen-peer-urls http://127.0.0.1:2380",
            "etcd.log",
        )

    def _start_manager(self) -> None:
        """Restarted with each API server: after a lost connection it would wait half a minute."""
        if "manager" in self._processes:
            end(self._processes["manager"])
        if not self._controllers:
            return
        self._processes["manager"] = self.host.spawn(
            f"{self.binaries}/kube-controller-manager --kubeconfig {self.admin} "
            f"--leader-elect=false --controllers {self._controllers} --kube-api-qps 200 "
            "--kube-api-burst 400 --node-monitor-period 500ms --node-monitor-grace-period 8s "
            "--bind-address 127.0.0.1",
            "controller-manager.log",
        )

    def start_server(self) -> None:
        """Starts the API server, again after `kill_server`."""
        key = self._folder / "sa.key"
        self._processes["server"] = self.host.spawn(
            f"{self.binaries}/kube-apiserver --etcd-servers http://127.0.0.1:2379 "
            f"--authorization-mode=RBAC --token-auth-file {self._folder}/tokens "
            f"--service-account-issuer https://tests --service-account-key-file {key} "
            f"--service-account-signing-key-file {key} --bind-address {self._address} "
            f"--advertise-address {self._address} --secure-port {_PORT} "
            f"--cert-dir {self._folder}/certs "
            "--service-cluster-ip-range 10.96.0.0/16,fd00:96::/112 "
            f"--audit-policy-file {self._folder}/audit.yaml "
            f"--audit-log-path {self._folder}/audit.log "
            f"--disable-admission-plugins ServiceAccount {self._more}",
            "apiserver.log",
        )
        wait_for(self._ready, bool, 60, "the API server to be ready")
        self._start_manager()

    def kill_server(self) -> None:
        """Ends the API server by SIGKILL."""
        if "server" in self._processes:
            self._processes["server"].kill()
            self._processes["server"].wait()

    def stop(self) -> None:
        """Ends all components."""
        for name in ("manager", "server", "etcd"):
            if name in self._processes:
                end(self._processes[name])

    def install(self) -> None:
        """Applies the shipped manifests."""
        self.kubectl("apply", *SHIPPED)
        crd = "crd/eips.network.kubesphere.io"
        self.kubectl("wait", "--for=condition=Established", crd, "--timeout=120s")

    def back_up(self) -> None:
        """Copies the current data of etcd."""
        self._processes["etcd"].send_signal(signal.SIGSTOP)
        shutil.copytree(self._folder / "etcd", self._folder / "backup")
        self._processes["etcd"].send_signal(signal.SIGCONT)

    def restore(self) -> None:
        """Restores etcd from the copy."""
        self.kill_server()
        end(self._processes["etcd"])
        shutil.rmtree(self._folder / "etcd")
        (self._folder / "backup").rename(self._folder / "etcd")
        self._start_etcd()
        self.start_server()

    def compact(self) -> None:
        """Makes etcd delete every revision except the newest."""
        etcd = "http://127.0.0.1:2379/v3/kv"
        answer = self.host.json(f'curl -s {etcd}/range -d {{"key":"AA=="}}')
        revision = answer["header"]["revision"]
        self.host.run(f'curl -s {etcd}/compaction -d {{"revision":"{revision}","physical":true}}')

    def audited(self) -> Iterator[Json]:
        """The audited requests of our ServiceAccounts, in order."""
        with open(self._folder / "audit.log", encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)

    def writes(self) -> int:
        """The number of status patches by our ServiceAccounts."""
        return sum(
            entry["verb"] == "patch" and entry["objectRef"].get("subresource") == "status"
            for entry in self.audited()
        )

    def _ready(self) -> bool:
        answer = self.host.run(
            f"curl -sk -o /dev/null -w %{{http_code}} {self.url}/readyz", check=False
        )
        return answer == "200"

    @property
    def admin(self) -> Path:
        """The kubeconfig of an administrator."""
        return self._folder / "admin.kubeconfig"

    @property
    def authority(self) -> Path:
        """The certificate of the API server, which is self-signed."""
        return self._folder / "certs" / "apiserver.crt"

    def kubeconfig(self, name: str, token: str, url: str = "", token_file: str = "") -> Path:
        """Writes a kubeconfig with a token, or with the path of a token file."""
        path = self._folder / f"{name}.kubeconfig"
        authority = {"certificate-authority": str(self.authority)}
        cluster = {"server": url} if url else {"server": self.url, **authority}
        user = {"tokenFile": token_file} if token_file else {"token": token}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "c",
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": user}],
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                }
            )
        )
        os.chmod(path, 0o600)
        return path

    def token(self, account: str, *more: str) -> str:
        """A token of one of our ServiceAccounts; `more` are options of `kubectl create token`."""
        if more:
            return self.kubectl("create", "token", account, "-n", NAMESPACE, *more).strip()
        path = f"{_path('serviceaccount', account, NAMESPACE)}/token"
        return str(self._ask("POST", path, {"spec": {}})["status"]["token"])

    def service_account(self, name: str, url: str = "") -> Path:
        """A kubeconfig for one of our ServiceAccounts."""
        return self.kubeconfig(f"{name}{'-by-proxy' if url else ''}", self.token(name), url)

    def kubectl(self, *words: str, text: str = "", check: bool = True) -> str:
        """Runs kubectl as an administrator; returns its output."""
        argv = [f"{self.binaries}/kubectl", "--kubeconfig", str(self.admin), *words]
        return self.host.run(argv, text=text, check=check)

    def apply(self, *objects: Json) -> None:
        """Applies objects, with their status if they have one, as `kubectl apply --server-side
        --force-conflicts` does.  Raises FabricError if one is refused."""
        by = "?fieldManager=kubectl&force=true&fieldValidation=Strict"
        for obj in objects:
            metadata = obj["metadata"]
            kind = _VERSIONS.get(obj["apiVersion"]) or obj["kind"]
            path = _path(kind, metadata["name"], metadata.get("namespace", "default"))
            self._ask("PATCH", path + by, {k: v for k, v in obj.items() if k != "status"}, APPLY)
            if "status" in obj:
                self._ask("PATCH", f"{path}/status", {"status": obj["status"]}, JSON_MERGE)

    def delete(self, kind: str, *names: str, namespace: str = "default") -> None:
        """Deletes objects without waiting for dependents; those that are gone already do not
        matter."""
        for name in names:
            self._delete(_path(kind, name, namespace))

    def delete_all(self, kind: str, but: str = "") -> None:
        """Deletes all objects of a kind in the namespace default, except the one named `but`, at
        once, and waits until they are gone."""

        def names() -> list[str]:
            found = (obj["metadata"]["name"] for obj in self.get(kind)["items"])
            return [name for name in found if name != but]

        for name in names():
            self._delete(_path(kind, name) + "?gracePeriodSeconds=0")
        wait_for(names, lambda left: not left, 20, f"no {kind} to be left")

    def get(self, kind: str, name: str = "", namespace: str = "default") -> Json:
        """An object, or without a name the list of all; `namespace` counts for kinds that have one,
        and '' means all namespaces.  Raises FabricError if there is none."""
        return self._ask("GET", _path(kind, name, namespace))

    def _delete(self, path: str) -> None:
        try:
            self._ask("DELETE", path)
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def _ask(
        self, method: str, path: str, body: Json | None = None, content_type: str = JSON
    ) -> Json:
        """Sends a request as an administrator, over a connection of its own because the API server
        may be another one by now; raises FabricError if there is no answer, or a refusal."""
        sent = json.dumps(body).encode() if body is not None else b""
        try:
            connection = Connection(self.host, self.url, ADMIN, self.authority)
            try:
                text = connection.send(Request(method, path, sent, content_type))
            finally:
                connection.close()
        except (OSError, HTTPException) as error:
            raise FabricError(f"{method} {path}: {error!r}") from error
        found: Json = json.loads(text)
        return found


def _path(kind: str, name: str = "", namespace: str = "default") -> str:
    """The path of an object, or without a name of the list of all; '' means all namespaces."""
    prefix, plural, namespaced = _KINDS[kind.lower()]
    inside = f"/namespaces/{namespace}" if namespaced and namespace else ""
    return f"{prefix}{inside}/{plural}{'/' if name else ''}{name}"
