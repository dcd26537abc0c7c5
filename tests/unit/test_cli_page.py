"""docs/cli.md names every command and option: what the parser knows, a reader can find."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from porter_ryu.cli import COMMANDS, parser
from porter_ryu.commands.completion import CommandWords, commands_of

PAGE = Path("docs/cli.md").read_text(encoding="utf-8")
_, SHOWS, STATUSES, JSON, *_ = re.split(r"\n(?=\| Command \||\| \| 0 \||\| Command \| Value)", PAGE)
WORDS = {command.name: command for command in commands_of(parser())}


def rows(table: str) -> str:
    """The first cells of a table."""
    return "\n".join(re.findall(r"^\| (`[^|]*(?:\\\|[^|]*)*)", table, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_a_row_and_exit_statuses(name: str) -> None:
    assert re.search(rf"^`{name}\b", rows(SHOWS), re.MULTILINE)
    if name != "completion":
        assert re.search(rf"^`{name}`", rows(STATUSES), re.MULTILINE)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_with_json_says_what_it_is(name: str) -> None:
    has_json = any("-o" in argument.names for argument in WORDS[name].arguments)
    assert has_json == bool(re.search(rf"^`{name}\b", rows(JSON), re.MULTILINE))


@pytest.mark.parametrize("command", WORDS.values(), ids=lambda command: command.name or "itself")
def test_every_option_is_named(command: CommandWords) -> None:
    for argument in command.arguments:
        for name in set(argument.names) - {"-h"}:
            assert f"`{name}" in PAGE or f" {name}" in PAGE, name
