"""network.kubesphere.io Eip, either version: what its spec and its status say, and what its status
should say."""

from __future__ import annotations

import json
from typing import Any

from msgspec.json import Decoder

from porter_ryu.domain.addresses.address_pool import AddressPool
from porter_ryu.domain.labels import SelectorError
from porter_ryu.domain.model import Eip, EipStatus, ObjectKey
from porter_ryu.domain.verdict import PoolReason
from porter_ryu.kube import advertisement_codec, conditions, structs
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import ANY, Json, Text, decoded, part
from porter_ryu.kube.shared import labels

_SPEC, _STATUS = Decoder(structs.EipSpec | None), Decoder(structs.EipStatus | None)
_NO_SPEC, _NO_STATUS = structs.EipSpec(), structs.EipStatus()


def decode(key: ObjectKey, obj: structs.Eip, status: Text) -> Eip:
    """An Eip; a spec that cannot be understood is `invalid`, not lost."""
    meta = obj.metadata
    return Eip(
        name=key.name,
        uid=meta.uid or "",
        created=meta.creation_timestamp or None,
        resource_version=meta.resource_version or "",
        deleting=bool(meta.deletion_timestamp),
        **_spec(obj.spec),
        status=decode_status(key.name, status),
    )


def _spec(text: Text) -> dict[str, Any]:
    """The fields of an Eip that its spec gives; `invalid` where it cannot be understood."""
    try:
        spec = part(_SPEC, text, "spec") or _NO_SPEC
        return {
            "address": spec.address or "",
            "disable": bool(spec.disable),
            "auto_assign": spec.auto_assign is not False,
            "avoid_buggy_ips": bool(spec.avoid_buggy_ips),
            "priority": spec.priority or 0,
            "namespaces": spec.namespaces or (),
            "namespace_selector": labels(spec.namespace_selector),
            "service_selector": advertisement_codec.decode_selector(spec.service_selector),
            "protocol": spec.protocol or "",
            "advertisements": advertisement_codec.decode(spec.advertisements),
            "allowed_communities": advertisement_codec.decode_communities(
                spec.allowed_communities, "spec.allowedCommunities"
            ),
        }
    except (CodecError, SelectorError) as error:
        return {"address": "", "invalid": str(error)}


def decode_status(name: str, text: Text) -> EipStatus | None:
    """The status that is there; None where it is not one that we could have written."""
    try:
        status = part(_STATUS, text, "status") or _NO_STATUS
        entries = [*conditions.select(status.conditions, "Ready".__eq__)]
        if not entries:
            return None
        ready = entries[-1]
        is_ready = bool(status.ready)
        condition = conditions.decode(ready)
        same = ready.status == str(is_ready)
        return EipStatus(
            ready=is_ready,
            reason=PoolReason(condition.reason),
            message=condition.message,
            occupied=bool(status.occupied),
            usage=status.usage or 0,
            pool_size=status.pool_size or 0,
            first_ip=status.first_ip or "",
            last_ip=status.last_ip or "",
            v4=bool(status.v4),
            used=status.used or {},
            serving=_serving(name, status.serving),
            since=condition.since if same else "",
        )
    except ValueError:
        return None


def status_fault(text: Text) -> str:
    """Which field of a status cannot be read; empty if all can."""
    try:
        status = part(_STATUS, text, "status") or _NO_STATUS
        for _ in conditions.select(status.conditions, "Ready".__eq__):
            pass
        if status.serving:
            decoded(ANY, status.serving.encode(), "status.serving")
    except CodecError as error:
        return str(error)
    return ""


def _serving(name: str, text: str | None) -> Eip | None:
    """The form of an Eip that served, which status keeps as the JSON text of a spec; None where
    it is not one that could have served, for anybody may have written it."""
    if not text:
        return None
    decoded(ANY, text.encode())  # if it is not JSON, this program did not write the status
    form = Eip(name, **_spec(text.encode()))
    try:
        AddressPool.parse(form.address)
    except ValueError:
        return None
    return None if form.invalid else form


def encode_status(eip: Eip, wanted: EipStatus, now: str) -> Json:
    """The whole status of an Eip that should say what is wanted; `now` is an RFC 3339 time."""
    before = eip.status.conditions if eip.status is not None else ()
    return {
        "ready": wanted.ready,
        "occupied": wanted.occupied,
        "usage": wanted.usage,
        "poolSize": wanted.pool_size,
        "firstIP": wanted.first_ip,
        "lastIP": wanted.last_ip,
        "v4": wanted.v4,
        "used": dict(wanted.used),
        "serving": _encode_serving(wanted.serving) if wanted.serving is not None else None,
        "conditions": conditions.encode(wanted.conditions, before, now),
    }


def status_patch(eip: Eip, wanted: EipStatus, now: str) -> Json:
    """The status in a JSON merge patch, which takes null for "remove": addresses that are used no
    longer; `now` is an RFC 3339 time."""
    patch = encode_status(eip, wanted, now)
    if eip.status is not None:
        patch["used"] = {**dict.fromkeys(eip.status.used), **wanted.used}
    return patch


def _encode_serving(form: Eip) -> str:
    """The spec of a form of an Eip as text: a merge patch replaces text whole."""
    return json.dumps(encode_spec(form), sort_keys=True)


def encode_spec(form: Eip) -> Json:
    """The spec of an Eip, with all of its fields."""
    return {
        "address": form.address,
        "disable": form.disable,
        "autoAssign": form.auto_assign,
        "avoidBuggyIPs": form.avoid_buggy_ips,
        "priority": form.priority,
        "namespaces": list(form.namespaces),
        "namespaceSelector": dict(form.namespace_selector),
        "serviceSelector": advertisement_codec.encode_selector(form.service_selector),
        "protocol": form.protocol,
        "advertisements": [*map(advertisement_codec.encode, form.advertisements)],
        "allowedCommunities": form.allowed_communities.texts(),
    }
