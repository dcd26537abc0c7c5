"""network.kubesphere.io Eip, either version: what its spec and its status say."""

from __future__ import annotations

from typing import Any

from porter_ryu.domain.addresses.address_pool import AddressPool
from porter_ryu.domain.labels import LabelSelector, Requirement, SelectorError, match_labels
from porter_ryu.domain.model import Eip, EipStatus
from porter_ryu.domain.verdict import PoolReason
from porter_ryu.kube import json_text
from porter_ryu.kube.fields import (
    CodecError,
    Json,
    field,
    objects,
    string_map,
    strings,
    timestamp,
)


def eip_spec(obj: Json) -> dict[str, Any]:
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


def eip_status(name: str, obj: Json) -> EipStatus | None:
    """The status that is there; None where it is not one that we could have written."""
    try:
        conditions = {field(c, "type", str, ""): c for c in objects(obj, "status.conditions")}
        ready = conditions.get("Ready")
        if ready is None:
            return None
        is_ready = field(obj, "status.ready", bool, False)
        same = field(ready, "status", str, "") == str(is_ready)
        return EipStatus(
            ready=is_ready,
            reason=PoolReason(field(ready, "reason", str, "")),
            message=field(ready, "message", str, ""),
            occupied=field(obj, "status.occupied", bool, False),
            usage=field(obj, "status.usage", int, 0),
            pool_size=field(obj, "status.poolSize", int, 0),
            first_ip=field(obj, "status.firstIP", str, ""),
            last_ip=field(obj, "status.lastIP", str, ""),
            v4=field(obj, "status.v4", bool, False),
            used=tuple(string_map(obj, "status.used").items()),
            serving=_serving(name, obj),
            since=timestamp(ready, "lastTransitionTime") if same else "",
        )
    except ValueError:
        return None


def _serving(name: str, obj: Json) -> Eip | None:
    """The form of an Eip that served, which status keeps as the JSON text of a spec; None where
    it is not one that could have served, for anybody may have written it."""
    text = field(obj, "status.serving", str, "")
    if not text:
        return None
    form = Eip(name, **eip_spec({"spec": json_text.value(text)}))
    try:
        AddressPool.parse(form.address)
    except ValueError:
        return None
    return None if form.invalid else form
