"""Reads what the checks compare from the API server or from a directory of manifests.

It reads fields that the program does not, such as the Pod networks of Nodes, so it has structs of
its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, TypeVar

from msgspec import field
from msgspec.json import Decoder

from porter_ryu.check.finding import silent
from porter_ryu.check.networks import Facts
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.model import Address, Eip, Kind, Network, Node, ObjectId, ObjectKey
from porter_ryu.domain.objects import Unreadable
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import Text, decoded
from porter_ryu.kube.metav1 import ApiStruct, NamedObject
from porter_ryu.settings import Settings
from porter_ryu.supervisor import Supervisor

if TYPE_CHECKING:
    from porter_ryu.kube.client import Client

SERVICE_NETWORKS = "/apis/networking.k8s.io/v1/servicecidrs"
T = TypeVar("T")


class _NodeSpec(ApiStruct, frozen=True):
    pod_cidrs: tuple[str, ...] | None = field(default=None, name="podCIDRs")


class _Node(ApiStruct, frozen=True):
    spec: _NodeSpec | None = None


class _ServiceSpec(ApiStruct, frozen=True):
    cluster_ips: tuple[str, ...] | None = field(default=None, name="clusterIPs")


class _Service(ApiStruct, frozen=True):
    spec: _ServiceSpec | None = None


class _EipSpec(ApiStruct, frozen=True):
    address: str | None = None


class _Eip(ApiStruct, frozen=True):
    spec: _EipSpec | None = None


class _ServiceCidrSpec(ApiStruct, frozen=True):
    cidrs: tuple[str, ...] | None = None


class _ServiceCidr(ApiStruct, frozen=True):
    metadata: NamedObject | None = None
    spec: _ServiceCidrSpec | None = None


class _ServiceCidrs(ApiStruct, frozen=True):
    items: tuple[_ServiceCidr, ...] | None = None


_NAME, _NODE, _SERVICE = Decoder(NamedObject), Decoder(_Node), Decoder(_Service)
_EIP, _SERVICE_CIDRS = Decoder(_Eip), Decoder(_ServiceCidrs)
Texts = Callable[[Kind], Iterable[tuple[ObjectKey, Text]]]


def in_directory(settings: Settings) -> tuple[Texts, Mapping[str, str]]:
    """The objects in the directory of manifests as JSON, and why files there and below `.status`,
    or parts of them, cannot be read, by path in it; raises UnreadableDirectoryError."""
    from porter_ryu.kube.directory.loader import Loader
    from porter_ryu.kube.directory.readings import Readings
    from porter_ryu.kube.directory.store import Store
    from porter_ryu.kube.status_files import StatusFiles, file_of
    from porter_ryu.planning import left_something, make_codec

    store, status = Store(_do_nothing), StatusFiles(settings.manifests)

    def expects_files() -> bool:
        # what is wrong with the state_dir, or with the journal in it, is a finding of its own
        with silent("porter_ryu.node.binding_journal"):
            return os.path.isdir(settings.state_dir) and left_something(settings)

    loader = Loader(settings.manifests, store, Supervisor(), expects_files=expects_files)
    loader.load_all(_do_nothing)
    broken = dict(store.faults)
    with silent("porter_ryu.kube.status_files", "porter_ryu.kube.directory.readings"):
        status.refresh(_do_nothing)
        readings = Readings(make_codec(settings), store, status)
        for object_id in sorted({*store.object_ids(), *status.keys()}, key=str):
            found = status.get(*object_id)
            if found.fault:
                broken.setdefault(found.file, found.fault)
                continue
            reading = readings.get(object_id)
            if isinstance(reading, Unreadable) and reading.file == file_of(*object_id):
                broken.setdefault(reading.file, reading.reason)

    def texts(kind: Kind) -> Iterator[tuple[ObjectKey, Text]]:
        for object_id in sorted(store.object_ids(), key=lambda found: found[1]):
            definition = store.definition(object_id) if object_id[0] is kind else None
            if definition is not None:
                yield object_id[1], definition.text

    return texts, broken


def at_server(client: Client) -> Texts:
    """The objects at an API server as JSON; to read them raises ApiError."""

    def texts(kind: Kind) -> Iterator[tuple[ObjectKey, Text]]:
        for page, _ in client.pages(kind):
            for text in page:
                with contextlib.suppress(CodecError):
                    meta = decoded(_NAME, text).metadata
                    if meta is not None and meta.name:
                        yield ObjectKey(meta.namespace or "", meta.name), text

    return texts


def facts(texts: Texts, kinds: Collection[Kind], settings: Settings) -> Facts:
    """What the objects of these kinds say; raises what `texts` raises."""
    codec = Codec(settings.annotation, settings.annotation_values)
    nodes: list[Node] = []
    pods: dict[Network, str] = {}
    eips: dict[str, str] = {}
    advertisements: dict[str, Sequence[AdvertisementEntry]] = {}
    unreadable: dict[ObjectId, str] = {}
    taken = {}
    for kind in sorted(kinds, key=list(Kind).index):
        for key, text in texts(kind):
            reading = codec.read(kind, key, text)
            if isinstance(reading, Unreadable):
                unreadable[kind, key] = reading.reason
            elif isinstance(reading, Node):
                nodes.append(reading)
            elif isinstance(reading, Eip) and reading.invalid is not None:
                unreadable[kind, key] = reading.invalid
            elif isinstance(reading, Eip):
                advertisements[key.name] = reading.advertisements
            if kind is Kind.NODE:
                pods.update(dict.fromkeys(_networks(_pod_cidrs(text)), key.name))
            elif kind is Kind.EIP:
                address = _address(text)
                eips.update({key.name: address} if address is not None else {})
            elif kind is Kind.SERVICE:
                taken.update(dict.fromkeys(_addresses(_cluster_ips(text)), str(key)))
    return Facts(tuple(nodes), eips, pods, {}, taken, advertisements, unreadable)


def service_networks(client: Client) -> dict[Network, str]:
    """The Service networks by their ServiceCIDR objects; raises ApiError."""
    items = decoded(_SERVICE_CIDRS, client.text("GET", SERVICE_NETWORKS)).items or ()
    return {
        network: "ServiceCIDR"
        for item in items
        for network in _networks((item.spec.cidrs if item.spec else None) or ())
    }


def _address(text: Text) -> str | None:
    found = _read(_EIP, text)
    return (found.spec.address or "") if found is not None and found.spec is not None else None


def _addresses(texts: Iterable[str]) -> Iterator[Address]:
    for text in texts:
        with contextlib.suppress(ValueError):
            yield ip_address(text)


def _cluster_ips(text: Text) -> tuple[str, ...]:
    found = _read(_SERVICE, text)
    return (found.spec.cluster_ips or ()) if found is not None and found.spec is not None else ()


def _pod_cidrs(text: Text) -> tuple[str, ...]:
    found = _read(_NODE, text)
    return (found.spec.pod_cidrs or ()) if found is not None and found.spec is not None else ()


def _read(decoder: Decoder[T], text: Text) -> T | None:
    try:
        return decoded(decoder, text)
    except CodecError:
        return None


def _networks(texts: Iterable[str]) -> Iterator[Network]:
    for text in texts:
        with contextlib.suppress(ValueError):
            yield ip_network(text, strict=False)


def _do_nothing() -> None:
    """Does nothing."""
