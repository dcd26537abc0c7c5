"""Makes Eip manifests."""

from __future__ import annotations

from porter_ryu.kube.json_text import Json


def eip(name: str, spec: Json) -> Json:
    """The manifest of an Eip; empty fields of `spec` are left out."""
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "Eip",
        "metadata": {"name": name},
        "spec": {key: value for key, value in spec.items() if value not in (None, "", [], {})},
    }
