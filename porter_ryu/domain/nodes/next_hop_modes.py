"""The modes of [bgp] next_hops.

A mode is an object that contains all differences between the modes; no other module asks which mode
is configured.  A new mode is a class here and an entry in MODES.
"""

from __future__ import annotations

import abc
from collections.abc import Collection
from typing import ClassVar

from porter_ryu.domain.nodes.backends import Backends
from porter_ryu.domain.verdict import NodeReason, Reason, ServiceVerdict, Verdict


class NextHopMode(abc.ABC):
    """Which nodes are candidates for next hops of a Service.

    `name` is the value in the configuration, `summary` its help.  `central`: one instance
    announces all nodes as next hops; otherwise each instance announces only the node that it runs
    on.  Methods take the name of that node as `own`, empty where it is not known.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    central: ClassVar[bool] = True

    @abc.abstractmethod
    def candidates(
        self, backends: Backends, local: bool, nodes: Collection[str], own: str
    ) -> Collection[str]:
        """Names of the nodes that are next hops of a Service if they are usable.

        `backends` says where its endpoints are, `local` that its externalTrafficPolicy is Local;
        `nodes` are all nodes.
        """

    @abc.abstractmethod
    def depends_on(self, node: str, own: str) -> bool:
        """Whether the next hops of Services depend on a node that hosts no endpoint of them."""

    def only_endpoint_nodes(self, local: bool) -> bool:
        """Whether every candidate of a Service hosts an endpoint of it; `local` as above."""
        return local

    def of_aggregate(self, nodes: Collection[str], own: str) -> Collection[str]:
        """Names of the nodes that are next hops of an aggregate if they are usable."""
        return nodes

    def elsewhere(
        self, backends: Backends, local: bool, nodes: Collection[str], own: str
    ) -> Collection[str]:
        """Names of the nodes that other instances announce for a Service if they are usable; the
        arguments are those of `candidates`."""
        return ()

    def why_not(self, node: str, own: str) -> Verdict[NodeReason]:
        """Why a node is no candidate."""
        return Verdict(False, NodeReason.NO_ENDPOINT, "it hosts no endpoint that could be used")

    def why_none(self, own: str) -> ServiceVerdict:
        """Why no node is a candidate, for a Service that has a usable endpoint."""
        text = "no endpoint names the node that hosts it"
        return Verdict(False, Reason.NO_USABLE_NODE, text)


class _Endpoints(NextHopMode):
    name = "endpoints"
    summary = "the nodes that host a usable endpoint of the Service"

    def candidates(
        self, backends: Backends, local: bool, nodes: Collection[str], own: str
    ) -> Collection[str]:
        return backends.nodes

    def depends_on(self, node: str, own: str) -> bool:
        return False

    def only_endpoint_nodes(self, local: bool) -> bool:
        return True


class _Nodes(NextHopMode):
    name = "nodes"
    summary = "every usable node for Cluster, endpoint nodes for Local"

    def candidates(
        self, backends: Backends, local: bool, nodes: Collection[str], own: str
    ) -> Collection[str]:
        if local:
            return backends.nodes
        return nodes if backends.anywhere else ()

    def depends_on(self, node: str, own: str) -> bool:
        return True


class _Self(_Nodes):
    name = "self"
    summary = "this node alone, by the rule of nodes"
    central = False

    def candidates(
        self, backends: Backends, local: bool, nodes: Collection[str], own: str
    ) -> Collection[str]:
        return (own,) if own in super().candidates(backends, local, nodes, own) else ()

    def elsewhere(
        self, backends: Backends, local: bool, nodes: Collection[str], own: str
    ) -> Collection[str]:
        return set(super().candidates(backends, local, nodes, own)) - {own}

    def depends_on(self, node: str, own: str) -> bool:
        return node == own

    def of_aggregate(self, nodes: Collection[str], own: str) -> Collection[str]:
        return (own,) if own in nodes else ()

    def why_not(self, node: str, own: str) -> Verdict[NodeReason]:
        if node == own:
            return super().why_not(node, own)
        text = "this instance announces its own node alone"
        return Verdict(False, NodeReason.NOT_THIS_NODE, text)

    def why_none(self, own: str) -> ServiceVerdict:
        return Verdict(False, Reason.NO_USABLE_NODE, f"node {own} hosts no endpoint of it")


ENDPOINTS: NextHopMode = _Endpoints()
NODES: NextHopMode = _Nodes()
SELF: NextHopMode = _Self()
MODES = {mode.name: mode for mode in (ENDPOINTS, NODES, SELF)}
