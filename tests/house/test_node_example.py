"""config/node.example.toml names every setting, with its default and a comment; the other settings files load."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from cxrnode.settings import Settings, load
from cxrnode.settings.archive import Archive
from cxrnode.settings.destination import Destination
from cxrnode.settings.listener import Listener
from cxrnode.settings.route import Route
from cxrnode.settings.sender import Sender
from tests.house.rooms import ROOT

EXAMPLE = ROOT / "config" / "node.example.toml"


@pytest.fixture(autouse=True)
def no_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CXRNODE_")]:
        monkeypatch.delenv(name)


def test_the_example_has_every_setting_with_its_default_and_no_other() -> None:
    tables = {"destinations": True, "routes": True, "archives": True, "receivers": True, "receiving": {"senders"}}
    defaults = Settings().model_dump(mode="json", exclude=tables, exclude_none=True)

    assert tomllib.loads(EXAMPLE.read_text(encoding="utf-8")) == defaults


def test_every_setting_of_the_example_has_a_comment_right_above_it() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r"\w+ = ", line)]

    assert [lines[number] for number in settings if not re.match(r"# \S+ ", lines[number - 1])] == []


@pytest.mark.parametrize(
    ("path", "part"), [("receiving.senders", Sender), ("receivers", Listener), ("destinations", Destination)]
)
def test_a_table_shown_as_a_comment_has_every_key_and_is_valid_uncommented(path: str, part: type[BaseModel]) -> None:
    shown: Any = tomllib.loads(uncommented(EXAMPLE.read_text(encoding="utf-8")))
    for key in path.split("."):
        shown = shown[key]

    assert set(shown[0]) == set(part.model_fields)
    defaults = {name: field.get_default() for name, field in part.model_fields.items() if not field.is_required()}
    optional = {name: default for name, default in defaults.items() if default not in {None, ()}}
    given = part.model_validate(shown[0])
    assert {name: getattr(given, name) for name in optional} == optional


def test_a_setting_without_a_default_is_shown_as_a_comment() -> None:
    shown = tomllib.loads(uncommented(EXAMPLE.read_text(encoding="utf-8")))
    defaults = Settings().model_dump(mode="json")
    absent = [(table, key) for table in shown if isinstance(shown[table], dict) for key in defaults[table]]

    assert [(table, key) for table, key in absent if key not in shown[table]] == []


def test_the_route_shown_as_a_comment_has_every_key() -> None:
    (route,) = tomllib.loads(uncommented(EXAMPLE.read_text(encoding="utf-8")))["routes"]

    assert list(route) == list(Route.model_fields)


def test_the_archives_shown_as_a_comment_have_every_key_between_them() -> None:
    shown = tomllib.loads(uncommented(EXAMPLE.read_text(encoding="utf-8")))["archives"]

    assert set(Archive.model_fields) == {key for archive in shown for key in archive}
    assert [Archive.model_validate(archive).retrieve for archive in shown] == ["move", "web"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.toml")), ids=lambda path: path.name)
def test_a_settings_file_loads_as_it_stands(path: Path) -> None:
    load(path)


def test_the_example_loads_with_its_comments_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(uncommented(EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")

    settings = load(file)

    assert [destination.name for destination in settings.destinations] == ["pacs"]
    assert settings.receiving.senders[0].admits("DXROOM1", "10.1.2.3")


def uncommented(text: str) -> str:
    """The file with its commented tables and settings switched on; sentences stay comments."""
    return re.sub(r"^# (\[\[|\w+ = )", r"\1", text, flags=re.MULTILINE)
