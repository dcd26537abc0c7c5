"""What the rule of spec.advertisements says, worked out by simple means from the objects alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from porter_ryu.domain.announcement import NO_ATTRIBUTES, PathAttributes
from porter_ryu.domain.communities import NO_COMMUNITIES
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.model import Address, Eip, Network, Node, Service

Sent = dict[str, dict[str, PathAttributes]]
"""What a peer is sent: for each prefix, the attributes by node.  An address stands for its /32."""


@dataclass
class Rule:
    """The objects by name; `on` are the nodes with endpoints of a Service.  `every_node`: next_hops
    is `nodes`.  A node that is being deleted is not usable."""

    every_node: bool
    eips: dict[str, Eip] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    on: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def sent(self, peer: str, addresses: Mapping[str, Iterable[Address]]) -> Sent:
        """What a peer should be sent while the Services have these addresses."""
        holders: dict[str, list[str]] = {}
        for name, of_service in addresses.items():
            for address in of_service:
                holders.setdefault(str(address), []).append(name)
        sent: Sent = {}
        for text, names in holders.items():
            self._add(sent, peer, text, names)
        return {prefix: said for prefix, said in sent.items() if said}

    def _add(self, sent: Sent, peer: str, address: str, names: list[str]) -> None:
        """Adds what an address means for a peer."""
        on = self._next_hops(names)
        (eip,) = (e for e in self.eips.values() if _contains(e.address, address))
        asked = NO_COMMUNITIES.union(
            *(self.services[n].communities.communities for n in names)
        ).among(eip.allowed_communities)
        own = PathAttributes(*asked)
        local = any(self.services[name].local_traffic for name in names)
        if not eip.advertisements:
            sent[address] = dict.fromkeys(on, own)
        for entry in eip.advertisements:
            selected = {n for n in self._usable() if entry.nodes.matches(self.nodes[n].labels)}
            through = on & selected
            if not through or (entry.peers and peer not in entry.peers):
                continue
            length = entry.aggregation_length
            aggregate = ip_network((address, length or 32), strict=False)
            aggregated = length is not None and self._is_ours(aggregate)
            if aggregated:
                _unite(sent.setdefault(str(aggregate), {}), selected, entry, NO_ATTRIBUTES)
            if not aggregated or local or asked.size or not selected <= on:
                _unite(sent.setdefault(address, {}), through, entry, own)

    def _usable(self) -> set[str]:
        return {name for name, node in self.nodes.items() if not node.deleting}

    def _next_hops(self, names: list[str]) -> set[str]:
        """The nodes by which an address is reached."""
        everywhere: set[str] = set()
        common: set[str] | None = None
        for name in names:
            on = set(self.on.get(name, ()))
            local = self.services[name].local_traffic
            if on and self.every_node and not local:
                on = self._usable()
            on &= self._usable()
            everywhere |= on
            if local:
                common = on if common is None else common & on
        return everywhere if common is None else common

    def _is_ours(self, aggregate: Network) -> bool:
        """Whether every address of a prefix is in an Eip."""
        return all(
            any(_contains(e.address, str(address)) for e in self.eips.values())
            for address in aggregate
        )


def _contains(text: str, address: str) -> bool:
    """Whether a CIDR or range has an address."""
    if "-" in text:
        low, high = map(ip_address, text.split("-"))
        return int(low) <= int(ip_address(address)) <= int(high)
    return ip_address(address) in ip_network(text)


def _unite(
    known: dict[str, PathAttributes],
    nodes: Iterable[str],
    entry: AdvertisementEntry,
    own: PathAttributes,
) -> None:
    """Adds an entry to the attributes of these nodes."""
    for name in nodes:
        before = known.get(name, own)
        preferences = [p for p in (before.local_pref, entry.local_pref) if p is not None]
        discriminators = [m for m in (before.med, entry.med) if m is not None]
        known[name] = PathAttributes(
            tuple(sorted({*before.communities, *entry.communities.standard})),
            tuple(sorted({*before.large_communities, *entry.communities.large})),
            max(preferences, default=None),
            min(discriminators, default=None),
            max(before.as_path_prepend, entry.as_path_prepend),
        )
