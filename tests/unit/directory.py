"""A directory of manifests with a Source over it, and a recorder of what it reports."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from porter_ryu.domain.model import Condition, Kind, ObjectId, ObjectKey, ServiceStatus
from porter_ryu.domain.objects import Unreadable
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.manifests import Manifests
from porter_ryu.supervisor import Supervisor
from tests.unit.recorder import Recorder
from tests.unit.until import until

CODEC = Codec("lb.kubesphere.io/v1alpha1", frozenset(["porter"]))
ANNOUNCED = Condition("porter.kubesphere.io/Allocated", True, "Allocated", "x")


def key(name: str) -> ObjectId:
    """The id of a Service in the default namespace."""
    return Kind.SERVICE, ObjectKey("default", name)


def pool(name: str) -> ObjectId:
    """The id of an Eip."""
    return Kind.EIP, ObjectKey("", name)


class Directory:
    """A directory with `.status`, and a source that runs within the `with` block."""

    def __init__(self, path: Path, keeps_status: bool = True, expects_files: bool = False) -> None:
        self.path = path
        self.recorder = Recorder()
        self.supervisor = Supervisor()
        self.source = Manifests(
            str(path), CODEC, keeps_status, self.supervisor, lambda: expects_files
        )

    def __enter__(self) -> Directory:
        self.source.start(self.recorder)
        until(lambda: self.recorder.lists == len(Kind), "everything is listed")
        return self

    def __exit__(self, *_: object) -> None:
        self.source.stop()
        assert self.supervisor.faults == ()

    def put(self, name: str, *documents: object) -> None:
        """Writes a YAML file."""
        (self.path / name).write_text(yaml.safe_dump_all(documents))

    def record(self, name: str, *addresses: str) -> Path:
        """Writes the status file of a Service, as an earlier run would have left it."""
        path = self.path / ".status" / "services" / "default" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        ingress = [{"ip": address} for address in addresses]
        path.write_text(json.dumps({"status": {"loadBalancer": {"ingress": ingress}}}))
        return path

    def write(self, name: str) -> None:
        """Writes status for a Service, as the writer does."""
        service = self.recorder.service(name)
        self.source.patch(service, ServiceStatus(service.ingress, (ANNOUNCED,)))

    def is_alive(self, marker: str) -> None:
        """Asserts that a new object is still reported."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": marker}}
        self.put(f"{marker}.yaml", namespace)
        wanted = (Kind.NAMESPACE, ObjectKey("", marker))
        until(lambda: wanted in self.recorder, f"{marker} acts")

    def unreadable(self, name: str) -> Unreadable:
        """The reading of a Service that cannot be read."""
        until(lambda: isinstance(self.recorder.get(key(name)), Unreadable), f"{name} is unreadable")
        return self.recorder.unreadable(name)
