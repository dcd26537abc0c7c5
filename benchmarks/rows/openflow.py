"""Every EIP into Open vSwitch, and one change of the endpoints of one Service.

The floor of the table is the same messages from a bare socket to the same switch, emptied before.
"""

from __future__ import annotations

import queue
import random
import sys
import time
from http.client import HTTPConnection
from ipaddress import ip_address

from benchmarks.canned_api import PORT, node_name
from benchmarks.openflow_wire import CHANGES, Passed, Wire, blast
from benchmarks.plan import FIRST, NODES, Plan
from benchmarks.process import cpu_seconds, cpu_when_quiet
from benchmarks.rows.latency import PACE
from benchmarks.rows.synthetic import kubeconfig
from benchmarks.scene import pid_of
from benchmarks.services import change_of
from benchmarks.table import Figure, one, percentile
from fabric import Fabric, Host, inside, wait_for
from fabric.openflow import sections
from fabric.openvswitch import OpenVSwitch
from fabric.program import Program
from fabric.raw_switch import BARRIER_REPLY

_CONTROLLER, _API = "192.168.9.1", "192.168.10.2"
_HERE = "127.0.0.1"
_PATIENCE = 300.0
_TIMES_FLOOR = 3.0
_WANTED_MS = 5.0


def measure(plan: Plan) -> list[Figure]:
    """Seconds to fill the switch, and milliseconds of each change."""
    with Fabric() as fabric:
        switch, porter, api = _hosts(fabric)
        argv = [sys.executable, "-m", "benchmarks.canned_api", _API, str(plan.services), "four"]
        api.spawn(argv, "canned.log")
        url = f"http://{_API}:{PORT}"
        probe = f"curl -sf {url}/api/v1/namespaces"
        wait_for(lambda: porter.run(probe, check=False), bool, 120, "the canned lists")
        plan.say(f"{plan.services} EIPs into Open vSwitch")
        groups = sections(
            porter={"allocate": "false"},
            kubernetes={"kubeconfig": kubeconfig(porter, url), "manifests": ""},
        )
        program = Program(porter, groups).start()
        pid = pid_of(program)
        wire = Wire(switch.host, _CONTROLLER)
        before = cpu_when_quiet(pid)
        took, changes = _fill(switch, wire, plan.services)
        used = cpu_seconds(pid) - before
        late = _changes(plan, porter, wire)
        each = (cpu_when_quiet(pid) - before - used) / len(late) * 1e3
        switch.disconnect()
        program.stop()
        wire.close()
        switch.clear()
        plan.say("the floor: the same messages from a bare socket")
        floor = blast(switch.host, changes, lambda: switch.connect(_HERE))
    return [
        one(
            f"{plan.services} EIPs into the switch",
            took,
            "s",
            floor=floor,
            floor_is="the same messages, raw",
            wanted=_TIMES_FLOOR * floor,
        ),
        one("its CPU", used, "s"),
        one("its messages", len(changes), ""),
        one("its messages, together", sum(map(len, changes)) / 1e6, "MB"),
        *(
            one(f"p{share} of a change", percentile(late, share), "ms", wanted=_WANTED_MS)
            for share in (50, 99)
        ),
        one("each change", each, "CPU ms"),
    ]


def _hosts(fabric: Fabric) -> tuple[OpenVSwitch, Host, Host]:
    """The switch with four nodes, which calls nobody yet; the program's host; the API server's."""
    porter, control, api = fabric.host("porter"), fabric.host("switch"), fabric.host("api")
    fabric.link(porter, control, [f"{_CONTROLLER}/24"], ["192.168.9.2/24"])
    fabric.link(porter, api, ["192.168.10.1/24"], [f"{_API}/24"])
    switch = OpenVSwitch(control, 1).start()
    for name, address in NODES.items():
        switch.plug(fabric, fabric.host(name), [f"{address}/24"])
    return switch, porter, api


def _fill(switch: OpenVSwitch, wire: Wire, services: int) -> tuple[float, list[bytes]]:
    """Seconds from the call of the switch to its last barrier reply, and the changes it got."""
    switch.connect(_HERE)
    last = str(ip_address(FIRST + services - 1))
    wait_for(lambda: _count(switch, services), bool, _PATIENCE, f"all flows up to {last}")
    passed: list[Passed] = []
    while True:  # until the nodes are learnt as well and nothing more comes
        try:
            passed.append(wire.passed.get(timeout=2))
        except queue.Empty:
            break
    last_change = max(number for number, each in enumerate(passed) if each.kind in CHANGES)
    replies = (each.at for each in passed[last_change:] if each.kind == BARRIER_REPLY)
    ended = next(replies, passed[last_change].at)
    return ended - wire.called, [each.octets for each in passed if each.kind in CHANGES]


def _count(switch: OpenVSwitch, services: int) -> bool:
    """Whether the switch has a flow for each EIP, looked up twice a second."""
    time.sleep(0.5)
    told = switch.ofctl("dump-aggregate")
    return int(told.rpartition("flow_count=")[2]) >= services


def _changes(plan: Plan, porter: Host, wire: Wire) -> list[float]:
    """Milliseconds of each change from the end of its write to its barrier reply."""
    plan.say("one change among them")
    chance = random.Random(plan.services)
    with inside(porter):
        http = HTTPConnection(_API, PORT, timeout=60)
        http.connect()
    names = [node_name(number) for number in range(len(NODES))]
    late = []
    for _ in range(max(1, plan.changes // 2)):
        number = chance.randrange(plan.services)
        for nodes in (names[:-1], names):
            time.sleep(PACE)
            change = change_of(number, *nodes)
            http.request(change.method, change.path, change.body)
            http.getresponse().read()
            written = time.monotonic()
            late.append((wire.changed(60) - written) * 1e3)
    http.close()
    return late
