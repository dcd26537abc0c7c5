"""network.kubesphere.io Eip, either version: what its spec and its status say, and what its status
should say."""

from __future__ import annotations

import json
from typing import Any

from porter_ryu.domain.addresses.address_pool import AddressPool
from porter_ryu.domain.labels import LabelSelector, Requirement, SelectorError, match_labels
from porter_ryu.domain.model import Eip, EipStatus, ObjectKey
from porter_ryu.domain.verdict import PoolReason
from porter_ryu.kube import conditions, json_text
from porter_ryu.kube.fields import CodecError, Json, field, objects, string_map, strings


def decode(key: ObjectKey, obj: Json) -> Eip:
    """An Eip; a spec that cannot be understood is `invalid`, not lost.  Raises CodecError."""
    return Eip(
        name=key.name,
        uid=field(obj, "metadata.uid", str, ""),
        created=field(obj, "metadata.creationTimestamp", str, "") or None,
        resource_version=field(obj, "metadata.resourceVersion", str, ""),
        deleting=bool(field(obj, "metadata.deletionTimestamp", str, "")),
        **_spec(obj),
        status=decode_status(key.name, obj),
    )


def _spec(obj: Json) -> dict[str, Any]:
    """The fields of an Eip that its spec gives; `invalid` where it cannot be understood."""
    try:
        return {
            "address": field(obj, "spec.address", str, ""),
            "disable": field(obj, "spec.disable", bool, False),
            "auto_assign": field(obj, "spec.autoAssign", bool, True),
            "avoid_buggy_ips": field(obj, "spec.avoidBuggyIPs", bool, False),
            "priority": field(obj, "spec.priority", int, 0),
            "namespaces": strings(obj, "spec.namespaces"),
            "namespace_selector": string_map(obj, "spec.namespaceSelector"),
            "service_selector": _selector(obj),
            "protocol": field(obj, "spec.protocol", str, ""),
        }
    except (CodecError, SelectorError) as error:
        return {"address": "", "invalid": str(error)}


def _selector(obj: Json) -> LabelSelector:
    requirements = list(match_labels(string_map(obj, "spec.serviceSelector.matchLabels")))
    for entry in objects(obj, "spec.serviceSelector.matchExpressions"):
        values = frozenset(strings(entry, "values"))
        operator = field(entry, "operator", str, "")
        requirements.append(Requirement(field(entry, "key", str, ""), operator, values))
    return LabelSelector(tuple(requirements))


def decode_status(name: str, obj: Json) -> EipStatus | None:
    """The status that is there; None where it is not one that we could have written."""
    try:
        entries = {field(c, "type", str, ""): c for c in objects(obj, "status.conditions")}
        ready = entries.get("Ready")
        if ready is None:
            return None
        is_ready = field(obj, "status.ready", bool, False)
        condition = conditions.decode(ready)
        same = field(ready, "status", str, "") == str(is_ready)
        return EipStatus(
            ready=is_ready,
            reason=PoolReason(condition.reason),
            message=condition.message,
            occupied=field(obj, "status.occupied", bool, False),
            usage=field(obj, "status.usage", int, 0),
            pool_size=field(obj, "status.poolSize", int, 0),
            first_ip=field(obj, "status.firstIP", str, ""),
            last_ip=field(obj, "status.lastIP", str, ""),
            v4=field(obj, "status.v4", bool, False),
            used=string_map(obj, "status.used"),
            serving=_serving(name, obj),
            since=condition.since if same else "",
        )
    except ValueError:
        return None


def _serving(name: str, obj: Json) -> Eip | None:
    """The form of an Eip that served, which status keeps as the JSON text of a spec; None where
    it is not one that could have served, for anybody may have written it."""
    text = field(obj, "status.serving", str, "")
    if not text:
        return None
    form = Eip(name, **_spec({"spec": json_text.value(text)}))
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
    requirements = [
        {"key": r.key, "operator": r.operator, "values": sorted(r.values)}
        for r in form.service_selector.requirements
    ]
    spec = {
        "address": form.address,
        "disable": form.disable,
        "autoAssign": form.auto_assign,
        "avoidBuggyIPs": form.avoid_buggy_ips,
        "priority": form.priority,
        "namespaces": list(form.namespaces),
        "namespaceSelector": dict(form.namespace_selector),
        "serviceSelector": {"matchExpressions": requirements},
        "protocol": form.protocol,
    }
    return json.dumps(spec, sort_keys=True)
