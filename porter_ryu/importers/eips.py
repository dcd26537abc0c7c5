"""An Eip of ours from the fields that another's pool has."""

from __future__ import annotations

from porter_ryu.kube.json_text import Json


def eip(name: str, spec: Json) -> Json:
    """A manifest with the fields that are set."""
    return {
        "apiVersion": "network.kubesphere.io/v1alpha2",
        "kind": "Eip",
        "metadata": {"name": name},
        "spec": {key: value for key, value in spec.items() if value not in (None, "", [], {})},
    }
