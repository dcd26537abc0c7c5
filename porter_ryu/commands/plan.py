"""`porter-ryu plan`: a dry run over the cluster as it is, or what something would change."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from porter_ryu.commands.arguments import (
    DEFAULT_URL,
    CommandError,
    add_config_file,
    add_optional_url,
    add_output,
    filled,
)
from porter_ryu.commands.printing import print_value
from porter_ryu.commands.reading import planned_cluster, read_planner
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import Remote, segment, understood

if TYPE_CHECKING:
    from porter_ryu.domain.what_if import Supposition

HELP = "Show what would be allocated, bound and announced, or what would change; change nothing."

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_config_file(parser, required=False)
    text = "show only the differences from a running instance (without --url: the one of the files)"
    parser.add_argument("--diff", action="store_true", help=text)
    text = "show what the manifests in this file would change if they were applied"
    parser.add_argument(
        "--with", type=filled("--with"), dest="manifests", metavar="FILE", help=text
    )
    for name, event in (("drain", "drain"), ("without", "loss")):
        text = f"show what the {event} of these nodes would change"
        parser.add_argument(
            f"--{name}",
            type=filled(f"--{name}"),
            metavar="NODE",
            nargs="+",
            action="extend",
            default=[],
            help=text,
        )
    add_optional_url(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the plan; where it prints differences, WRONG if something would change."""
    nodes = bool(arguments.drain or arguments.without)
    if sum([arguments.diff, arguments.manifests is not None, nodes]) > 1:
        raise CommandError("plan takes one of --diff, --with, and --drain or --without")
    if nodes:
        return _what_if(arguments)
    if not arguments.config_file:
        raise CommandError("plan needs --config-file, unless it asks for --drain or --without")
    if arguments.manifests is not None:
        return _with_manifests(arguments)
    return _plan(arguments)


def _plan(arguments: argparse.Namespace) -> int:
    from porter_ryu import report_plan, report_plan_text

    if not arguments.diff:
        entry = report_plan.plan(read_planner(arguments.config_file))
        print_value(entry, report_plan_text.plan, arguments.output == "json")
        return ExitStatus.FINE
    from porter_ryu.commands.config import settings_json, url_in
    from porter_ryu.domain.verdict import NodeReason

    url = arguments.url or url_in(settings_json(arguments.config_file))
    with understood(url):
        remote = Remote(url)
        nodes = remote.get("/v1/nodes", list)
        drained = NodeReason.DRAINING.value
        draining = [str(node["node"]) for node in nodes if node["reason"] == drained]
    planner = read_planner(arguments.config_file, draining)
    with understood(url):
        running = remote.get("/v1/plan", dict)
        changes = report_plan.difference(running, report_plan.plan(planner))
        print_value(changes, report_plan_text.difference, arguments.output == "json")
        return ExitStatus.WRONG if changes else ExitStatus.FINE


def _what_if(arguments: argparse.Namespace) -> int:
    from porter_ryu import report_plan_text
    from porter_ryu.domain.what_if import Supposition

    try:
        supposed = Supposition(_names(arguments.without), _names(arguments.drain))
    except ValueError as error:
        raise CommandError(str(error)) from error
    if arguments.config_file and arguments.url is None:
        found = _supposed(arguments.config_file, supposed)
        print_value(found, report_plan_text.what_if, arguments.output == "json")
        return _status(found)
    url = arguments.url or DEFAULT_URL
    asked = (("drain", arguments.drain), ("without", arguments.without))
    query = "&".join(f"{name}={segment(','.join(nodes))}" for name, nodes in asked if nodes)
    with understood(url):
        found = Remote(url).get(f"/v1/plan?{query}", dict)
        print_value(found, report_plan_text.what_if, arguments.output == "json")
        return _status(found)


def _status(found: Json) -> int:
    """The exit status of an answer about nodes."""
    would = found["services"] or any(not entry["already"] for entry in found["aggregates"])
    return ExitStatus.WRONG if would else ExitStatus.FINE


def _supposed(files: Sequence[str], supposed: Supposition) -> Json:
    """What would change in the cluster as it is, without an instance."""
    from porter_ryu import report_plan
    from porter_ryu.domain.what_if import unknown

    planner = read_planner(files)
    text = unknown(planner, supposed)
    if text:
        raise CommandError(text)
    return report_plan.Answer(planner, supposed).whole()


def _names(arguments: list[str]) -> frozenset[str]:
    """The names in arguments, each of which may be several, separated by commas."""
    return frozenset(name for text in arguments for name in text.split(","))


def _with_manifests(arguments: argparse.Namespace) -> int:
    from porter_ryu import report_plan, report_plan_text
    from porter_ryu.commands.staging import stage
    from porter_ryu.domain import reserved_addresses

    planner, codec = planned_cluster(arguments.config_file)
    before = report_plan.plan(planner)
    told = reserved_addresses.in_eips(planner)
    staged = stage(planner, codec, arguments.manifests)
    planner.decide_all()
    after = report_plan.plan(planner)
    found: dict[str, list[Any]] = {
        "services": report_plan.difference(before, after),
        "eips": report_plan.changed_eips(before, after, staged),
        "warnings": [
            text
            for name, text in reserved_addresses.in_eips(planner).items()
            if name in staged or text != told.get(name)
        ],
    }
    print_value(found, report_plan_text.staged, arguments.output == "json")
    would = found["services"] or any(eip["differs"] for eip in found["eips"])
    return ExitStatus.WRONG if would else ExitStatus.FINE
