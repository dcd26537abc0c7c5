"""Reads the [drain] group, and reports the errors in it."""

from __future__ import annotations

import re

from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.settings_file import quoted_value
from porter_ryu.settings_reader import Reader

# a qualified name of Kubernetes: an optional DNS subdomain, and a name of at most 63 characters
QUALIFIED_NAME = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)


def read_drain(r: Reader) -> DrainPolicy:
    """What drains a node, and what follows from it."""
    annotation = r.get("drain", "annotation") or ""
    if annotation and not QUALIFIED_NAME.fullmatch(annotation):
        text = f"{quoted_value(annotation)} is not the key of an annotation"
        r.fault("drain", "annotation", text)
    taints = [key for key in r.get("drain", "taints") or () if key]
    for key in taints:
        if not QUALIFIED_NAME.fullmatch(key):
            text = f"{quoted_value(key)} is not the key of a taint (without value and effect)"
            r.fault("drain", "taints", text)
    return DrainPolicy(
        annotation,
        frozenset(taints),
        r.get("drain", "cordoned"),
        r.get("drain", "seconds"),
        r.get("drain", "med"),
    )
