"""Reads the value of each gauge from the part that it describes, at the time of a scrape.

So what is counted is what is, and a deleted object leaves no series behind.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import astuple

from porter_ryu import report
from porter_ryu.bgp.peer_report import PeerReport, family_name
from porter_ryu.domain import overview
from porter_ryu.domain.model import Family, Kind
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.ports import SourceState
from porter_ryu.domain.reach import IsSent
from porter_ryu.domain.verdict import Reason
from porter_ryu.http import gauges
from porter_ryu.http.gauges import Series

if TYPE_CHECKING:
    from porter_ryu.openflow.report import SwitchHealth

_BFD_UP = "up"


class ConfigInfo(Struct, frozen=True):
    """Settings that need a restart, as text: the labels of `porter_config_info`."""

    source: str
    allocate: str
    bgp: str
    openflow: str
    next_hops: str
    bound_ip: str


class ProcessState(Struct, frozen=True):
    """What is read from the running process.

    `version` and `config`: the labels of `porter_build_info` and `porter_config_info`.  `ready`:
    /readyz answers with 200; `faults`: how many /healthz reports.  `loop_lag`: the longest delay of
    the event loop within a minute, in seconds.  `reloaded`: the last reload succeeded.
    `state_dir_writable`: the journals of announced paths can be written.  `source`: when it heard
    of each kind.  `bound_ips`: how many addresses are bound.  `nodes_probed`: how many nodes
    have answered a probe; `probes_doubted`: so many of them stopped at once that it is not
    believed.  `peers`: the sessions.  `is_sent`: whether a peer was sent a prefix.
    `switches`: how each OpenFlow switch is, by its datapath.  `stopped`: an operator ended the
    instance.
    """

    version: str
    config: ConfigInfo
    ready: Callable[[], bool]
    faults: Callable[[], int]
    loop_lag: Callable[[], float]
    reloaded: Callable[[], bool]
    state_dir_writable: Callable[[], bool]
    source: Callable[[], SourceState]
    bound_ips: Callable[[], int]
    nodes_probed: Callable[[], Mapping[Family, int]]
    probes_doubted: Callable[[], bool]
    peers: Callable[[], tuple[PeerReport, ...]]
    is_sent: IsSent
    switches: Callable[[], Mapping[int, SwitchHealth]] = dict
    stopped: Callable[[], bool] = bool


def of_process(process: ProcessState) -> Iterator[Series]:
    """The gauges of the process and its host."""
    yield gauges.BUILD_INFO.series().add(1, process.version)
    config = process.config
    yield gauges.CONFIG_INFO.series().add(1, *astuple(config))
    yield gauges.READY.of(process.ready())
    yield gauges.STOPPED.of(process.stopped())
    yield gauges.TASK_FAULTS.of(process.faults())
    yield gauges.LOOP_LAG.of(process.loop_lag())
    yield gauges.RELOADED.of(process.reloaded())
    yield gauges.STATE_DIR_WRITABLE.of(process.state_dir_writable())
    yield gauges.BOUND_IPS.of(process.bound_ips())
    yield gauges.PROBES_DOUBTED.of(process.probes_doubted())
    probed = gauges.NODES_PROBED.series()
    counts = process.nodes_probed()
    for family in Family:
        probed.add(counts.get(family, 0), family_name(family))
    yield probed
    event, listed = gauges.LAST_EVENT.series(), gauges.LAST_LIST.series()
    watched = gauges.LAST_WATCH.series()
    source = process.source()
    for kind in Kind:
        event.add(source.last_event.get(kind, 0), kind.value)
        listed.add(source.last_list.get(kind, 0), kind.value)
        watched.add(source.last_watch.get(kind, 0), kind.value)
    yield from (event, watched, listed)


def of_switches(switches: Mapping[int, SwitchHealth]) -> Iterator[Series]:
    """The gauges of the OpenFlow switches."""
    up, refuses = gauges.SWITCH_UP.series(), gauges.SWITCH_REFUSES.series()
    silent, doubts = gauges.SWITCH_SILENT.series(), gauges.SWITCH_DOUBTS.series()
    for number, health in switches.items():
        datapath = f"{number:#x}"
        up.add(health.up, datapath)
        refuses.add(health.refused, datapath)
        silent.add(health.silent, datapath)
        doubts.add(health.doubted, datapath)
    yield from (up, refuses, silent, doubts)


def of_cluster(planner: Planner, is_sent: IsSent, give_way: Callable[[], None]) -> Iterator[Series]:
    """The gauges of what is decided; `give_way` lets other greenthreads run."""
    yield gauges.LEADER.of(planner.leading)
    yield gauges.NODES_DOUBTED.of(planner.doubted)
    yield gauges.NODES_DRAINED.of(planner.drains.count)
    yield gauges.NODES_PROBED_DEAD.of(len(planner.probed_nodes.dead))
    yield gauges.NODES_WITHOUT_WEIGHT.of(overview.nodes_without_weight(planner))
    yield gauges.AGGREGATES.of(planner.aggregation.count)
    yield gauges.EIPS_WITH_PROBLEM.of(len(planner.eip_problems.found()))
    states: collections.Counter[str] = collections.Counter()
    for decision in list(planner.decisions.values()):
        states[report.state_now(planner, decision, is_sent)] += 1
        give_way()
    services = gauges.SERVICES.series()
    for reason in Reason:
        services.add(states[reason.value], reason.value)
    yield services
    size, used = gauges.EIP_POOL_SIZE.series(), gauges.EIP_POOL_USED.series()
    for eip, status in overview.eips(planner):
        size.add(status.pool_size, eip.name)
        used.add(status.usage, eip.name)
        give_way()
    yield from (size, used)


def of_peers(peers: tuple[PeerReport, ...]) -> Iterator[Series]:
    """The gauges of the sessions."""
    up, age = gauges.SESSION_UP.series(), gauges.SESSION_AGE.series()
    paths, info = gauges.PATHS_ANNOUNCED.series(), gauges.PEER_INFO.series()
    bfd = gauges.BFD_UP.series()
    for peer in peers:
        up.add(peer.is_up, peer.name)
        age.add(peer.established_seconds, peer.name)
        info.add(1, peer.name, peer.address, str(peer.remote_as))
        for family, count in peer.paths.items():
            paths.add(count, peer.name, family)
        if peer.bfd is not None:
            bfd.add(peer.bfd.state == _BFD_UP, peer.name)
    yield from (up, age, paths, info, bfd)
