"""The tables of FRR and BIRD: the paths of each prefix."""

from __future__ import annotations

import json
import re

from fabric.leaves import Bird, Frr
from fabric.objects import Json
from tests.functional.cluster_oracle import GRACEFUL_SHUTDOWN, Path

Table = dict[str, frozenset[Path]]


def table(leaf: Frr | Bird) -> Table:
    """The IPv4 paths that a router has, also those that it does not use; a host route is named by
    its address."""
    return _frr(leaf) if isinstance(leaf, Frr) else _bird(leaf)


def _frr(leaf: Frr) -> Table:
    prefixes = json.loads(leaf.command("show bgp ipv4 unicast json"))["routes"]
    found: Table = {}
    for prefix in prefixes:
        one = json.loads(leaf.command(f"show bgp ipv4 unicast {prefix} json") or "{}")
        paths = frozenset(map(_frr_path, one.get("paths", ())))
        if paths:
            found[prefix.removesuffix("/32")] = paths
    return found


def _frr_path(path: Json) -> Path:
    communities = {
        GRACEFUL_SHUTDOWN if text.replace("-", "").lower() == "gracefulshutdown" else text
        for key in ("community", "largeCommunity")
        for text in path.get(key, {"string": ""})["string"].split()
    }
    hop = path["nexthops"][0]["ip"]
    return Path(hop, frozenset(communities), path.get("metric"), path["aspath"]["length"])


def _bird(leaf: Bird) -> Table:
    found: dict[str, set[Path]] = {}
    prefix = ""
    for text in re.split(r"\n(?=\S*\s+unicast )", leaf.command("show route all")):
        head, _, _ = text.partition(" ")
        if "BGP.next_hop" not in text:
            continue
        prefix = head or prefix
        found.setdefault(prefix.removesuffix("/32"), set()).add(_bird_path(text))
    return {prefix: frozenset(paths) for prefix, paths in found.items()}


def _bird_path(text: str) -> Path:
    attributes = dict(re.findall(r"BGP\.(\w+): (.*)", text))
    named = attributes.get("community", "") + attributes.get("large_community", "")
    communities = {
        re.sub(r",\s*", ":", community) for community in re.findall(r"\(([^)]*)\)", named)
    }
    med = attributes.get("med")
    return Path(
        attributes["next_hop"],
        frozenset(communities),
        None if med is None else int(med),
        len(attributes["as_path"].split()),
    )
