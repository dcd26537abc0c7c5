"""The parts that read the cluster and decide, from the settings.

A running instance has them beside its speaker and its other targets (`assembly`); a command that
asks what would be decided needs no more than these.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from porter_ryu.domain.editing import Editing
from porter_ryu.domain.model import Address
from porter_ryu.domain.nodes.health import API_SERVER_DELAYS, DIRECTORY_DELAYS
from porter_ryu.domain.planner import Planner, Policy
from porter_ryu.domain.sending import PeerTerms
from porter_ryu.kube.codec import Codec
from porter_ryu.node.binding_journal import BindingJournal
from porter_ryu.node.host import HostAddresses, HostMonitor
from porter_ryu.settings import BgpSettings, Settings
from porter_ryu.supervisor import Supervisor

if TYPE_CHECKING:
    from porter_ryu.kube.api import Api
    from porter_ryu.kube.manifests import Manifests


def make_codec(settings: Settings) -> Codec:
    """What reads the objects."""
    return Codec(
        settings.annotation,
        settings.annotation_values,
        settings.load_balancer_class,
        frozenset([settings.drain.annotation]),
        counts_endpoints=settings.bgp.next_hops.weights.counts_endpoints,
    )


def make_source(settings: Settings, codec: Codec, supervisor: Supervisor) -> Manifests | Api:
    """Where the objects are read from: the directory of manifests, or the API server.  Raises
    ApiError if the API client cannot be configured."""
    # each with all that it reads by, a sixth of what a start imports
    if settings.manifests:
        from porter_ryu.kube.manifests import Manifests

        return Manifests(
            settings.manifests,
            codec,
            keeps_status=settings.allocate,
            supervisor=supervisor,
            expects_files=functools.cache(lambda: left_something(settings)),
        )
    from porter_ryu.kube.api import Api
    from porter_ryu.kube.client import Client

    return Api(Client(settings.kubeconfig), codec, supervisor)


def make_planner(settings: Settings, host: HostMonitor) -> Planner:
    """A planner for these settings, with the addresses of peers and this host reserved."""
    bgp = settings.bgp
    loss_delays = DIRECTORY_DELAYS if settings.manifests else API_SERVER_DELAYS
    planner = Planner(
        Policy(
            bgp.next_hops,
            bgp.enabled or settings.openflow.enabled,
            settings.panic_percent,
            loss_delays,
            settings.drain,
            probing=bool(settings.liveness.probes),
            by_port=settings.openflow.enabled,
            editing=Editing(settings.manifests),
        ),
        leading=settings.allocate and not elects_leader(settings),
    )
    host.scan()
    reserve(planner, host.addresses, bgp, settings.openflow.gateways)
    return planner


def reserve(
    planner: Planner,
    host: HostAddresses,
    bgp: BgpSettings,
    gateways: tuple[Address, ...],
) -> None:
    """Tells the planner which peers there are, and which addresses are assigned to no Service.  All
    configured peers count, also those that only other nodes speak to: they are routers of this
    network.  `gateways` are those of the switches."""
    peers = bgp.peers
    addresses = [peer.address for peer in peers]
    ours = frozenset(peer.local_address for peer in peers if peer.local_address is not None)
    terms = [
        PeerTerms(
            p.peer,
            p.remote_as == bgp.local_as,
            p.attributes,
            p.node_selector,
            p.families,
            p.families if not p.add_path and not p.fan_out else frozenset(),
        )
        for p in peers
    ]
    own = host.own | ours | host.gateways | frozenset(gateways)
    planner.reserve(own, addresses, host.unattributed, terms, _owners(host, bgp, gateways))


def _owners(
    host: HostAddresses, bgp: BgpSettings, gateways: tuple[Address, ...]
) -> Mapping[Address, Sequence[str]]:
    """Who has the addresses that are assigned to no Service, the nodes aside, and the router ID."""
    owners = reserved_owners(host, bgp, gateways)
    if bgp.router_id is None:
        return owners
    return {**owners, bgp.router_id: (*owners.get(bgp.router_id, ()), "router_id of [bgp]")}


def reserved_owners(
    host: HostAddresses, bgp: BgpSettings, gateways: tuple[Address, ...]
) -> Mapping[Address, Sequence[str]]:
    """Who has the addresses that are assigned to no Service, the nodes aside."""
    found: dict[Address, dict[str, None]] = {}
    named: list[tuple[Address | None, str]] = [
        *((address, "this host") for address in host.own),
        *((peer.address, f"peer {peer.peer}") for peer in bgp.peers),
        *((p.local_address, f"this host ({p.local_option} of peer {p.peer})") for p in bgp.peers),
        *((address, "the default gateway of this host") for address in host.gateways),
        *((address, "gateways of [openflow]") for address in gateways),
    ]
    for address, owner in named:
        if address is not None:
            found.setdefault(address, {})[owner] = None
    return {address: tuple(owners) for address, owners in found.items()}


def read_journal(settings: Settings) -> BindingJournal:
    """What this program has bound on this host."""
    journal = BindingJournal(settings.state_dir)
    journal.load()
    return journal


def left_something(settings: Settings) -> bool:
    """Whether an earlier run left routes with a peer, or addresses on this host, or may have."""
    from porter_ryu.bgp.output.journal import any_paths

    bound = read_journal(settings)
    return bool(bound.bindings or bound.read_error) or any_paths(settings.state_dir)


def elects_leader(settings: Settings) -> bool:
    """Whether instances elect a leader by the Lease.  Without an API server there is no Lease, and
    an instance always leads."""
    return settings.allocate and not settings.manifests
