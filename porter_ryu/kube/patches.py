"""The domain's wishes to API JSON: what is written to status, and nothing else.

Services take strategic merge patches (conditions are merged by type), custom resources only
JSON merge patches (RFC 7396).  A condition's lastTransitionTime moves when its status does.
"""

from __future__ import annotations

import dataclasses
import json

from porter_ryu.domain.model import Condition, Eip, EipStatus, Service, ServiceStatus
from porter_ryu.domain.text import printable
from porter_ryu.kube.fields import Json

_MESSAGE_MOST = 1024  # the API takes 32,768


def service_patch(service: Service, status: ServiceStatus, now: str) -> Json:
    """A strategic merge patch of services/status; `now` is an RFC 3339 time.

    It carries the resourceVersion that the decision was made from, so that a decision made from
    an older form than the server's is refused.
    """
    before = {condition.type: condition for condition in service.conditions}
    conditions: list[Json] = [
        _condition(condition, before.get(condition.type), now) for condition in status.conditions
    ]
    wanted = {condition.type for condition in status.conditions}
    conditions += [{"$patch": "delete", "type": kind} for kind in before if kind not in wanted]
    patch: Json = {"metadata": {}, "status": {}}
    if service.resource_version:
        patch["metadata"]["resourceVersion"] = service.resource_version
    if status.ingress != service.ingress or (service.ours and not service.plain_ingress):
        patch["status"]["loadBalancer"] = {"ingress": ingress(status)}
    if conditions:
        patch["status"]["conditions"] = conditions
    return patch


def ingress(status: ServiceStatus) -> list[Json] | None:
    """status.loadBalancer.ingress; None takes it away."""
    return [{"ip": str(address), "ipMode": "VIP"} for address in status.ingress] or None


def _condition(condition: Condition, before: Condition | None, now: str) -> Json:
    entry: Json = {
        "type": condition.type,
        "status": "True" if condition.status else "False",
        "reason": condition.reason,
        "message": condition.message,
    }
    if before is None or before.status != condition.status:
        entry["lastTransitionTime"] = now
    return entry


def _whole_condition(condition: Condition, before: Condition | None, now: str) -> Json:
    """One that takes the place of what was there, with its time."""
    since = before.since if before is not None and before.status == condition.status else ""
    return {**_condition(condition, before, now), "lastTransitionTime": since or now}


def bounded(condition: Condition) -> Condition:
    """The condition with its message on one line of at most 1,024 characters."""
    message = bounded_message(condition.message)
    same = message == condition.message
    return condition if same else dataclasses.replace(condition, message=message)


def bounded_message(text: str) -> str:
    """A message of a condition as it is written: one line of at most 1,024 characters."""
    fits = len(text) <= _MESSAGE_MOST and text.isprintable()
    return text if fits else printable(text, _MESSAGE_MOST)


def service_document(service: Service, status: ServiceStatus, now: str) -> Json:
    """A whole status, for a directory; `now` is an RFC 3339 time."""
    before = {condition.type: condition for condition in service.conditions}
    conditions = [
        _whole_condition(condition, before.get(condition.type), now)
        for condition in status.conditions
    ]
    return {
        "status": {"loadBalancer": {"ingress": ingress(status) or []}, "conditions": conditions}
    }


def eip_document(eip: Eip, status: EipStatus, now: str) -> Json:
    """A whole status of an Eip: a JSON merge patch, and what a directory keeps; `now` is an
    RFC 3339 time.

    Addresses that are used no longer are null, which a merge patch takes for "remove".
    """
    old = eip.status
    ready = Condition("Ready", status.ready, status.reason.value, status.message)
    before = dataclasses.replace(ready, status=old.ready, since=old.since) if old else None
    used: dict[str, str | None] = dict.fromkeys(dict(eip.status.used) if eip.status else ())
    used.update(dict(status.used))
    entry = _whole_condition(ready, before, now)
    return {
        "status": {
            "ready": status.ready,
            "occupied": status.occupied,
            "usage": status.usage,
            "poolSize": status.pool_size,
            "firstIP": status.first_ip,
            "lastIP": status.last_ip,
            "v4": status.v4,
            "used": used,
            "serving": serving(status.serving),
            "conditions": [entry],
        }
    }


def serving(form: Eip | None) -> str | None:
    """The spec of the form of an Eip that serves, as text: a merge patch replaces text whole."""
    if form is None:
        return None
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
