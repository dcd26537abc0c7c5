"""What makes a node a next hop again, or gives a Service an address: a command, or what to edit.

It is said beside the reason, on the page and in JSON.  Names come from outside, so each is one word
of the command.
"""

from __future__ import annotations

from msgspec.structs import replace

from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Family, Kind, Node, Service
from porter_ryu.domain.nodes.next_hops import EXCLUDE_LABEL, OUT_OF_SERVICE_TAINT, NodeVerdict
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.problems import mend_of_service, quoted
from porter_ryu.domain.text import listed
from porter_ryu.domain.turn import Policy
from porter_ryu.domain.verdict import NodeReason, Reason

_DRAINED = (NodeReason.DRAINING, NodeReason.DRAINED, NodeReason.LAST_NEXT_HOP)
# where the node cannot be mended: it is as the Services or the configuration want it
_NOT_OF_THE_NODE = (
    NodeReason.NEXT_HOP,
    NodeReason.NO_ENDPOINT,
    NodeReason.NOT_THIS_NODE,
    NodeReason.NOT_SHARED,
)


def of_node(entry: NodeVerdict, node: Node | None, eip: str, policy: Policy) -> str:
    """What to do about a verdict on a node; empty where nothing is wrong with it.  `eip` is the
    name of the Eip of the address in question."""
    name, reason, mend = quoted(entry.node), entry.verdict.reason, policy.editing.mend
    manifest = f"Node {name}"
    if reason in _NOT_OF_THE_NODE:
        return ""
    if reason is NodeReason.NOT_SELECTED:
        return mend(f"kubectl get eip {quoted(eip)} -o yaml", f"Eip {quoted(eip)}")
    if node is None:
        return mend("kubectl get nodes", manifest, "there is none")
    if reason is NodeReason.EXCLUDED:
        remove = f"remove the label {EXCLUDE_LABEL}"
        return mend(f"kubectl label node {name} {EXCLUDE_LABEL}-", manifest, remove)
    if reason is NodeReason.OUT_OF_SERVICE:
        remove = f"remove the taint {OUT_OF_SERVICE_TAINT}"
        return mend(f"kubectl taint node {name} {OUT_OF_SERVICE_TAINT}-", manifest, remove)
    if reason in _DRAINED:
        cause = f"it is drained {policy.drain.cause(node)}"
        return mend(policy.drain.undo(node, name), manifest, cause)
    return mend(f"kubectl describe node {name}", manifest)


_POOL = "eip.porter.kubesphere.io/pool"
_OF_NAMED_EIP = {
    Reason.POOL_DISABLED: "gives no new address: set spec.disable to false",
    Reason.POOL_EXHAUSTED: "is full: add addresses",
    Reason.NOT_ALLOWED: "does not admit the Service: change its namespaces, namespaceSelector or "
    "serviceSelector",
    Reason.FAMILY_UNAVAILABLE: "has no address of its family: add some",
}


def of_service(planner: Planner, decision: Decision) -> str:
    """What to do about a Service that cannot be reached.  Of one that names an Eip it is about that
    Eip, and about those that the Service could name instead."""
    service, reason, editing = decision.service, decision.verdict.reason, planner.policy.editing
    general = mend_of_service(reason, service.key, editing)
    if service.pool is None:
        return general
    pool = planner.allocator.pools.get(service.pool)
    if reason is Reason.NO_POOL and pool is None:
        is_there = _is_unreadable(planner, service.pool)
        what = "cannot be read: correct it" if is_there else "does not exist: create it"
    elif reason is Reason.NO_POOL:
        what = "does not serve: correct it, its status says why"
    elif reason in _OF_NAMED_EIP:
        what = _OF_NAMED_EIP[reason]
    else:
        return general
    text = f"Eip {quoted(service.pool)} {what}"
    others = [name for name in sorted(planner.allocator.pools) if _offers(planner, service, name)]
    if not others:
        return text
    first, key = quoted(others[0]), service.key
    command = f"kubectl -n {quoted(key.namespace)} annotate --overwrite service {quoted(key.name)}"
    told = editing.mend(f"{command} {_POOL}={first}", f"Service {quoted(str(key))}")
    whom = "for Eip" if len(others) == 1 else "for one of the Eips"
    return f"{text}, or ask {whom} {listed(others)}: {told}"


def _is_unreadable(planner: Planner, name: str) -> bool:
    return any(eip.key.name == name for eip in planner.cluster.never_read(Kind.EIP))


def _offers(planner: Planner, service: Service, name: str) -> bool:
    """Whether a Service would get its address if it named this Eip."""
    pool = planner.allocator.pools[name]
    families = pool.space.families if pool.space is not None else frozenset[Family]()
    if service.families and not families.intersection(service.families):
        return False
    return planner.allocator.pool_verdict(name, replace(service, pool=name)).ok
