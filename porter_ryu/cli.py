"""The `porter-ryu` command: runs the program, or reads and prints what it would do or does."""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

import porter_ryu_compat

porter_ryu_compat.install()

BAD = 2
_TIMEOUT = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status; see the reference of commands in docs/."""
    arguments = _parser().parse_args(argv)
    status: int = arguments.act(arguments)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="porter-ryu", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(act=act)
        return sub

    def needs_file(sub: argparse.ArgumentParser, required: bool) -> None:
        sub.add_argument("--config-file", required=required, metavar="FILE", action="append")

    needs_file(command("run", _run, "Run the program."), True)
    needs_file(command("check", _check, "Validate the configuration and this host."), True)
    plan = command("plan", _plan, "Show what would be, and change nothing.")
    needs_file(plan, True)
    plan.add_argument("--diff", action="store_true", help="only what a running instance has not")
    plan.add_argument("--url", help="that instance, as http://127.0.0.1:8080")
    plan.add_argument("-o", dest="output", choices=["text", "json"], default="text")
    explain = command("explain", _explain, "Explain one Service.")
    explain.add_argument("service", metavar="NAMESPACE/NAME")
    needs_file(explain, False)
    explain.add_argument("--url", help="ask a running instance, as http://127.0.0.1:8080")
    explain.add_argument("-o", dest="output", choices=["text", "json"], default="text")
    status = command("status", _status, "Show a running instance.")
    status.add_argument("--url", required=True)
    importing = command("import", _import, "Turn the manifests of another load balancer into ours.")
    importing.add_argument("origin", choices=["openelb", "metallb"])
    importing.add_argument("directory", metavar="DIR")
    importing.add_argument("--output", metavar="OUT", default="porter-ryu-import")
    stop = command("stop", _stop, "End a running instance for good.")
    stop.add_argument("--url", required=True)
    stop.add_argument("--withdraw", action="store_true", required=True)
    text = "the process stays, idle, until SIGTERM: where a supervisor would start it anew"
    stop.add_argument("--stay", action="store_true", help=text)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    # first of all: with it threads are made green, before anything makes a lock
    from ryu.cmd.manager import main as ryu_manager

    _load(arguments.config_file)  # ryu-manager has no words for a file that it cannot read
    files = [f"--config-file={path}" for path in arguments.config_file]
    status = ryu_manager(args=[*files, "porter_ryu.app"], prog="porter-ryu")
    return int(status or 0)


def _load(files: Sequence[str]) -> Any:
    """Settings from these files; exits with 2 and a line for each fault."""
    from porter_ryu.settings import read
    from porter_ryu.settings_file import BadConfigurationError

    try:
        return read(files)
    except BadConfigurationError as error:
        print(error, file=sys.stderr)
    sys.exit(BAD)


def _check(arguments: argparse.Namespace) -> int:
    from porter_ryu.host_check import findings

    found = list(findings(_load(arguments.config_file)))
    for line in found:
        print(line)
    if not found:
        print("the configuration and this host are fine")
    return 1 if found else 0


def _planner(files: Sequence[str]) -> Any:
    """A planner that has taken one turn over the cluster as it is; exits with 2 where it
    cannot be read."""
    from porter_ryu.assembly import make_planner, make_source
    from porter_ryu.kube.errors import ApiError
    from porter_ryu.node.iproute import IpRoute
    from porter_ryu.once import Once
    from porter_ryu.supervisor import Supervisor

    settings = _load(files)
    planner = make_planner(settings, IpRoute())
    try:
        make_source(settings, Supervisor()).read_once(Once(planner))
    except ApiError as error:
        print(f"the cluster cannot be read: {error}", file=sys.stderr)
        sys.exit(BAD)
    planner.lead(True)
    planner.turn(lambda: None, now=0.0)
    return planner


def _plan(arguments: argparse.Namespace) -> int:
    from porter_ryu import report

    if arguments.diff and not arguments.url:
        print("plan --diff needs --url", file=sys.stderr)
        return BAD
    entry = report.plan(_planner(arguments.config_file), pause=lambda: None)
    if arguments.diff:
        changes = report.difference(_fetch(arguments.url, "/v1/plan"), entry)
        text = report.difference_text(changes)
        print(json.dumps(changes, indent=2) if arguments.output == "json" else text)
        return 0
    print(json.dumps(entry, indent=2) if arguments.output == "json" else report.plan_text(entry))
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from porter_ryu import report
    from porter_ryu.domain.model import ObjectKey

    namespace, slash, name = arguments.service.partition("/")
    if not slash or not namespace or not name:
        print(f"{arguments.service!r} is not NAMESPACE/NAME", file=sys.stderr)
        return BAD
    if arguments.url:
        entry = _fetch(arguments.url, f"/v1/services/{namespace}/{name}")
    elif arguments.config_file:
        planner = _planner(arguments.config_file)
        entry = report.explanation(planner, ObjectKey(namespace, name), report.nothing_sent)
    else:
        print("explain needs --config-file or --url", file=sys.stderr)
        return BAD
    text = json.dumps(entry, indent=2) if arguments.output == "json" else ""
    print(text or report.explanation_text(entry))
    return 0 if arguments.url and entry.get("announced") else 1


def _status(arguments: argparse.Namespace) -> int:
    peers = _fetch(arguments.url, "/v1/peers")
    for peer in peers:
        paths = ", ".join(f"{count} {family} paths" for family, count in peer["paths"].items())
        error = f" ({peer['last_error']})" if peer["last_error"] else ""
        print(f"peer {peer['name']} {peer['address']}: {peer['state']}, {paths}{error}")
    for eip in _fetch(arguments.url, "/v1/eips"):
        print(f"eip {eip['name']}: {eip['reason']}, {eip['usage']} of {eip['poolSize']} used")
    states: dict[str, int] = {}
    for service in _fetch(arguments.url, "/v1/services"):
        states[service["state"]] = states.get(service["state"], 0) + 1
    for state, count in sorted(states.items()):
        print(f"services {state}: {count}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from porter_ryu.importers import metallb, openelb, reading, writing

    convert = {"metallb": metallb.convert, "openelb": openelb.convert}[arguments.origin]
    try:
        found = convert(reading.read(arguments.directory))
        paths = writing.write(found, arguments.output)
    except (reading.ImportingError, OSError) as error:
        print(error, file=sys.stderr)
        return BAD
    for path in paths:
        print(f"written: {path}")
    for line in found.lost:
        print(line)
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    stay = "&stay=true" if arguments.stay else ""
    _fetch(arguments.url, f"/v1/stop?withdraw=true{stay}", method="POST")
    print("stopping, routes and addresses are taken back")
    return 0


def _fetch(url: str, path: str, method: str = "GET") -> Any:
    """JSON from a running instance; exits with 2 where there is none."""
    request = urllib.request.Request(url.rstrip("/") + path, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
        if not body.startswith(b"{"):
            print(f"{url}: {error}", file=sys.stderr)
            sys.exit(BAD)
    except (OSError, ValueError) as error:
        print(f"{url}: {error}", file=sys.stderr)
        sys.exit(BAD)
    return json.loads(body) if body[:1] in (b"{", b"[") else body.decode()
