"""kubeconfig files (client.config.k8s.io/v1): the cluster and the user of the current context.

As kubectl reads them: of several files the first that has a name counts, and a path in a file is
relative to its folder.  An error never quotes a file, which has tokens.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import yaml
from msgspec import Struct, field

from porter_ryu import regular_file
from porter_ryu.log import reason_of

_MOST_OCTETS = 4 << 20
_MOST_SECRET_OCTETS = 1 << 20  # a bundle of all public CAs has a quarter of that
_DEFAULT = "~/.kube/config"


class KubeconfigError(Exception):
    """A kubeconfig cannot be used; the text says why."""


class Cluster(Struct, frozen=True, rename="kebab"):
    """An API server."""

    server: str | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None


class User(Struct, frozen=True, rename="kebab"):
    """A credential."""

    token: str | None = None
    token_file: str | None = field(name="tokenFile", default=None)
    username: str | None = None
    password: str | None = None
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    exec: object = None
    auth_provider: object = None


class _Context(Struct, frozen=True):
    cluster: str | None = None
    user: str | None = None


class _NamedCluster(Struct, frozen=True):
    name: str
    cluster: Cluster | None = None


class _NamedUser(Struct, frozen=True):
    name: str
    user: User | None = None


class _NamedContext(Struct, frozen=True):
    name: str
    context: _Context | None = None


class _File(Struct, frozen=True, rename="kebab"):
    current_context: str | None = None
    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None


class Chosen(Struct, frozen=True):
    """The cluster and user of the current context, each with the folder of its file."""

    cluster: Cluster
    cluster_folder: Path
    user: User
    user_folder: Path


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_Named)


def read(paths: str) -> Chosen:
    """The current context of these files, which `:` separates; empty: those of KUBECONFIG, else
    the default one.  Raises KubeconfigError."""
    wanted = paths or os.environ.get("KUBECONFIG", "") or _DEFAULT
    names = [Path(path).expanduser() for path in wanted.split(os.pathsep) if path]
    files = [(path.absolute().parent, _read(path)) for path in names if path.exists()]
    if not files:
        raise KubeconfigError(f"there is no kubeconfig {wanted}")
    current = next((file.current_context for _, file in files if file.current_context), "")
    if not current:
        raise KubeconfigError(f"{wanted} has no current-context")
    contexts = [(folder, each) for folder, file in files for each in file.contexts or ()]
    context = _named(current, contexts, f"{wanted} has no such context")[1].context or _Context()
    clusters = [(folder, each) for folder, file in files for each in file.clusters or ()]
    folder, cluster = _named(context.cluster, clusters, f"{wanted}: the context has no cluster")
    if not context.user:
        return Chosen(cluster.cluster or Cluster(), folder, User(), folder)
    users = [(folder, each) for folder, file in files for each in file.users or ()]
    where, user = _named(context.user, users, f"{wanted}: the context has no user")
    return Chosen(cluster.cluster or Cluster(), folder, user.user or User(), where)


def _named(
    name: str | None, entries: Iterable[tuple[Path, _Entry]], why_not: str
) -> tuple[Path, _Entry]:
    """The first entry of a name, and the folder of its file."""
    for folder, entry in entries:
        if entry.name == name:
            return folder, entry
    raise KubeconfigError(why_not)


def _read(path: Path) -> _File:
    try:
        text, _ = regular_file.read(str(path), _MOST_OCTETS, follow=True)
        return msgspec.convert(yaml.safe_load(text), _File)
    except OSError as error:
        raise KubeconfigError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # neither says more: the text of YAML errors quotes the file
        why = f": {error}" if isinstance(error, msgspec.ValidationError) else ""
        raise KubeconfigError(f"{path} is not a kubeconfig{why}") from error


def octets(data: str | None, path: str | None, folder: Path, what: str) -> bytes | None:
    """A certificate or key, which is in the kubeconfig (base64) or in a file; None where there is
    none.  Raises KubeconfigError."""
    if data:
        try:
            return base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise KubeconfigError(f"{what}-data is not base64") from error
    return content(folder / path, what) if path else None


def content(path: Path, what: str) -> bytes:
    """The content of a file that has a certificate, a key or a token.  Raises KubeconfigError."""
    try:
        octets, _ = regular_file.read(str(path), _MOST_SECRET_OCTETS, follow=True)
    except (OSError, ValueError) as error:
        raise KubeconfigError(f"{what} {path} cannot be read: {reason_of(error)}") from error
    return octets
