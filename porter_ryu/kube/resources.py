"""How the API names the kinds, and where it keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from porter_ryu.domain.model import Kind, ObjectKey

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
JSON_MERGE = "application/merge-patch+json"


class Resource(Struct, frozen=True):
    """A kind at the API server: its apiVersion, whether its objects are in namespaces, and the
    content type of a patch of its status (custom resources take no strategic merge patches)."""

    kind: Kind
    api_version: str
    namespaced: bool = False
    patch_type: str = STRATEGIC_MERGE

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def collection(self) -> str:
        """The path of all objects of the kind."""
        return f"{self._prefix}/{self.kind.value}"

    def path(self, key: ObjectKey) -> str:
        """The path of one object."""
        namespace = f"/namespaces/{key.namespace}" if self.namespaced else ""
        return f"{self._prefix}{namespace}/{self.kind.value}/{key.name}"

    @property
    def _prefix(self) -> str:
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"


RESOURCES: Mapping[Kind, Resource] = {
    resource.kind: resource
    for resource in (
        Resource(Kind.SERVICE, "v1", namespaced=True),
        Resource(Kind.ENDPOINT_SLICE, "discovery.k8s.io/v1", namespaced=True),
        Resource(Kind.NODE, "v1"),
        Resource(Kind.NAMESPACE, "v1"),
        Resource(Kind.EIP, "network.kubesphere.io/v1alpha2", patch_type=JSON_MERGE),
    )
}
_OLDER = {("network.kubesphere.io/v1alpha1", Kind.EIP.singular): Kind.EIP}
KINDS: Mapping[tuple[str, str], Kind] = {
    (resource.api_version, kind.singular): kind for kind, resource in RESOURCES.items()
} | _OLDER
"""The kinds by the `apiVersion` and `kind` of their objects."""
