"""Whether the API server can be asked, has the CRD and the Lease, and grants the rights.

Rights are asked for by access reviews, which every account may make.  What may not be read is not
asked for: it would be an error in the audit log, and says nothing about the program.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator

from msgspec import Struct

from porter_ryu.check.finding import Finding, NotChecked, Results
from porter_ryu.domain.model import Kind
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import BAD_ANSWER, NOT_FOUND, ApiError
from porter_ryu.kube.lease import NAME as LEASE
from porter_ryu.kube.resources import RESOURCES, Resource
from porter_ryu.settings import Settings

INSTALL = "kubectl apply -f deploy/porter-ryu.yaml"
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_UNAUTHORIZED = 401
_NO_STATUS = "Status"  # the reason of an answer that has none
_CLOCK_SECONDS = 5.0  # the Date of an answer has whole seconds, and the answer takes a while


class Right(Struct, frozen=True):
    """What a credential may be allowed to do; empty: any, or none."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = "/".join(part for part in (self.resource, self.subresource) if part)
        namespace = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {resource}{namespace}"


def unavailable(client: Client, error: ApiError) -> Finding:
    """Why an API server that was asked did not answer as it should."""
    return Finding("API server", str(error), _mend(client.server, error))


def _mend(server: str, error: ApiError) -> str:
    host = shlex.quote(server.rpartition(":")[0].strip("[]") or server)
    if error.status == _UNAUTHORIZED:
        return "use a token that is valid: kubectl create token porter-ryu -n porter-system"
    version = f"curl -k https://{shlex.quote(server)}/version"
    if error.reason in (BAD_ANSWER, _NO_STATUS, "ConnectionLost", "TooLarge"):
        return f"correct the server in the kubeconfig: {version}"
    if error.status:
        return "kubectl get --raw '/readyz?verbose'"
    show = "openssl x509 -noout -subject -issuer -dates -ext subjectAltName"
    connect = f"openssl s_client -connect {shlex.quote(server)} </dev/null"
    return {
        "CertificateRefused": f"{connect} | {show}; compare with the kubeconfig and the clock",
        "TlsFailed": connect,
        "NameNotResolved": f"getent hosts {host}; correct the server in the kubeconfig, or DNS",
        "ConnectionRefused": f"start the API server: {version}",
    }.get(error.reason, f"ip route get {host}; ping {host}")


def clock(client: Client) -> Results:
    """Whether this host and the API server agree on the time; raises ApiError."""
    before = time.time()
    theirs = client.date()
    if theirs is None:
        yield NotChecked("the clock", "the answers of the API server have no Date")
        return
    ours = (before + time.time()) / 2
    apart = ours - theirs
    if abs(apart) > _CLOCK_SECONDS:
        way = "ahead of" if apart > 0 else "behind"
        what = f"the clock of this host is {abs(apart):.0f} s {way} that of the API server"
        yield Finding("clock", what, "timedatectl set-ntp true, on the host that is wrong")


def definitions(client: Client) -> Results:
    """Whether the API server knows Eips and their status; raises ApiError."""
    resource = RESOURCES[Kind.EIP]
    crd = f"{resource.kind.value}.{resource.group}"
    where = f"CustomResourceDefinition {crd}"
    try:
        found = client.request("GET", f"/apis/{resource.api_version}").get("resources")
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        found = []
    entries = found if isinstance(found, list) else []
    names = {entry.get("name") for entry in entries if isinstance(entry, dict)}
    version = resource.api_version.rpartition("/")[2]
    if resource.kind.value not in names:
        what = f"the API server does not have it, or not its version {version}"
        yield Finding(where, what, INSTALL)
    elif f"{resource.kind.value}/status" not in names:
        yield Finding(where, "it has no subresource status", INSTALL)


def lease(client: Client, namespace: str) -> Results:
    """Whether the Lease is there; raises ApiError."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}"
    try:
        client.request("GET", path)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        what = "it does not exist, so no instance allocates addresses"
        text = (
            f'{{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", '
            f'"metadata": {{"name": "{LEASE}", "namespace": "{namespace}"}}}}'
        )
        yield Finding(f"Lease {namespace}/{LEASE}", what, f"echo '{text}' | kubectl apply -f -")


def missing(client: Client, settings: Settings) -> Iterator[Right]:
    """The rights that the program needs and the credential does not have; raises ApiError."""
    for right in _needed(settings):
        if not allowed(client, right):
            yield right


def of_missing(right: Right) -> Finding:
    """The finding for a right that is missing."""
    what = f"the API server does not allow: {right}"
    return Finding("API server", what, f"{INSTALL}, and use its ServiceAccount")


def _needed(settings: Settings) -> Iterator[Right]:
    for resource in RESOURCES.values():
        for verb in ("list", "watch"):
            yield of_kind(verb, resource)
    if not settings.allocate:
        return
    for kind in (Kind.SERVICE, Kind.EIP):
        yield Right("patch", RESOURCES[kind].group, kind.value, "status")
    yield Right("create", "", "events")
    yield Right("patch", "", "events")
    for verb in ("get", "update"):
        yield lease_right(verb, settings.namespace)


def lease_right(verb: str, namespace: str) -> Right:
    """What the Lease needs."""
    return Right(verb, "coordination.k8s.io", "leases", "", namespace, LEASE)


def of_kind(verb: str, resource: Resource) -> Right:
    """A right to all objects of a kind."""
    return Right(verb, resource.group, resource.kind.value)


def allowed(client: Client, right: Right) -> bool:
    """Whether the credential has a right; raises ApiError."""
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: text for key, text in attributes.items() if text}},
    }
    status = client.request("POST", _REVIEW, body=review).get("status")
    return isinstance(status, dict) and status.get("allowed") is True
