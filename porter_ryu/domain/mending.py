"""What makes a node a next hop again: a command, or what to edit.

It is said beside the reason, on the page and in JSON.  Names come from outside, so each is one word
of the command.
"""

from __future__ import annotations

from porter_ryu.domain.model import Node
from porter_ryu.domain.nodes.next_hops import EXCLUDE_LABEL, OUT_OF_SERVICE_TAINT, NodeVerdict
from porter_ryu.domain.problems import quoted
from porter_ryu.domain.turn import Policy
from porter_ryu.domain.verdict import NodeReason

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
