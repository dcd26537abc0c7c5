"""Builds an Instance from the settings."""

from __future__ import annotations

import errno
import logging
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from porter_ryu import state_dir
from porter_ryu.bgp import transport
from porter_ryu.bgp.speaker import Speaker
from porter_ryu.domain.peering import SpeakerConfig
from porter_ryu.domain.planner import Planner
from porter_ryu.effects import Effects
from porter_ryu.instance import Instance
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.writer import Writer
from porter_ryu.leadership import Leadership
from porter_ryu.log import reason_of
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.host import HostMonitor
from porter_ryu.node.iproute import IpRoute
from porter_ryu.node.link_notices import LinkNotices, PacketSocket
from porter_ryu.null_parts import NoLease, NoLiveness, NoSpeaker, NoSwitches, NoWriter
from porter_ryu.planning import elects_leader, make_codec, make_planner, make_source, read_journal
from porter_ryu.reconciler import Reconciler
from porter_ryu.settings import BgpSettings, Settings
from porter_ryu.settings_file import BadConfigurationError, Fault
from porter_ryu.supervisor import Supervisor

if TYPE_CHECKING:
    from porter_ryu.kube.api import Api
    from porter_ryu.kube.lease import Lease
    from porter_ryu.kube.manifests import Manifests
    from porter_ryu.liveness.monitor import LivenessMonitor
    from porter_ryu.openflow.target import Switches

LOG = logging.getLogger(__name__)

_DOCUMENTATION_ADDRESS = IPv4Address("192.0.2.1")  # RFC 5737: no packet is sent to it
_ROLE_SECONDS = 1.0
_DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)


def assemble(settings: Settings, supervisor: Supervisor) -> Instance:
    """Locks the state_dir for this process and builds all parts; opens no socket.

    Raises BadConfigurationError if this host does not allow what is configured, or another process
    uses the state_dir.
    """
    _lock(settings)
    ip = IpRoute()
    journal = read_journal(settings)
    host = HostMonitor(ip, settings.interface, journal.bound_among)
    planner = make_planner(settings, host)
    notices = LinkNotices(supervisor, ip.on_link_prefixes, PacketSocket().send)
    bindings = BoundIps(
        settings.bind_mode, settings.interface, settings.table, journal, ip, notices, supervisor
    )
    try:
        source = make_source(settings, make_codec(settings), supervisor)
    except ApiError as error:
        raise _bad_config(settings, "kubernetes", "kubeconfig", str(error)) from error
    speaker = _speaker(settings, supervisor) if settings.bgp.enabled else NoSpeaker()
    writer = Writer(source, supervisor) if settings.allocate else NoWriter()
    bind_only_leading = settings.bind_mode == "address" and elects_leader(settings)
    leadership = Leadership(planner, writer, bind_only_leading)
    switches = _switches(settings, planner, supervisor)
    targets = [] if isinstance(switches, NoSwitches) else [switches]
    effects = Effects([speaker], bindings, writer, leadership, targets)
    reconciler = Reconciler(planner, effects, settings.resync_seconds)
    leadership.on_change = reconciler.wake
    lease = _lease(settings, source, leadership, reconciler, supervisor)
    liveness = _liveness(settings, reconciler, supervisor)
    return Instance(
        supervisor,
        planner,
        reconciler,
        source,
        writer,
        speaker,
        bindings,
        lease,
        leadership,
        host,
        liveness,
        switches,
        settings,
    )


def _switches(
    settings: Settings, planner: Planner, supervisor: Supervisor
) -> Switches | NoSwitches:
    if not settings.openflow.enabled:
        return NoSwitches()
    # Ryu's OpenFlow stack is loaded only where it is used
    from porter_ryu.openflow.controller import Endpoint
    from porter_ryu.openflow.target import Switches

    c = settings.controller
    endpoint = Endpoint(c.host, c.port, c.private_key, c.certificate, c.authorities)
    switches = Switches(settings.openflow, endpoint, supervisor)
    switches.pool_of = planner.pool_of
    return switches


def _liveness(
    settings: Settings, reconciler: Reconciler, supervisor: Supervisor
) -> LivenessMonitor | NoLiveness:
    if not settings.liveness.probes:
        return NoLiveness()
    from porter_ryu.liveness.monitor import LivenessMonitor

    percent = settings.panic_percent
    return LivenessMonitor(settings.liveness, percent, reconciler.probed, supervisor)


def _bad_config(settings: Settings, group: str, key: str, why: str) -> BadConfigurationError:
    return BadConfigurationError((Fault(settings.file, group, key, why),))


def _lock(settings: Settings) -> None:
    """Locks the state_dir until this process ends: one process at a time uses it."""
    try:
        state_dir.lock(settings.state_dir)
    except state_dir.StateDirTakenError as error:
        raise _bad_config(settings, "porter", "state_dir", str(error)) from error
    except OSError as error:
        why = f"{settings.state_dir} cannot be written: {reason_of(error)}"
        if error.errno not in _DISK_FULL_ERRORS:
            raise _bad_config(settings, "porter", "state_dir", why) from error
        LOG.error("%s; so it is not locked against a second process", why)


def _speaker(settings: Settings, supervisor: Supervisor) -> Speaker:
    bgp = settings.bgp
    router_id = bgp.router_id or _own_ipv4(bgp)
    if router_id is None:
        text = "this host has no IPv4 address to use, so it has to be set"
        raise _bad_config(settings, "bgp", "router_id", text)
    return Speaker(
        SpeakerConfig(
            local_as=bgp.local_as,
            router_id=router_id,
            listen_addresses=bgp.listen_addresses,
            listen_port=bgp.listen_port,
            max_next_hops=bgp.max_next_hops,
            restart_time=bgp.restart_time,
            state_dir=settings.state_dir,
            announces_self=not bgp.next_hops.mode.central,
        ),
        supervisor,
    )


def _own_ipv4(bgp: BgpSettings) -> IPv4Address | None:
    """The source address of this host towards its first peer that it has a route to, otherwise
    that of its default route; None where there is none."""
    destinations = [peer.address for peer in bgp.peers if isinstance(peer.address, IPv4Address)]
    for address in (*destinations, _DOCUMENTATION_ADDRESS):
        own = transport.source_address(address)
        if isinstance(own, IPv4Address):
            return own
    return None


def _lease(
    settings: Settings,
    source: Manifests | Api,
    leadership: Leadership,
    reconciler: Reconciler,
    supervisor: Supervisor,
) -> Lease | NoLease:
    if not elects_leader(settings):
        return NoLease()
    from porter_ryu.kube.api import Api
    from porter_ryu.kube.lease import Lease

    assert isinstance(source, Api)
    lease = Lease(source.client, settings.namespace, source.relist, leadership.set_role, supervisor)
    source.after = lease.tried
    reconciler.await_role = lambda: lease.tried.wait(timeout=_ROLE_SECONDS)
    return lease
