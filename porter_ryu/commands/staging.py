"""Manifests as they would be applied: what a file would change in the cluster that a planner holds.

As with `kubectl apply`, the file says what an object shall be; its status, its age and its identity
stay as they are.
"""

from __future__ import annotations

import os

from msgspec.structs import replace

from porter_ryu.commands.arguments import CommandError
from porter_ryu.domain.model import Eip, Service
from porter_ryu.domain.objects import Object
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import one_line
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.directory import files
from porter_ryu.kube.directory.parsing import Fault
from porter_ryu.kube.eip_codec import encode_spec
from porter_ryu.kube.errors import CodecError


def stage(planner: Planner, codec: Codec, path: str) -> dict[str, list[str]]:
    """Puts the objects in a file into a planner, which takes no turn, and returns the Eips among
    them: by name, the fields of its spec that differ from those of the present one, or, of a new
    one, from their defaults.  Objects of kinds that the program does not read are left out.  Raises
    CommandError if a part of the file cannot be read, or if nothing is left."""
    eips: dict[str, list[str]] = {}
    staged = 0
    try:
        for found in files.read(path, lambda: None):
            if isinstance(found, Fault):
                raise CommandError(f"{path}: line {found.line}: {one_line(found.reason)}")
            kind, key = found.object_id
            try:
                obj = codec.decode(kind, key, found.text)
            except CodecError as error:
                text = f"{path}: line {found.line}: {kind.singular} {key}: {error}"
                raise CommandError(one_line(text)) from error
            if isinstance(obj, Eip):
                eips[obj.name] = _changed_fields(planner, obj)
            planner.put(_applied(planner, obj))
            staged += 1
    except files.NoFileError as error:
        what = "is a directory" if os.path.isdir(path) else "there is no such file"
        raise CommandError(f"{path}: {what}") from error
    except files.UnreadableFileError as error:
        raise CommandError(f"{path}: {error}") from error
    if not staged:
        raise CommandError(f"{path}: has no Service, EndpointSlice, Node, Namespace or Eip")
    return eips


def _changed_fields(planner: Planner, eip: Eip) -> list[str]:
    present = planner.cluster.eips.get(eip.key)
    before, after = encode_spec(present or Eip(eip.name, "")), encode_spec(eip)
    return [name for name in after if after[name] != before[name]]


def _applied(planner: Planner, obj: Object) -> Object:
    """An object with what an apply leaves as it is."""
    cluster = planner.cluster
    if isinstance(obj, Eip):
        eip = cluster.eips.get(obj.key)
        if eip is not None:
            return replace(
                obj,
                uid=eip.uid,
                created=eip.created,
                resource_version=eip.resource_version,
                status=eip.status,
            )
    if isinstance(obj, Service):
        service = cluster.services.get(obj.key)
        if service is not None:
            return replace(
                obj,
                uid=service.uid,
                created=service.created,
                resource_version=service.resource_version,
                ingress=service.ingress,
                plain_ingress=service.plain_ingress,
                conditions=service.conditions,
            )
    return obj
