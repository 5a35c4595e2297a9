"""The command line, its help and the README speak of the same commands."""

import re

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from cxrnode.cli import app
from tests.house.rooms import ROOT

WANTED = {"up", "receive", "work", "flower", "status", "analyse", "train", "check", "demo"}
LISTING = {"status", "analyse", "check", "demo"}
README = (ROOT / "README.md").read_text(encoding="utf-8")


def group() -> TyperGroup:
    whole = get_command(app)
    assert isinstance(whole, TyperGroup)
    return whole


def test_the_readme_lists_the_commands_there_are() -> None:
    listed = re.findall(r"^\| `cxrnode (\w+)` \|", README, flags=re.MULTILINE)

    assert sorted(listed) == sorted(group().commands) == sorted(WANTED)


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_command_says_what_it_does_and_so_does_each_of_its_options(name: str) -> None:
    command = group().commands[name]

    assert (command.help or "").endswith(".")
    undocumented = [parameter.name for parameter in command.params if not getattr(parameter, "help", None)]
    assert undocumented == []


@pytest.mark.parametrize("name", sorted(LISTING))
def test_a_command_that_lists_something_lists_it_for_machines_too(name: str) -> None:
    assert "--json" in {flag for parameter in group().commands[name].params for flag in parameter.opts}


def test_help_names_every_command_and_what_this_is_not() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output

    assert all(re.search(rf"\b{name}\b", shown) for name in WANTED)
    assert "Not a medical device" in shown
