"""What cannot be read, and what Eips say without effect.

Pure: facts in, findings out.
"""

from __future__ import annotations

import os
from collections.abc import Set

from porter_ryu.check.finding import Finding, Results, command
from porter_ryu.check.networks import Facts
from porter_ryu.domain.editing import STATUS_FOLDER, Editing
from porter_ryu.domain.eip_problems import without_effect
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.model import Kind
from porter_ryu.domain.text import printable


def unreadable(facts: Facts, editing: Editing) -> Results:
    """Files and objects that cannot be read, in whole or in part."""
    for name, fault in sorted(facts.broken_files.items()):
        path = os.path.join(editing.directory, name)
        mend = command("edit", path)
        if name.startswith(STATUS_FOLDER):
            mend = f"restore {path} from a backup, or correct it"
        yield Finding("[kubernetes] manifests", fault, mend)
    for (kind, key), why in sorted(facts.unreadable.items(), key=lambda entry: str(entry[0])):
        name = printable(str(key))
        look = ["kubectl", "get", kind.value, key.name, "-o", "yaml"]
        look += ["-n", key.namespace] if key.namespace else []
        mend = editing.mend(command(*look), f"{kind.singular} {name}")
        yield Finding(f"{kind.singular} {name}", why, mend)


def without_peers_or_nodes(facts: Facts, peers: Set[str], editing: Editing) -> Results:
    """Entries of spec.advertisements that name a peer that is not configured, or select no node;
    `peers` are the names of all configured ones."""

    def selects(selector: LabelSelector) -> bool:
        return not facts.nodes or any(selector.matches(node.labels) for node in facts.nodes)

    for name, entries in sorted(facts.advertisements.items()):
        for what in without_effect(entries, peers, selects):
            mend = editing.mend(command("kubectl", "edit", "eip", name), f"Eip {printable(name)}")
            yield Finding(f"{Kind.EIP.singular} {printable(name)}", what, mend)
