"""What is wrong beside Services and sessions: the switches, the process, its source and the objects
that it reads."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu import report_switches, rfc3339
from porter_ryu.domain import overview, problems
from porter_ryu.domain.model import Kind
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.ports import Role, SourceState
from porter_ryu.domain.problems import Problem, ProblemReason, problem
from porter_ryu.domain.service_mending import of_unreadable
from porter_ryu.domain.text import counted, listed

Json = dict[str, Any]

_MAX_FAULTS = 3  # of the configuration that are told with their text


class Stopped(Struct, frozen=True):
    """An operator ended this instance by `porter-ryu stop`, and its process is still there.

    `since`: Unix time.  `withdraw`: with all of its routes and addresses.  `done`: whatever could
    be done was done; `left` says what could not, and is empty for nothing.
    """

    since: float
    withdraw: bool
    done: bool = False
    left: str = ""

    @property
    def text(self) -> str:
        """The same in a sentence."""
        text = f"stopped by the operator (since {rfc3339.text(self.since)})"
        if not self.withdraw:
            return f"{text}: its sessions are closed, and what was announced and bound stays"
        if not self.done:
            return f"{text}: routes are being withdrawn, and addresses unbound"
        if self.left:
            return f"{text}: could not be withdrawn: {self.left}"
        return f"{text}: all routes are withdrawn, and all addresses unbound"

    @property
    def mend(self) -> str:
        """What to do then."""
        mend = "start it again, or delete it: the process idles until SIGTERM"
        if self.left:
            return f"remove there what is left, or wait until the router does; then {mend}"
        return mend


class Health(Struct, frozen=True):
    """What the parts say of themselves; a text is empty if there is nothing to say.

    `unready`: why the instance is not ready.  `earlier`: what becomes of what an earlier run
    announced, while the cluster was not read since the start.
    `faults`: a sentence for each unhealthy task.
    `not_loaded`: what is wrong with the configuration that was read last.  `pending`: a sentence
    for each setting in the files that needs a restart.  `not_bound`: why addresses could not be
    bound.  `announces`: [bgp] enabled.  `stopped`: None while it runs.  `files`: those of the
    configuration.  `state_dir`: [porter] state_dir.
    """

    unready: str
    faults: tuple[str, ...]
    role: Role
    source: SourceState
    not_loaded: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    not_bound: str = ""
    state_dir_writable: bool = True
    probes_doubted: bool = False
    announces: bool = True
    stopped: Stopped | None = None
    files: tuple[str, ...] = ()
    state_dir: str = ""
    earlier: str = ""

    @property
    def check(self) -> str:
        """The command that checks the configuration and this host."""
        files = " ".join(f"--config-file {problems.quoted(name)}" for name in self.files)
        return f"porter-ryu check {files}".rstrip()


def of_the_stop(stopped: Stopped, services: int, at_risk: int) -> Problem:
    """That the instance was stopped, how many Services that costs, and how many are reached only
    because peers keep their routes."""
    return problem(ProblemReason.STOPPED, stopped.text, stopped.mend, (), services, at_risk)


def of_switches(switches: Sequence[Json]) -> Iterator[Problem]:
    """Switches that do not have what they should have, or whose next hops are silent; `switches`
    as `report_switches.switch` makes them."""
    for switch in switches:
        name, refused = f"switch {switch['datapath']}", switch["refused"]
        if refused:
            what = f"{name} refuses {len(refused)} or more flows and groups: {refused[0]}"
            mend = "make room in its tables; what is refused is tried again every 10 s"
            yield problem(ProblemReason.SWITCH_NOT_FILLED, what, mend, [name])
        elif switch["state"] != report_switches.UP:
            what = f"{name} has not all of its flows yet: it is {switch['state']}"
            yield problem(ProblemReason.SWITCH_NOT_FILLED, what, "look at the log", [name])
        if switch["nodesDoubted"]:
            what = f"so many nodes stopped answering {name} at once that it is not believed"
            mend = "look at the links of the switch; [kubernetes] panic_percent"
            yield problem(ProblemReason.PROBES_DOUBTED, what, mend, [name])
        silent = [node["node"] for node in switch["nodes"] if not node["answers"]]
        if silent and switch["state"] == report_switches.UP:
            what = f"{name} gets no answer from {listed(silent)}, and sends nothing there"
            mend = "look at the node, and at its link to the switch"
            yield problem(ProblemReason.NODE_DEAD, what, mend, silent)


def of_the_process(health: Health) -> Iterator[Problem]:
    """What the parts of the process say of themselves."""
    if health.source.trouble:
        what = f"{health.source.what}: {health.source.trouble}"
        what += f"; {health.earlier or 'what is announced stays as it was'}"
        yield problem(ProblemReason.SOURCE_UNREADABLE, what, health.source.mend or health.check)
    if health.unready and not health.source.trouble:
        what = "; ".join(filter(None, (health.unready, health.earlier)))
        yield problem(ProblemReason.NOT_READY, what, "look at the log")
    for fault in health.faults:
        yield problem(
            ProblemReason.TASK_FAULT, fault, "look at the log; if it lasts, restart the process"
        )
    if health.probes_doubted:
        what = "so many nodes stopped answering probes at once that it is not believed"
        mend = "look at the network of this host; [kubernetes] panic_percent"
        yield problem(ProblemReason.PROBES_DOUBTED, what, mend)
    if health.role is Role.UNKNOWN and not health.unready:
        what = "this instance cannot renew the Lease: no address is assigned, no status written"
        mend = f"kubectl get lease -A; {health.check}"
        yield problem(ProblemReason.LEADER_UNKNOWN, what, mend)
    if health.not_bound:
        what = f"addresses cannot be bound: {health.not_bound}"
        yield problem(ProblemReason.NOT_BOUND, what, health.check)
    if health.not_loaded:
        yield _of_the_configuration(health)
    if not health.state_dir_writable:
        what = "the journal of announced paths cannot be written: a restart may lose routes"
        folder = problems.quoted(health.state_dir)
        mend = f"df {folder}; ls -ld {folder}"
        yield problem(ProblemReason.STATE_DIR_UNWRITABLE, what, mend)


def _of_the_configuration(health: Health) -> Problem:
    faults = health.not_loaded
    told = "; ".join(faults[:_MAX_FAULTS])
    more = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
    what = f"the configuration is not in force, the one before is: {told}{more}"
    mend = f"correct it, and see whether it is right then: {health.check}"
    return problem(ProblemReason.CONFIGURATION_NOT_LOADED, what, mend, health.files)


def of_files(planner: Planner, source: SourceState, services: int) -> Iterator[Problem]:
    """The files that cannot be read, with what that means for the objects in them; so many Services
    cannot be reached because of them."""
    if not source.unreadable:
        return
    known, never = collections.Counter[Kind](), 0
    for kind in Kind:
        for entry in planner.cluster.all_unreadable(kind):
            if entry.reason in source.unreadable_reasons:
                is_known = planner.cluster.is_known(kind, entry.key)
                known[kind] += is_known
                never += not is_known
    known[Kind.EIP] += sum(
        status.serving is not None and eip.invalid in source.unreadable_reasons
        for eip, status in overview.eips(planner)
        if planner.cluster.unreadable(Kind.EIP, eip.key) is None
    )
    counts = [counted(known[kind], kind.singular) for kind in Kind if known[kind]]
    objects, first = counted(known.total(), "object"), source.unreadable_first[0]
    parts = (
        f"{counted(source.unreadable, 'file')} cannot be read in full: {first}",
        f"the last good form of {objects} counts ({listed(counts)})" if counts else "",
        f"of {counted(never, 'object')} no good form is known" if never else "",
    )
    what = "; ".join(filter(None, parts))
    files = [fault.partition(":")[0] for fault in source.unreadable_first]
    mend = f"correct {listed(files, total=source.unreadable)}; the log has each error"
    yield _costing(
        problem(ProblemReason.FILE_UNREADABLE, what, mend, files, total=source.unreadable), services
    )


def _costing(found: Problem, services: int) -> Problem:
    """The same problem, which costs so many Services, and says so."""
    if not services:
        return found
    what = f"{counted(services, 'Service')} cannot be reached: {found.what}"
    return replace(found, what=what, services=services)


def of_objects(planner: Planner, source: SourceState, services: int) -> Iterator[Problem]:
    """Nodes, Eips and objects that cannot be used as they are, without those that are told with
    their files; so many Services cannot be reached because they cannot be read."""
    editing = planner.policy.editing
    if planner.doubted:
        what = "so many nodes were lost at once that it is not believed: they count as before"
        mend = "porter-ryu history; if it is true, raise [kubernetes] panic_percent"
        yield problem(ProblemReason.NODES_DOUBTED, what, mend)
    for eip, eip_status in overview.eips(planner):
        if not eip_status.ready:
            serves = eip_status.serving is not None  # in its last good form
            if serves and eip.invalid in source.unreadable_reasons:
                continue
            does_not = "is not as its spec says" if serves else "does not serve"
            what = f"Eip {eip.name} {does_not}: {eip_status.message}"
            name = problems.quoted(eip.name)
            mend = editing.mend(f"kubectl describe eip {name}", f"Eip {name}")
            reason = ProblemReason.EIP_PROBLEM if serves else ProblemReason.EIP_NOT_SERVING
            yield problem(reason, what, mend, [eip.name])
    for name, text in sorted(planner.eip_problems.found().items()):
        word = problems.quoted(name)
        mend = editing.mend(f"kubectl edit eip {word}", f"Eip {word}")
        yield problem(ProblemReason.EIP_PROBLEM, f"Eip {name}: {text}", mend, [name])
    yield from _of_dead_nodes(planner)
    for kind in Kind:
        unreadable = sorted(
            (
                entry
                for entry in planner.cluster.all_unreadable(kind)
                if entry.reason not in source.unreadable_reasons
            ),
            key=lambda entry: entry.key,
        )
        if unreadable:
            first = unreadable[0]
            subject = counted(len(unreadable), kind.singular)
            never = [e for e in unreadable if not planner.cluster.is_known(kind, e.key)]
            known = len(unreadable) > len(never)
            parts = (
                "the last good form counts" if known else "",
                f"of {len(never):,} there is none" if known and never else "",
                "no good form is known" if not known else "",
            )
            why = f"{', '.join(filter(None, parts))}: {first.key}: {first.reason}"
            what = f"{subject} cannot be read, {why}"
            held_back = sorted(planner.allocator.held_back) if kind is Kind.SERVICE else []
            if held_back:
                what += f"; it may have any free address of Eip {listed(held_back)}, so"
                what += " none of these is assigned until then"
            mend = of_unreadable(planner, kind, first.key)
            names = [str(entry.key) for entry in unreadable]
            found = problem(ProblemReason.OBJECT_UNREADABLE, what, mend, names)
            yield _costing(found, services if kind is Kind.SERVICE else 0)


def _of_dead_nodes(planner: Planner) -> Iterator[Problem]:
    """The nodes that do not answer probes, those for which the probes found the same together."""
    alike: dict[str, list[str]] = {}
    for name in sorted(planner.probed_nodes.dead):
        found = planner.probed_nodes.of(name).values()
        alike.setdefault(listed(list(dict.fromkeys(f.dead for f in found if f.dead))), []).append(
            name
        )
    for why, names in alike.items():
        verb = "is" if len(names) == 1 else "are"
        what = f"{listed(names)} {verb} dead, and no next hop: {why}"
        mend = f"porter-ryu explain --node {problems.quoted(names[0])}"
        yield problem(ProblemReason.NODE_DEAD, what, mend, names)
