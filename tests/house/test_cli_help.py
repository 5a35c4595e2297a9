"""The command line, its help and the README speak of the same commands."""

import re

import pytest
from click import Command
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from cxrnode.cli import app
from tests.house.rooms import ROOT

WANTED = {
    *("up", "receive", "work", "flower", "status", "withdraw", "analyse", "show", "check", "demo", "rules"),
    *("trace", "quarantine", "retry", "purge", "audit", "replay", "replays", "pause", "resume"),
    *("backup", "restore", "reload"),
    *("conformance", "train", "evaluate", "table", "ensemble", "maps", "shortcut", "compare", "reference"),
}
LISTING = {
    *("status", "withdraw", "analyse", "show", "check", "demo", "rules test"),
    *("trace", "quarantine", "retry", "purge", "audit", "replay", "replays", "backup", "restore", "reload"),
    *("conformance", "evaluate", "maps", "shortcut", "compare", "reference"),
}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> dict[str, Command]:
    """Every command that does something, a group's own by its name and theirs."""
    found: dict[str, Command] = {}
    for name, command in group().commands.items():
        inner = command.commands if isinstance(command, TyperGroup) else {"": command}
        found |= {f"{name} {word}".strip(): one for word, one in inner.items()}
    return found


def group() -> TyperGroup:
    whole = get_command(app)
    assert isinstance(whole, TyperGroup)
    return whole


def test_the_readme_lists_the_commands_there_are() -> None:
    listed = re.findall(r"^\| `cxrnode (\w+)` \|", README, flags=re.MULTILINE)

    assert sorted(listed) == sorted(group().commands) == sorted(WANTED)


@pytest.mark.parametrize("name", sorted(commands()))
def test_a_command_says_what_it_does_and_so_does_each_of_its_options(name: str) -> None:
    command = commands()[name]

    assert (command.help or "").endswith(".")
    undocumented = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert undocumented == []


@pytest.mark.parametrize("name", sorted(LISTING))
def test_a_command_that_lists_something_lists_it_for_machines_too(name: str) -> None:
    assert "--json" in {flag for parameter in commands()[name].params for flag in parameter.opts}


def test_help_names_every_command_and_what_this_is_not() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output

    assert all(re.search(rf"\b{name}\b", shown) for name in WANTED)
    assert "Not a medical device" in shown
