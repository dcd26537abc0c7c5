"""A real API server: five informers as a Source, and where status and Events go."""

from __future__ import annotations

import time
from hashlib import sha256

from ryu.lib import hub

from porter_ryu.domain.model import Eip, EipStatus, Kind, Service, ServiceStatus
from porter_ryu.domain.ports import Observer
from porter_ryu.kube import patches
from porter_ryu.kube.client import JSON_MERGE, PATHS, STRATEGIC_MERGE, Client
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.fields import Json
from porter_ryu.kube.informer import Informer

_COMPONENT = "porter-ryu"


class Api:
    """Source and writer.Backend on one Client."""

    def __init__(self, client: Client, codec: Codec) -> None:
        self.client = client
        self._informers = {kind: Informer(kind, client, codec) for kind in Kind}

    def start(self, observer: Observer) -> None:
        """Spawns one greenthread a kind (Source)."""
        for informer in self._informers.values():
            hub.spawn(informer.run, observer)

    def stop(self) -> None:
        """Ends them (Source)."""
        for informer in self._informers.values():
            informer.stop()

    def read_once(self, observer: Observer) -> None:
        """Lists every kind once; raises ApiError."""
        for informer in self._informers.values():
            informer.list_once(observer)

    def patch_service(self, service: Service, status: ServiceStatus) -> Service | None:
        """Patches services/status (writer.Backend); raises ApiError."""
        path = f"/api/v1/namespaces/{service.key.namespace}/services/{service.key.name}/status"
        patch = patches.service_patch(service, status, _now())
        answer = self.client.request("PATCH", path, None, patch, STRATEGIC_MERGE)
        written = self._informers[Kind.SERVICE].accept(answer)
        return written if isinstance(written, Service) else None

    def patch_eip(self, eip: Eip, status: EipStatus) -> Eip | None:
        """Patches eips/status (writer.Backend); raises ApiError."""
        patch = patches.eip_document(eip, status, _now())
        if eip.resource_version:
            patch["metadata"] = {"resourceVersion": eip.resource_version}
        path = f"{PATHS[Kind.EIP]}/{eip.name}/status"
        answer = self.client.request("PATCH", path, None, patch, JSON_MERGE)
        written = self._informers[Kind.EIP].accept(answer)
        return written if isinstance(written, Eip) else None

    def event(self, subject: Service | Eip, warning: bool, reason: str, message: str) -> None:
        """Creates a core/v1 Event (writer.Backend); raises ApiError.

        Those about cluster-scoped Eips go to `default`, where alone they are accepted.
        """
        event = _event(subject, warning, reason, message)
        namespace = event["metadata"]["namespace"]
        self.client.request("POST", f"/api/v1/namespaces/{namespace}/events", None, event)


def _event(subject: Service | Eip, warning: bool, reason: str, message: str) -> Json:
    if isinstance(subject, Service):
        version, kind = "v1", "Service"
        namespace, name = subject.key
    else:
        version, kind = "network.kubesphere.io/v1alpha2", "Eip"
        namespace, name = "default", subject.name
    now = time.time()
    unique = sha256(f"{kind}{subject.uid}{reason}{now}".encode()).hexdigest()[:16]
    involved = {"apiVersion": version, "kind": kind, "name": name, "uid": subject.uid}
    if isinstance(subject, Service):
        involved["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": namespace, "name": f"{name[:200]}.{unique}"},
        "involvedObject": involved,
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message[:1000],
        "source": {"component": _COMPONENT},
        "firstTimestamp": _now(),
        "lastTimestamp": _now(),
        "count": 1,
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
