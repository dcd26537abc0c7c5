"""Kubernetes objects as literals, with defaults for what most tests need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def eip(name: str, address: str, **spec: object) -> Json:
    """An Eip."""
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "Eip",
        "metadata": {"name": name},
        "spec": {"address": address, **spec},
    }


def node(
    name: str,
    *addresses: str,
    ready: bool = True,
    labels: Json | None = None,
    unavailable: bool = False,
    spec: Json | None = None,
    **metadata: object,
) -> Json:
    """A Node with InternalIPs."""
    conditions = [
        {"type": "Ready", "status": "True" if ready else "False"},
        {"type": "NetworkUnavailable", "status": "True" if unavailable else "False"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}, **metadata},
        "spec": spec or {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address} for address in addresses],
            "conditions": conditions,
        },
    }


def service(
    name: str,
    *,
    annotations: Json | None = None,
    families: Sequence[str] = ("IPv4",),
    ours: bool = True,
    **spec: object,
) -> Json:
    """A Service of type LoadBalancer; it has the opt-in annotation unless `ours` is false."""
    opted_in = {"lb.kubesphere.io/v1alpha1": "porter"} if ours else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {**opted_in, **(annotations or {})},
        },
        "spec": {
            "type": "LoadBalancer",
            "ipFamilies": list(families),
            "ports": [{"port": 80, "protocol": "TCP"}],
            **spec,
        },
    }


def slice_of(
    service_name: str, *nodes: str, name: str = "", family: str = "IPv4", **conditions: object
) -> Json:
    """An EndpointSlice with one endpoint on each of these nodes."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name or f"{service_name}-{family.lower()}",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service_name},
        },
        "addressType": family,
        "endpoints": [
            {"addresses": ["10.0.0.1"], "nodeName": n, "conditions": {"ready": True, **conditions}}
            for n in nodes
        ],
    }
