"""`cxrnode status` on a narrow terminal, where its tables are cut."""

from pathlib import Path

import pytest

from cxrnode.commands.status import look, show
from cxrnode.settings import Settings
from tests.ledgers import Bench


def test_a_study_s_key_is_as_long_as_other_commands_want_it(
    lasting: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Red when the column may be cut: four of the eight characters were left of it."""
    lasting.analysed("a-destination-with-a-long-name")
    (line,) = look(lasting.ledger, lasting.spool).lines
    monkeypatch.setenv("COLUMNS", "80")
    settings = Settings.model_validate({"node": {"state_dir": str(tmp_path)}, "ledger": {"url": lasting.url}})

    show(settings, as_json=False, limit=10)

    assert line.study[:8] in capsys.readouterr().out
