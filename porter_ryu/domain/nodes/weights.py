"""The modes of [bgp] weights: on what the share of a node in the traffic of an address depends.

A mode is an object that contains all differences between the modes; no other module asks which mode
is configured.  A new mode is a class here and an entry in WEIGHTS.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from math import gcd
from typing import ClassVar

from porter_ryu.domain.model import Node

MAX_LEVEL = 16
"""The greatest weight of a path, so that there are few different ones and UPDATEs stay packed."""
_LEVEL_BITS = (MAX_LEVEL - 1).bit_length()
_MILLICORES = 1000


class WeightMode(abc.ABC):
    """How nodes are weighed.

    `name` is the value in the configuration, `summary` its help.  `weighs`: paths have weights at
    all.  `counts_endpoints`: the weight of a node depends on the endpoints that run there, and
    not on the node itself.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    weighs: ClassVar[bool] = True
    counts_endpoints: ClassVar[bool] = False

    @abc.abstractmethod
    def weight(self, node: Node | None, endpoints: int) -> int | None:
        """The weight of a node that hosts so many endpoints, on any scale; None: not known."""

    def warning(self, node: Node) -> str:
        """What is wrong with the weight of a node; empty if nothing is."""
        return ""


class _None(WeightMode):
    name = "none"
    summary = "no weights: every next hop gets the same share"
    weighs = False

    def weight(self, node: Node | None, endpoints: int) -> int | None:
        return None


class _Endpoints(WeightMode):
    name = "endpoints"
    summary = "the ready endpoints of the Service on the node"
    counts_endpoints = True

    def weight(self, node: Node | None, endpoints: int) -> int | None:
        return endpoints


class _Capacity(WeightMode):
    name = "capacity"
    summary = "the annotation porter.kubesphere.io/weight of the Node, else its allocatable CPU"

    def weight(self, node: Node | None, endpoints: int) -> int | None:
        """In millicores: a node with the annotation counts as one with so many CPUs."""
        if node is None:
            return None
        return node.cpu if node.weight is None else node.weight * _MILLICORES

    def warning(self, node: Node) -> str:
        """An annotation that is ignored, or that nothing is known of the node."""
        wrong = node.weight_error
        if self.weight(node, 0) is None:
            wrong = f"{wrong}; " if wrong else ""
            wrong += "it reports no allocatable CPU: no route that leads to it has weights"
        return wrong


UNWEIGHTED: WeightMode = _None()
BY_ENDPOINTS: WeightMode = _Endpoints()
BY_CAPACITY: WeightMode = _Capacity()
WEIGHTS = {mode.name: mode for mode in (UNWEIGHTED, BY_ENDPOINTS, BY_CAPACITY)}


def levels(weights: Mapping[str, int]) -> Mapping[str, int]:
    """The same proportions by numbers from 1 to MAX_LEVEL: exactly if that is possible, otherwise
    rounded."""
    most = max(weights.values())
    divisor = gcd(*weights.values()) or 1
    if most // divisor > MAX_LEVEL:
        scaled = {name: (2 * MAX_LEVEL * w + most) // (2 * most) for name, w in weights.items()}
    else:
        scaled = {name: weight // divisor for name, weight in weights.items()}
    least = {name: max(1, weight) for name, weight in scaled.items()}
    divisor = gcd(*least.values())
    return {name: weight // divisor for name, weight in least.items()}


def steady_levels(weights: Mapping[str, int]) -> Mapping[str, int]:
    """The weights divided by a power of two and rounded, to numbers from 1 to MAX_LEVEL.

    For instances that announce one node each: a small change of one weight leaves the numbers of
    the others as they are, so it does not matter that each instance notices it at another time.
    """
    bits = max(0, (max(weights.values()) - 1).bit_length() - _LEVEL_BITS)
    half = (1 << bits) >> 1
    return {name: max(1, (weight + half) >> bits) for name, weight in weights.items()}
