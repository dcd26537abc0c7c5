"""The checks of the cluster: what is read from a directory or an API server is compared."""

from __future__ import annotations

from msgspec.structs import replace

from porter_ryu.check import eips, networks, objects
from porter_ryu.check.finding import Finding, Result
from porter_ryu.check.networks import Facts
from porter_ryu.domain.editing import Editing
from porter_ryu.domain.model import Kind
from porter_ryu.kube.directory.scanner import UnreadableDirectoryError
from porter_ryu.settings import Settings


def inspect(settings: Settings) -> tuple[Facts | None, list[Result]]:
    """What the cluster has, None if it cannot be read, and what was found about it."""
    if settings.manifests:
        try:
            texts, broken = objects.in_directory(settings)
        except UnreadableDirectoryError as error:
            return None, [Finding("[kubernetes] manifests", str(error), error.mend)]
        found = objects.facts(texts, tuple(Kind), settings)
        return replace(found, broken_files=broken), []
    from porter_ryu.check import served  # not before: all that asks an API server

    return served.inspect(settings)


def compare(facts: Facts, settings: Settings) -> list[Result]:
    """What cannot be read, and what is wrong with names in the Eips and in the configuration."""
    peers = {peer.peer: peer.node_selector for peer in settings.bgp.peers if settings.bgp.enabled}
    editing = Editing(settings.manifests)
    without_effect = eips.without_peers_or_nodes(facts, peers.keys(), editing)
    return [
        *eips.unreadable(facts, editing),
        *(without_effect if settings.bgp.enabled else ()),
        *networks.own_node(facts, settings.node_name, editing),
        *networks.selectors(facts, peers.items(), editing),
    ]
