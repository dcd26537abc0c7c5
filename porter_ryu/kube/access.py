"""Where the API server is, how it proves who it is, and the credential that it is shown.

A kubeconfig, or the service account of a Pod.  The official client is imported only for the
credential of a plugin: it takes 19 MB and a quarter of a second.
"""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from urllib3.util.ssl_ import create_urllib3_context

from porter_ryu.kube import kubeconfig
from porter_ryu.kube.kubeconfig import Chosen, Cluster, KubeconfigError, User

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_SECONDS = 60.0  # the kubelet replaces a token long before it expires
Authorization = Callable[[], str]


class Access(Struct, frozen=True):
    """`authorization` returns the value of the Authorization field of a request, empty where it has
    none.  `server_name`: what the certificate is for, if that is not the host of the URL."""

    url: str
    tls: ssl.SSLContext
    authorization: Authorization
    server_name: str = ""
    proxy: str = ""


def access(paths: str, account: Path = _ACCOUNT) -> Access:
    """By kubeconfig files, which `:` separates; empty: from inside the cluster, where `account` is
    the folder of the service account, else by the default kubeconfig.  Raises KubeconfigError, and
    what `ssl` raises of a certificate."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "")
    if not paths and host and port and (account / "token").is_file():
        return _of_account(account, f"[{host}]" if ":" in host else host, port)
    chosen = kubeconfig.read(paths)
    if chosen.user.exec is not None or chosen.user.auth_provider is not None:
        return _by_plugin(paths, chosen.cluster)
    return Access(
        (chosen.cluster.server or "").rstrip("/"),
        _tls(chosen),
        _authorization(chosen.user, chosen.user_folder),
        chosen.cluster.tls_server_name or "",
        chosen.cluster.proxy_url or "",
    )


def _of_account(account: Path, host: str, port: str) -> Access:
    tls = _context(verify=True)
    authority = kubeconfig.content(account / "ca.crt", "certificate-authority")
    tls.load_verify_locations(cadata=_certificates(authority))
    return Access(f"https://{host}:{port}", tls, _TokenFile(account / "token"))


def _authorization(user: User, folder: Path) -> Authorization:
    """In the order of kubectl."""
    if user.token_file:
        return _TokenFile(folder / user.token_file)
    text = ""
    if user.token:
        text = f"Bearer {user.token.strip()}"
    elif user.username and user.password is not None:
        pair = f"{user.username}:{user.password}".encode()
        text = f"Basic {base64.b64encode(pair).decode()}"
    return lambda: text


class _TokenFile:
    """A token that is read again every minute; while that fails, the last one counts."""

    def __init__(self, path: Path) -> None:
        """Raises KubeconfigError where there is no token."""
        self._path = path
        self._text = self._read()
        self._read_at = time.monotonic()

    def __call__(self) -> str:
        """The value of the Authorization field."""
        now = time.monotonic()
        if now - self._read_at > _TOKEN_SECONDS:
            self._read_at = now
            with contextlib.suppress(KubeconfigError):
                self._text = self._read()
        return self._text

    def _read(self) -> str:
        try:
            token = kubeconfig.content(self._path, "the token").decode().strip()
        except UnicodeDecodeError:
            raise KubeconfigError(f"the token {self._path} is not text") from None
        if not token:
            raise KubeconfigError(f"the token {self._path} is empty")
        return f"Bearer {token}"


def _tls(chosen: Chosen) -> ssl.SSLContext:
    cluster, user, folder = chosen.cluster, chosen.user, chosen.user_folder
    context = _context(verify=not cluster.insecure_skip_tls_verify)
    authority = kubeconfig.octets(
        cluster.certificate_authority_data,
        cluster.certificate_authority,
        chosen.cluster_folder,
        "certificate-authority",
    )
    if authority is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=_certificates(authority))
    certificate = kubeconfig.octets(
        user.client_certificate_data, user.client_certificate, folder, "client-certificate"
    )
    key = kubeconfig.octets(user.client_key_data, user.client_key, folder, "client-key")
    if certificate is not None:
        _load_chain(context, certificate, key or b"")
    return context


def _certificates(octets: bytes) -> str | bytes:
    """PEM is text, DER is not."""
    return octets.decode("ascii", "ignore") if b"-----BEGIN" in octets else octets


def _context(verify: bool) -> ssl.SSLContext:
    context = create_urllib3_context()
    context.check_hostname = verify
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return context


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL reads them from a file only: one that only this user may read, and that is gone at
    once."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name, password="")  # it would ask for one otherwise


def _by_plugin(paths: str, cluster: Cluster) -> Access:
    """By the official client, which runs the plugin, and again when its token has expired."""
    from kubernetes import client, config

    made = client.Configuration()
    try:
        config.load_kube_config(paths or None, client_configuration=made)
    except config.ConfigException as error:
        raise KubeconfigError(str(error).rstrip(".")) from error
    context = _context(verify=bool(made.verify_ssl))
    if made.ssl_ca_cert:
        authority = kubeconfig.content(Path(made.ssl_ca_cert), "certificate-authority")
        context.load_verify_locations(cadata=_certificates(authority))
    else:
        context.load_default_certs()
    if made.cert_file:
        certificate = kubeconfig.content(Path(made.cert_file), "client-certificate")
        key = kubeconfig.content(Path(made.key_file), "client-key") if made.key_file else b""
        _load_chain(context, certificate, key)

    def authorization() -> str:
        return made.get_api_key_with_prefix("BearerToken", alias="authorization") or ""

    proxy = cluster.proxy_url or ""
    return Access(made.host, context, authorization, cluster.tls_server_name or "", proxy)


def bypasses(url: str, no_proxy: str) -> bool:
    """Whether a server is asked without a proxy, by NO_PROXY: domains, networks and `*`, which
    commas separate."""
    host = (urlsplit(url).hostname or "").lower()
    for entry in (text.strip().lower() for text in no_proxy.split(",")):
        name = entry.lstrip(".")
        if entry == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
        with contextlib.suppress(ValueError):
            if ip_address(host) in ip_network(entry, strict=False):
                return True
    return False
