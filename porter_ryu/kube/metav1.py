"""metav1: the structs that all kinds of the Kubernetes API have in common; see `structs`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, field

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class ApiStruct(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Decoded JSON has no cycles, so the garbage collector does not track it."""


class TypeMeta(ApiStruct, frozen=True):
    """The kind of an object."""

    api_version: str | None = None
    kind: str | None = None


class ObjectName(ApiStruct, frozen=True):
    """metadata of any object; a `resource_version` of a wrong type is ignored."""

    name: str | None = None
    namespace: str | None = None
    resource_version: Any = None


class NamedObject(ApiStruct, frozen=True):
    """Any object."""

    metadata: ObjectName | None = None


class StatusOfObject(ApiStruct, frozen=True):
    """Any object, with its status as JSON text."""

    status: Raw = Raw()


class ConditionType(ApiStruct, frozen=True):
    """An entry of status.conditions, which anybody may have added."""

    type: str | None = None


class Condition(ApiStruct, frozen=True):
    """An entry of status.conditions that the program reads."""

    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class LabelSelectorRequirement(ApiStruct, frozen=True, forbid_unknown_fields=True):
    """An entry of matchExpressions."""

    key: str | None = None
    operator: str | None = None
    values: tuple[str, ...] | None = None


class LabelSelector(ApiStruct, frozen=True, forbid_unknown_fields=True):
    """metav1.LabelSelector.  Without a field that is not understood it would select more."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[LabelSelectorRequirement] | None = None


class ListMeta(ApiStruct, frozen=True):
    """metadata of a list; `continue_` is the token for the next page."""

    resource_version: str | None = None
    continue_: str | None = field(default=None, name="continue")


class ObjectList(ApiStruct, frozen=True):
    """A list of objects of any kind, each as JSON text."""

    metadata: ListMeta
    items: list[Raw] | None = None


class WatchEvent(ApiStruct, frozen=True):
    """An event of a watch; the object is JSON text."""

    type: str | None = None
    object: Raw = Raw(b"null")


class StatusDetails(ApiStruct, frozen=True):
    """details of a Status."""

    retry_after_seconds: Int64 | None = None


class Status(ApiStruct, frozen=True):
    """metav1.Status: why a request failed, or a watch ended."""

    code: Int64 | None = None
    reason: str | None = None
    message: str | None = None
    details: StatusDetails | None = None
