"""The effective settings, each with where its value comes from: `porter-ryu config` shows them.

Secrets are left out: the value of an option that is declared secret, and the user and password of
a URL.  A key that names a file with a secret is shown, and the file is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from oslo_config import cfg

from porter_ryu.options import GROUPS, PEER, PEER_PREFIX, RELOADED
from porter_ryu.settings import Settings, read_with_reader
from porter_ryu.settings_pending import shown
from porter_ryu.settings_reader import DEFAULT, Reader

Json = dict[str, Any]

_SHOWN_OF_RYU = ("wsapi_host", "wsapi_port", "ofp_listen_host", "ofp_tcp_listen_port")


class Origin(Struct, frozen=True):
    """One setting.  `value` is of the option's type, or HIDDEN.  `source` is `file`, `environment`
    or `default`; `where` the file and line, or the variable; empty for a default.
    `needs_restart`: a change of it is not applied by a reload.  `means`: what the value stands for
    in this configuration, where it does not say so itself."""

    group: str
    key: str
    value: Any
    source: str
    where: str
    needs_restart: bool
    means: str = ""


def origins(files: Sequence[str]) -> list[Origin]:
    """Every setting that is in force with these files, by group in the order of the reference;
    raises BadConfigurationError with all errors."""
    return [origin for origin in origins_of(*read_with_reader(files)) if concerns_us(origin)]


def concerns_us(origin: Origin) -> bool:
    """Whether a setting is shown: of Ryu's own, those that we use and those that are set."""
    return origin.group != DEFAULT or origin.key in _SHOWN_OF_RYU or bool(origin.where)


def as_json(origin: Origin) -> Json:
    """A setting as `config -o json` and `/v1/config` have it."""
    return {
        "group": origin.group,
        "key": origin.key,
        "value": origin.value,
        "means": origin.means,
        "source": origin.source,
        "where": origin.where,
        "needsRestart": origin.needs_restart,
    }


def origins_of(settings: Settings, reader: Reader) -> Iterator[Origin]:
    """Every setting, for settings that were read already."""
    means = _meanings(settings)
    for group, options in _options(reader):
        for option in options:
            value, (source, where) = (
                reader.get(group, option.dest),
                reader.origin(group, option.dest),
            )
            yield Origin(
                group,
                option.dest,
                shown(option, value),
                source,
                where,
                not group.startswith(PEER_PREFIX) and (group, option.dest) not in RELOADED,
                means.get((group, option.dest), ""),
            )


def _options(reader: Reader) -> Iterator[tuple[str, Sequence[cfg.Opt]]]:
    of_ryu = [option for (group, _), option in reader.options.items() if group == DEFAULT]
    yield DEFAULT, sorted(of_ryu, key=lambda option: str(option.dest))
    yield from GROUPS.items()
    for group in dict.fromkeys(group for group, _ in reader.options):
        if group.startswith(PEER_PREFIX):
            yield group, PEER


def _meanings(settings: Settings) -> dict[tuple[str, str], str]:
    """What values stand for that depend on others."""
    bgp = settings.bgp
    restart = f"on, {bgp.restart_time} s" if bgp.restart_time else "off"
    found = {("bgp", "graceful_restart"): restart}
    if bgp.router_id is None:
        found["bgp", "router_id"] = "the IPv4 InternalIP of this host"
    if bgp.listen_addresses == ():
        found["bgp", "listen_addresses"] = "the local address towards each peer"
    if not settings.manifests and not settings.kubeconfig:
        text = "the in-cluster configuration, or else the default kubeconfig"
        found["kubernetes", "kubeconfig"] = text
    for peer in bgp.peers:
        found[f"{PEER_PREFIX}{peer.peer}", "hold_time"] = f"{peer.hold_time} s"
    return found
