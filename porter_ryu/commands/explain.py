"""`porter-ryu explain`: why a Service, an address or a node gets traffic, or does not.

With --config-file and without --url it is a dry run: what would be done for the cluster as it is.
"""

from __future__ import annotations

import argparse
from ipaddress import ip_network
from typing import Any, Protocol

from porter_ryu.commands.arguments import (
    DEFAULT_URL,
    CommandError,
    add_config_file,
    add_optional_url,
    add_output,
    filled,
)
from porter_ryu.commands.printing import print_folded
from porter_ryu.domain.text import quoted
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import Remote, segment, understood

HELP = "Explain why a Service, an address or a node gets traffic, or does not."

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    text = "a Service, or an address: the Services that have it"
    parser.add_argument("subject", nargs="?", metavar="NAMESPACE/NAME|ADDRESS", help=text)
    text = "explain a node, and list its Services"
    parser.add_argument("--node", type=filled("--node"), metavar="NAME", help=text)
    add_config_file(parser, required=False)
    add_optional_url(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the explanation; FINE only for what is announced by a running instance."""
    if (arguments.subject is None) == (arguments.node is None):
        raise CommandError("explain needs one of NAMESPACE/NAME, ADDRESS and --node NAME")
    subject = None if arguments.subject is None else _subject(arguments.subject)
    as_json = arguments.output == "json"
    if arguments.config_file and arguments.url is None:
        from porter_ryu.commands.dry_run import DryRun

        _explain(DryRun(arguments.config_file), subject, arguments.node, as_json)
        return ExitStatus.WRONG  # nothing is announced yet
    url = arguments.url or DEFAULT_URL
    with understood(url):
        fine = _explain(Instance(url), subject, arguments.node, as_json)
        return ExitStatus.FINE if fine else ExitStatus.WRONG


class Source(Protocol):
    """Where explanations come from; each method returns JSON as the HTTP interface has it."""

    def service(self, namespace: str, name: str) -> Json:
        """The explanation of a Service."""

    def address(self, address: str) -> Json:
        """Who has an address, or whether it is free."""

    def node(self, name: str) -> Json:
        """A node and the Services that depend on it; `found` says whether there is one."""


class Instance:
    """A running instance as a Source."""

    def __init__(self, url: str) -> None:
        self._remote = Remote(url)

    def service(self, namespace: str, name: str) -> Json:
        path = "/".join(segment(part) for part in (namespace, name))
        entry: Json = self._remote.get(f"/v1/services/{path}", dict)
        return entry

    def address(self, address: str) -> Json:
        entry: Json = self._remote.get(f"/v1/addresses/{segment(address)}", dict)
        return entry

    def node(self, name: str) -> Json:
        entry: Json = self._remote.get(f"/v1/nodes/{segment(name)}", dict)
        return entry


def _subject(text: str) -> str | tuple[str, str]:
    """An address in its usual form, or (namespace, name); raises CommandError."""
    from porter_ryu.domain.prefix import plain_address

    try:
        return str(plain_address(text))
    except ValueError:
        pass
    try:
        prefix = ip_network(text, strict=False)
    except ValueError:
        prefix = None
    if prefix is not None and prefix.num_addresses == 1:
        return str(prefix.network_address)
    if prefix is not None:
        raise CommandError(f"{quoted(text)} is a prefix: name one address of it")
    namespace, slash, name = text.partition("/")
    if not slash or not namespace or not name or "/" in name:
        node = "" if slash else "; for a node: explain --node NAME"
        raise CommandError(f"{quoted(text)} is not NAMESPACE/NAME, and not an address{node}")
    return namespace, name


def _explain(
    source: Source, subject: str | tuple[str, str] | None, node: str | None, as_json: bool
) -> bool:
    """Prints what a source says; returns whether all of it is announced."""
    from porter_ryu import report_text

    if node is not None:
        return _explain_node(source, node, as_json)
    if isinstance(subject, tuple):
        entry = source.service(*subject)
        print_folded(entry, report_text.explanation, as_json, good=entry["announced"])
        return bool(entry["announced"])
    assert subject is not None
    return _explain_address(source, subject, as_json)


def _explain_address(source: Source, address: str, as_json: bool) -> bool:
    from porter_ryu import report_text

    found = source.address(address)
    services = [*found["holders"], *found["recorded"]]
    entries = [source.service(one["namespace"], one["name"]) for one in services]
    fine = bool(entries) and all(entry["announced"] for entry in entries)
    print_folded({**found, "services": entries}, report_text.address, as_json, fine)
    return fine


def _explain_node(source: Source, name: str, as_json: bool) -> bool:
    from porter_ryu import report_text

    entry = source.node(name)
    fine = bool(entry["usable"] and entry["dependents"])
    print_folded(entry, report_text.node, as_json, fine)
    return fine
