"""The completion scripts know every command and option that the parser knows."""

from __future__ import annotations

import argparse

import pytest

from porter_ryu.cli import COMMANDS, main, parser
from porter_ryu.commands.completion import commands_of


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_has_every_command_and_option(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for command in commands_of(parser()):
        assert command.name in script
        for argument in command.arguments:
            for name in argument.names:
                assert (name if shell != "fish" else name.lstrip("-")) in script


def test_every_command_is_there() -> None:
    assert [command.name for command in commands_of(parser())] == ["", *COMMANDS]


def test_a_quote_in_a_help_text_ends_no_string(capsys: pytest.CaptureFixture[str]) -> None:
    made = argparse.ArgumentParser()
    sub = made.add_subparsers().add_parser("it", description="It's $HOME `id`")
    sub.add_argument("--x", help="don't")
    from porter_ryu.commands import completion

    for shell in ("bash", "zsh", "fish"):
        completion.run(argparse.Namespace(shell=shell, program=made))
    assert "It'\\''s $HOME `id`" in capsys.readouterr().out
