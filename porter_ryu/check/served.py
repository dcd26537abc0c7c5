"""The checks of a cluster with an API server, in order: each needs what those before it found."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from porter_ryu.check import api_server, objects
from porter_ryu.check.api_server import Right
from porter_ryu.check.finding import Finding, NotChecked, Result
from porter_ryu.check.networks import Facts
from porter_ryu.domain.model import Kind
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import ApiError, CodecError
from porter_ryu.kube.resources import RESOURCES
from porter_ryu.settings import Settings

_ANSWER_SECONDS = 20.0
_COMPARED = (Kind.NODE, Kind.EIP)
_SERVICE_CIDRS = Right("list", "networking.k8s.io", "servicecidrs")


def inspect(settings: Settings) -> tuple[Facts | None, list[Result]]:
    """What the API server has, None if it cannot be read, and what was found about it."""
    try:
        client = Client(settings.kubeconfig, _ANSWER_SECONDS)
    except ApiError as error:
        mend = (
            "set [kubernetes] kubeconfig to a file that `kubectl --kubeconfig FILE get nodes` takes"
        )
        return None, [Finding("[kubernetes] kubeconfig", str(error), mend)]
    results: list[Result] = []
    try:
        return _at_server(client, settings, results), results
    except ApiError as error:
        return None, [*results, api_server.unavailable(client, error)]


def _at_server(client: Client, settings: Settings, results: list[Result]) -> Facts:
    """Appends what it finds; raises ApiError."""
    results += api_server.clock(client)
    problems = list(api_server.definitions(client))
    results += problems
    missing = list(api_server.missing(client, settings))
    results += map(api_server.of_missing, missing)
    if settings.allocate and api_server.lease_right("get", settings.namespace) not in missing:
        results += api_server.lease(client, settings.namespace)
    readable = {kind for kind in Kind if api_server.of_kind("list", RESOURCES[kind]) not in missing}
    readable -= {Kind.EIP} if problems else set()
    for kind in _COMPARED:
        if kind not in readable:
            results.append(NotChecked(kind.value, "this credential may not list them"))
    return _compared(client, settings, readable, results)


def _compared(
    client: Client, settings: Settings, readable: Iterable[Kind], results: list[Result]
) -> Facts:
    kinds = set(readable) & {*_COMPARED, Kind.SERVICE}
    found: Facts
    if api_server.allowed(client, _SERVICE_CIDRS):
        try:
            known = objects.service_networks(client)
        except (ApiError, CodecError) as error:
            # Kubernetes before 1.33
            results.append(NotChecked("Service networks", f"{error}; ClusterIPs were compared"))
        else:
            found = objects.facts(objects.at_server(client), kinds - {Kind.SERVICE}, settings)
            return replace(found, service_networks=known)
    else:
        why = "this credential may not list ServiceCIDRs"
        results.append(NotChecked("Service networks", f"{why}; the ClusterIPs were compared"))
    return objects.facts(objects.at_server(client), kinds, settings)
