"""A directory of manifests with a Source over it, and what that told."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from porter_ryu.domain.model import Condition, Kind, ObjectId, ObjectKey, ServiceStatus
from porter_ryu.domain.objects import Unreadable
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.manifests import Manifests
from porter_ryu.supervisor import Supervisor
from tests.unit.told import Told
from tests.unit.until import until

CODEC = Codec("lb.kubesphere.io/v1alpha1", frozenset(["porter"]))
ANNOUNCED = Condition("porter.kubesphere.io/Allocated", True, "Allocated", "x")


def key(name: str) -> ObjectId:
    """A Service of the default namespace."""
    return Kind.SERVICE, ObjectKey("default", name)


def pool(name: str) -> ObjectId:
    """An Eip."""
    return Kind.EIP, ObjectKey("", name)


class Directory:
    """Files, `.status`, and a source that runs while it is entered."""

    def __init__(self, path: Path, keeps_status: bool = True) -> None:
        self.path = path
        self.told = Told()
        self.supervisor = Supervisor()
        self.source = Manifests(str(path), CODEC, keeps_status, self.supervisor)

    def __enter__(self) -> Directory:
        self.source.start(self.told)
        until(lambda: self.told.lists == len(Kind), "everything is listed")
        return self

    def __exit__(self, *_: object) -> None:
        self.source.stop()
        assert self.supervisor.faults == ()

    def put(self, name: str, *documents: object) -> None:
        """A file of YAML."""
        (self.path / name).write_text(yaml.safe_dump_all(documents))

    def record(self, name: str, *addresses: str) -> Path:
        """The status file of a Service, as an earlier run left it."""
        path = self.path / ".status" / "services" / "default" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        ingress = [{"ip": address} for address in addresses]
        path.write_text(json.dumps({"status": {"loadBalancer": {"ingress": ingress}}}))
        return path

    def write(self, name: str) -> None:
        """Writes status for a Service, as the writer does."""
        service = self.told.service(name)
        self.source.patch(service, ServiceStatus(service.ingress, (ANNOUNCED,)))

    def is_alive(self, marker: str) -> None:
        """Asserts that a change still acts."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": marker}}
        self.put(f"{marker}.yaml", namespace)
        wanted = (Kind.NAMESPACE, ObjectKey("", marker))
        until(lambda: wanted in self.told, f"{marker} acts")

    def unreadable(self, name: str) -> Unreadable:
        """What was told of a Service that cannot be read."""
        until(lambda: isinstance(self.told.get(key(name)), Unreadable), f"{name} is unreadable")
        return self.told.unreadable(name)
