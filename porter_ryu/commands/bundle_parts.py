"""What a support bundle has in it: each part with a limit, and without secrets.

A part that cannot be had is said to be missing, with the reason; the others are there all the same.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from porter_ryu import regular_file
from porter_ryu.commands.arguments import CommandError
from porter_ryu.log import reason_of
from porter_ryu.remote import Remote, RemoteError, segment
from porter_ryu.version import VERSION

MAX_PART_OCTETS = 32 << 20
MAX_TAIL_OCTETS = 1 << 20
_MAX_PATHS, _MAX_PEERS, _MAX_STATE_FILES, _MAX_SYSCTL_OCTETS = 50, 64, 200, 4096
PATHS = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/version",
    "/v1/status",
    "/v1/peers",
    "/v1/switches",
    "/v1/nodes",
    "/v1/eips",
    "/v1/services",
    "/v1/plan",
    "/v1/changes",
)
_ENDLESS = frozenset({"/v1/stream"})
_PLAIN_PATH = re.compile(r"/v1/[a-z0-9/-]{1,60}")
_BEARER = re.compile(r"(?i)(bearer\s+)\S+")
# ss without -i, which shows TCP MD5 keys
_COMMANDS = (
    "ip -d address",
    "ip rule",
    "ip -6 rule",
    "ip route show table all",
    "ip -6 route show table all",
    "ip neighbour",
    "ss -Htlnp",
    "ss -Htno state all ( sport = :179 or dport = :179 )",
)
_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/rp_filter",
    "net/ipv4/fib_multipath_hash_policy",
    "net/ipv6/fib_multipath_hash_policy",
)
_SECRET_FILES = frozenset({"control.token"})

Json = dict[str, Any]


class Part(Struct, frozen=True):
    """A file of the bundle and what is in it.  `missing`: why it is not there, else empty.
    `is_cut`: it was longer than the limit; only its beginning (of a log: its end) is there."""

    file: str
    what: str
    data: bytes = b""
    is_cut: bool = False
    missing: str = ""


def of_versions() -> Part:
    """The versions of everything that runs."""
    from importlib import metadata

    found = {
        "porterRyu": VERSION,
        "python": sys.version,
        "kernel": " ".join(platform.uname()),
        "packages": {
            name: entry.version
            for entry in metadata.distributions()
            if (name := entry.metadata["Name"])
        },
    }
    return Part("versions.json", "versions", _json(found))


def of_instance(url: str, most: int = MAX_PART_OCTETS) -> Iterator[Part]:
    """What a running instance says of itself, at most `most` octets in each part; a single part if
    it cannot be reached."""
    try:
        index = Remote(url).get("/v1", dict)
    except RemoteError as error:
        yield Part("http/", "state, history, sessions and decisions", missing=str(error))
        return
    paths = dict.fromkeys((*PATHS, *_listed(index)))
    for path in paths:
        yield _answer(url, path, most)
    try:
        peers = [str(peer["name"]) for peer in Remote(url).get("/v1/peers", list)]
    except (RemoteError, KeyError, TypeError):
        return  # said by the part /v1/peers itself
    for name in peers[:_MAX_PEERS]:
        yield _answer(url, f"/v1/peers/{segment(name)}/routes", most)
    if len(peers) > _MAX_PEERS:
        left = f"only those of the first {_MAX_PEERS} of {len(peers)} sessions are included"
        yield Part("http/", "routes of the other sessions", missing=left)


def _listed(index: Json) -> Iterator[str]:
    """The paths that the instance lists, those without arguments."""
    entries = index.get("paths")
    for entry in entries[:_MAX_PATHS] if isinstance(entries, list) else ():
        path = entry.get("path") if isinstance(entry, dict) else None
        plain = isinstance(path, str) and _PLAIN_PATH.fullmatch(path) and path not in _ENDLESS
        if plain and entry.get("method") == "GET":
            yield str(path)


def _answer(url: str, path: str, most: int) -> Part:
    suffix = "json" if path.startswith("/v1") else "txt"
    file = f"http/{_file_name(path)}.{suffix}"
    try:
        data, is_cut = Remote(url).body(path, most)
    except RemoteError as error:
        return Part(file, path, missing=str(error))
    return Part(file, path, data, is_cut)


def of_settings(entries: Callable[[], list[Json]]) -> tuple[Part, list[Json]]:
    """The effective settings, as a part and as they are; none if they are not valid."""
    file, what = "settings.json", "effective settings, without secrets"
    try:
        found = entries()
    except CommandError as error:
        return Part(file, what, missing="; ".join(str(error).splitlines())), []
    return Part(file, what, _json(found)), found


def of_host() -> Iterator[Part]:
    """Addresses, rules, routes and sockets of this host, and what its kernel is set to."""
    from porter_ryu.node.command import CommandRunner, IpError

    runner = CommandRunner()
    for line in _COMMANDS:
        file = f"host/{_file_name(line)}.txt"
        try:
            data = runner(line.split()).encode("utf-8", "surrogateescape")
        except IpError as error:
            yield Part(file, line, missing=str(error))
        else:
            yield Part(file, line, data[:MAX_PART_OCTETS], len(data) > MAX_PART_OCTETS)
    values = "".join(f"{name} = {_sysctl(name)}\n" for name in _SYSCTLS)
    yield Part("host/sysctl.txt", "settings of the kernel", values.encode())


def _sysctl(name: str) -> str:
    try:
        with open(f"/proc/sys/{name}", encoding="ascii") as file:
            return file.read(_MAX_SYSCTL_OCTETS).strip()
    except (OSError, ValueError) as error:
        return f"({reason_of(error)})"


def of_state_dir(folder: str) -> Iterator[Part]:
    """The journals in a state_dir: what was announced and bound.  The control token is left out."""
    yield from _of_folder(folder, "state", f"journals in {folder}")


def of_records(manifests: str) -> Iterator[Part]:
    """The records below `.status` of a directory of manifests."""
    folder = os.path.join(manifests, ".status")
    if os.path.lexists(folder):
        yield from _of_folder(folder, "status", f"records in {folder}")


def _of_folder(folder: str, name: str, what: str) -> Iterator[Part]:
    try:
        paths = sorted(_files_below(folder))
    except OSError as error:
        yield Part(f"{name}/", what, missing=reason_of(error))
        return
    for path in paths[:_MAX_STATE_FILES]:
        file = f"{name}/{os.path.relpath(path, folder)}"
        try:
            data, is_cut = _beginning(path)
        except (OSError, ValueError) as error:
            yield Part(file, path, missing=reason_of(error))
        else:
            yield Part(file, path, data, is_cut)
    if len(paths) > _MAX_STATE_FILES:
        left = f"only the first {_MAX_STATE_FILES} of {len(paths)} files are included"
        yield Part(f"{name}/", what, missing=left)


def _files_below(folder: str) -> Iterator[str]:
    """The files in a folder and in its folders; raises OSError if it cannot be listed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path)
            elif entry.is_file(follow_symlinks=False) and entry.name not in _SECRET_FILES:
                yield entry.path


def _beginning(path: str) -> tuple[bytes, bool]:
    descriptor, status = regular_file.opened(path)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_PART_OCTETS), status.st_size > MAX_PART_OCTETS


def of_log(path: str) -> Part:
    """The end of a log file."""
    from porter_ryu.settings_pending import without_secrets

    what = f"end of {path}"
    try:
        descriptor, status = regular_file.opened(path, follow=True)
        with os.fdopen(descriptor, "rb") as file:
            file.seek(max(0, status.st_size - MAX_TAIL_OCTETS))
            text = file.read(MAX_TAIL_OCTETS).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        return Part("log.txt", what, missing=reason_of(error))
    data = _BEARER.sub(r"\1(hidden)", str(without_secrets(text))).encode()
    return Part("log.txt", what, data, status.st_size > MAX_TAIL_OCTETS)


def log_file_of(settings: Sequence[Json]) -> str:
    """The log file that these settings name ([DEFAULT] log_file in log_dir); empty if none."""
    named = {e["key"]: str(e["value"]) for e in settings if e["group"] == "DEFAULT" and e["value"]}
    return os.path.join(named.get("log_dir", ""), named["log_file"]) if "log_file" in named else ""


def state_dir_of(settings: Sequence[Json]) -> str:
    """The state_dir of these settings; empty if they are not known."""
    found = (e["value"] for e in settings if (e["group"], e["key"]) == ("porter", "state_dir"))
    return str(next(found, ""))


def manifests_of(settings: Sequence[Json]) -> str:
    """[kubernetes] manifests of these settings; empty if there are none."""
    found = (e["value"] for e in settings if (e["group"], e["key"]) == ("kubernetes", "manifests"))
    return str(next(found, ""))


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@]+", "-", text).strip("-")


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
