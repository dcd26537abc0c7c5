"""The `porter-ryu` command: runs the program, or prints what it does or would do.

No input of a user ends in a traceback: each error is one line, and the exit status is 2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import urllib.parse
from collections.abc import Sequence
from typing import Any

import porter_ryu_compat
from porter_ryu.domain.text import one_line
from porter_ryu.exit_status import ExitStatus
from porter_ryu.log import reason_of

porter_ryu_compat.install()

from porter_ryu import control_token  # noqa: E402
from porter_ryu.history.subject import FORMS as SUBJECTS  # noqa: E402
from porter_ryu.history.subject import About  # noqa: E402
from porter_ryu.remote import Remote, RemoteError, understood  # noqa: E402

_EXIT_STATUSES = (
    "Exit status: 0: success. 1: the command found a problem and printed it. 2: the command could "
    "not be carried out; the reason is printed."
)
_DEFAULT_URL = "http://127.0.0.1:8080"
_URL = "URL of the HTTP interface of a running instance, such as http://127.0.0.1:8080"


class CommandError(Exception):
    """A command cannot be carried out; the message has a line for each reason."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status (docs/configuration.md lists them)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = _parser().parse_args(argv)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        return _fail(str(error))
    except RemoteError as error:
        return _fail(one_line(str(error)))
    except BrokenPipeError:
        _discard_output()  # the reader of the pipe closed it
        return ExitStatus.UNABLE
    except OSError as error:
        _discard_output()
        return _fail(": ".join(str(e) for e in (error.filename, reason_of(error)) if e))
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    return status


def _discard_output() -> None:
    """Discards buffered output, so that flushing it at exit cannot fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str) -> int:
    """Prints each line of an error and returns the exit status."""
    for line in text.splitlines():
        print(one_line(line), file=sys.stderr)
    return ExitStatus.UNABLE


def _print(value: Any, to_text: Any, as_json: bool, **limit: int) -> None:
    """Prints a value as JSON in ASCII without control characters, or as the text that `to_text`
    makes of it; before that, all strings in the value are made printable; `limit` is that of
    `report_text.printable_json`."""
    from porter_ryu import report_text

    if as_json:
        print(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))
    else:
        print(to_text(report_text.printable_json(value, **limit)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="porter-ryu",
        description="Runs Porter-Ryu, or shows what it does or would do.",
        epilog=_EXIT_STATUSES,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    def add_config_file(sub: argparse.ArgumentParser, required: bool) -> None:
        text = "configuration file; can be given several times, a later file overrides earlier ones"
        sub.add_argument(
            "--config-file", required=required, metavar="FILE", action="append", help=text
        )

    add_config_file(command("run", _run, "Run the program."), True)
    text = "Validate the configuration, and check this host, its peers and the cluster."
    check = command("check", _check, text)
    add_config_file(check, True)
    check.add_argument("-o", dest="output", choices=["text", "json"], default="text")
    plan = command(
        "plan", _plan, "Show what would be allocated, bound and announced; change nothing."
    )
    add_config_file(plan, True)
    plan.add_argument(
        "--diff", action="store_true", help="show only the differences from a running instance"
    )
    plan.add_argument("--url", help=_URL)
    plan.add_argument("-o", dest="output", choices=["text", "json"], default="text")
    explain = command(
        "explain", _explain, "Explain why a Service has its address and next hops, or has none."
    )
    explain.add_argument("service", metavar="NAMESPACE/NAME")
    add_config_file(explain, False)
    explain.add_argument("--url", help=f"{_URL}; without it, show what would be done")
    explain.add_argument("-o", dest="output", choices=["text", "json"], default="text")
    status = command("status", _status, "Show the peers, pools and counts of a running instance.")
    status.add_argument("--url", required=True, help=_URL)
    history = command(
        "history", _history, "Show what a running instance changed, and why; the newest is last."
    )
    text = f"{SUBJECTS} (default: everything)"
    history.add_argument("about", nargs="*", metavar="SUBJECT", help=text)
    history.add_argument("--url", default=_DEFAULT_URL, help=f"{_URL} (default {_DEFAULT_URL})")
    history.add_argument("-o", dest="output", choices=["text", "json"], default="text")
    importing = command("import", _import, "Convert the manifests of another load balancer.")
    importing.add_argument("origin", choices=["openelb", "metallb"])
    text = "directory with the output of kubectl get -o yaml"
    importing.add_argument("directory", metavar="DIR", help=text)
    text = "directory to write to (default porter-ryu-import)"
    importing.add_argument("--output", metavar="OUT", default="porter-ryu-import", help=text)
    stop = command("stop", _stop, "Stop a running instance permanently.")
    stop.add_argument("--url", required=True, help=_URL)
    text = f"control.token in the state_dir of the instance (default {control_token.DEFAULT})"
    stop.add_argument("--token-file", default=control_token.DEFAULT, metavar="FILE", help=text)
    text = "withdraw all routes and unbind all addresses; required (SIGTERM stops without that)"
    stop.add_argument("--withdraw", action="store_true", required=True, help=text)
    text = "keep the process idle until SIGTERM, so that a supervisor does not restart it"
    stop.add_argument("--stay", action="store_true", help=text)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    # must come first: it patches threading before any other module creates a lock
    from ryu.cmd.manager import main as ryu_manager

    _load(arguments.config_file)  # ryu-manager prints a traceback for a file that it cannot read
    files = [f"--config-file={path}" for path in arguments.config_file]
    status = ryu_manager(args=[*files, "porter_ryu.app"], prog="porter-ryu")
    return int(status or 0)


def _load(files: Sequence[str]) -> Any:
    """The settings of these files; raises CommandError with one line for each error."""
    from porter_ryu.settings import read
    from porter_ryu.settings_file import BadConfigurationError

    try:
        return read(files)
    except BadConfigurationError as error:
        raise CommandError(str(error)) from error


def _check(arguments: argparse.Namespace) -> int:
    from porter_ryu.check.report import inspect, of_errors
    from porter_ryu.settings import read
    from porter_ryu.settings_file import BadConfigurationError

    as_json = arguments.output == "json"
    try:
        found = inspect(read(arguments.config_file))
    except BadConfigurationError as error:
        if not as_json:
            raise CommandError(str(error)) from error
        print(json.dumps(of_errors(error.faults).json, indent=2))
        return ExitStatus.UNABLE
    print(json.dumps(found.json, indent=2) if as_json else found.text)
    return ExitStatus.WRONG if found.findings else ExitStatus.FINE


def _planner(files: Sequence[str]) -> Any:
    """A planner after one turn over the current cluster; raises CommandError if the cluster
    cannot be read."""
    from porter_ryu.assembly import make_planner, make_source
    from porter_ryu.kube.errors import ApiError
    from porter_ryu.node.iproute import IpRoute
    from porter_ryu.planner_feed import PlannerFeed
    from porter_ryu.supervisor import Supervisor

    settings = _load(files)
    planner = make_planner(settings, IpRoute())
    try:
        make_source(settings, Supervisor()).read_once(PlannerFeed(planner))
    except (ApiError, OSError) as error:
        raise CommandError(f"the cluster cannot be read: {error}") from error
    planner.lead(True)
    planner.turn(lambda: None, now=0.0)
    return planner


def _plan(arguments: argparse.Namespace) -> int:
    from porter_ryu import report, report_text

    if arguments.diff and not arguments.url:
        raise CommandError("plan --diff needs --url")
    remote = Remote(arguments.url) if arguments.diff else None
    entry = report.plan(_planner(arguments.config_file))
    as_json = arguments.output == "json"
    if remote is None:
        _print(entry, report_text.plan, as_json)
        return ExitStatus.FINE
    with understood(arguments.url):
        changes = report.difference(remote.get("/v1/plan", dict), entry)
        _print(changes, report_text.difference, as_json)
    return ExitStatus.WRONG if changes else ExitStatus.FINE


def _explain(arguments: argparse.Namespace) -> int:
    from porter_ryu import report, report_text
    from porter_ryu.domain.model import ObjectKey

    namespace, slash, name = arguments.service.partition("/")
    if not slash or not namespace or not name:
        raise CommandError(f"{arguments.service!r} is not NAMESPACE/NAME")
    as_json = arguments.output == "json"
    if arguments.url:
        path = "/".join(urllib.parse.quote(part, safe="") for part in (namespace, name))
        with understood(arguments.url):
            entry = Remote(arguments.url).get(f"/v1/services/{path}", dict)
            _print(entry, report_text.explanation, as_json)
            return ExitStatus.FINE if entry["announced"] else ExitStatus.WRONG
    if not arguments.config_file:
        raise CommandError("explain needs --config-file or --url")
    planner = _planner(arguments.config_file)
    entry = report.explanation(planner, ObjectKey(namespace, name), sent=None)
    _print(entry, report_text.explanation, as_json)
    return ExitStatus.WRONG  # nothing is announced yet


def _status(arguments: argparse.Namespace) -> int:
    from porter_ryu import report_text

    parts = ("peers", "eips", "services")
    with understood(arguments.url):
        found = {part: Remote(arguments.url).get(f"/v1/{part}", list) for part in parts}
        _print(found, report_text.status, as_json=False)
    return ExitStatus.FINE


def _history(arguments: argparse.Namespace) -> int:
    from porter_ryu import report_changes

    query = ""
    if arguments.about:
        about = " ".join(arguments.about)
        try:
            About(about)
        except ValueError as error:
            raise CommandError(str(error)) from error
        query = f"?about={urllib.parse.quote(about, safe='')}"
    with understood(arguments.url):
        entries = Remote(arguments.url).get(f"/v1/changes{query}", list)
        as_json, limit = arguments.output == "json", report_changes.MAX_TEXT_CHARACTERS + 100
        _print(entries, report_changes.table, as_json, limit=limit)
    return ExitStatus.FINE


def _import(arguments: argparse.Namespace) -> int:
    from porter_ryu.importers import acceptance, metallb, openelb, reading, writing

    convert = {"metallb": metallb.convert, "openelb": openelb.convert}[arguments.origin]
    try:
        found = convert(reading.read(arguments.directory))
        acceptance.remove_invalid_settings(found)
        paths = writing.write(found, arguments.output)
    except reading.ImportingError as error:
        raise CommandError(str(error)) from error
    for path in paths:
        print(one_line(f"written: {path}"))
    for line in found.lost:
        print(one_line(line))
    return ExitStatus.WRONG if found.lost else ExitStatus.FINE


def _stop(arguments: argparse.Namespace) -> int:
    try:
        token = control_token.read(arguments.token_file)
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        text = f"{arguments.token_file}: {reason} (name the token with --token-file)"
        raise CommandError(text) from error
    stay = "&stay=true" if arguments.stay else ""
    Remote(arguments.url).post(f"/v1/stop?withdraw=true{stay}", token)
    print("the instance is stopping; its log and exit status tell whether all was withdrawn")
    return ExitStatus.FINE
