"""`porter-ryu completion`: a script that completes commands and options in a shell.

It is made of the parser, so it always knows what this version knows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from porter_ryu.exit_status import ExitStatus

HELP = "Print a script that completes commands and options in a shell."

_PROGRAM = "porter-ryu"
_FILES = ("FILE", "DIR", "OUT")  # metavars of arguments that are paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    text = "the shell; for bash: source <(porter-ryu completion bash)"
    parser.add_argument("shell", choices=list(_SCRIPTS), help=text)


def run(arguments: argparse.Namespace) -> int:
    """Prints the script for `arguments.program`, the parser of all commands."""
    print(_SCRIPTS[arguments.shell](commands_of(arguments.program)))
    return ExitStatus.FINE


class Argument(NamedTuple):
    """An option with its names, or a positional argument, which has none.  `takes`: `file`,
    `value`, or empty for an option without value."""

    names: tuple[str, ...]
    takes: str
    choices: tuple[str, ...]
    help: str


class CommandWords(NamedTuple):
    """A command, its sentence and its arguments; the name is empty for the program itself."""

    name: str
    help: str
    arguments: tuple[Argument, ...]


def commands_of(parser: argparse.ArgumentParser) -> list[CommandWords]:
    """The program itself and its commands."""
    found = [CommandWords("", "", tuple(_arguments(parser)))]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                found.append(CommandWords(name, sub.description or "", tuple(_arguments(sub))))
    return found


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        choices = tuple(map(str, action.choices or ()))
        takes = "" if action.nargs == 0 else "file" if action.metavar in _FILES else "value"
        yield Argument(tuple(action.option_strings), takes, choices, action.help or "")


def _bash(commands: list[CommandWords]) -> str:
    program, *others = commands
    lines = [
        "_porter_ryu() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
        '    local command="" words="" files="" i',
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "${COMP_WORDS[i]}" in -*) ;; *) command="${COMP_WORDS[i]}"; break;; esac',
        "    done",
        '    case "$command" in',
        f'    "") words="{" ".join(_words(program))} {" ".join(c.name for c in others)}";;',
    ]
    for command in others:
        lines += [f"    {command.name})", '        case "$before" in']
        for argument in command.arguments:
            if argument.names and argument.takes:
                does = _bash_value(argument)
                lines.append(f"        {'|'.join(argument.names)}) {does};;")
        positional = [a for a in command.arguments if not a.names]
        words = [*_words(command), *(choice for a in positional for choice in a.choices)]
        files = "; files=yes" if any(a.takes == "file" for a in positional) else ""
        lines += [f'        *) words="{" ".join(words)}"{files};;', "        esac;;"]
    lines += [
        "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$word"))',
        '    [ -z "$files" ] || {',
        "        compopt -o filenames",
        '        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")',
        "    }",
        "}",
        f"complete -F _porter_ryu {_PROGRAM}",
    ]
    return "\n".join(lines)


def _bash_value(argument: Argument) -> str:
    return "files=yes" if argument.takes == "file" else f'words="{" ".join(argument.choices)}"'


def _words(command: CommandWords) -> Iterator[str]:
    for argument in command.arguments:
        yield from argument.names


def _zsh(commands: list[CommandWords]) -> str:
    program, *others = commands
    lines = [
        f"#compdef {_PROGRAM}",
        "_porter_ryu() {",
        "    local context state line",
        "    local -a commands",
        "    commands=(",
        *(f"        {_quoted(f'{c.name}:{c.help}')}" for c in others),
        "    )",
        "    _arguments -C \\",
        *(f"        {spec} \\" for a in program.arguments for spec in _zsh_specs(a, 0)),
        "        '1: :->command' '*:: :->arguments' && return",
        "    case $state in",
        "    command) _describe command commands;;",
        "    arguments)",
        "        case $line[1] in",
    ]
    for command in others:
        lines.append(f"        {command.name}) _arguments \\")
        position = 0
        for argument in command.arguments:
            position += not argument.names
            lines += (f"            {spec} \\" for spec in _zsh_specs(argument, position))
        lines.append("            ;;")
    lines += [
        "        esac;;",
        "    esac",
        "}",
        f"compdef _porter_ryu {_PROGRAM}",
    ]
    return "\n".join(lines)


def _zsh_specs(argument: Argument, position: int) -> Iterator[str]:
    action = "_files" if argument.takes == "file" else f"({' '.join(argument.choices)})"
    value = "" if not argument.takes else f":value:{action if action != '()' else ' '}"
    if not argument.names:
        yield _quoted(f"{position}{value}")
    for name in argument.names:
        repeats = "*" if name == "--config-file" else ""
        yield _quoted(f"{repeats}{name}[{_plain(argument.help)}]{value}")


def _plain(text: str) -> str:
    """A help text without the characters that _arguments gives a meaning."""
    return text.replace("[", "(").replace("]", ")").replace(":", ";")


def _fish(commands: list[CommandWords]) -> str:
    program, *others = commands
    lines = [f"complete -c {_PROGRAM} -f"]
    lines += (
        f"complete -c {_PROGRAM} -n __fish_use_subcommand {_fish_option(a)}"
        for a in program.arguments
    )
    for command in others:
        words = f"-n __fish_use_subcommand -a {command.name} -d {_quoted(command.help)}"
        lines.append(f"complete -c {_PROGRAM} {words}")
    for command in others:
        seen = f"-n {_quoted(f'__fish_seen_subcommand_from {command.name}')}"
        lines += (f"complete -c {_PROGRAM} {seen} {_fish_option(a)}" for a in command.arguments)
    return "\n".join(line for line in lines if not line.endswith(" -"))


def _fish_option(argument: Argument) -> str:
    parts = [f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in argument.names]
    if argument.names and argument.takes:
        parts.append("-r")
    if argument.takes == "file":
        parts.append("-F")
    if argument.choices:
        parts.append(f"-a {_quoted(' '.join(argument.choices))}")
    if argument.names:
        parts.append(f"-d {_quoted(argument.help)}")
    return " ".join(parts) or "-"


def _quoted(text: str) -> str:
    """A text in single quotes, for all three shells."""
    return "'" + text.replace("'", "'\\''") + "'"


_SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
