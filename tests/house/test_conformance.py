"""CONFORMANCE.md is what `cxrnode conformance` prints of a node with the default settings."""

import os

import pytest

from cxrnode.conformance.statement import conformance
from cxrnode.settings import Settings
from tests.house.rooms import ROOT


def test_the_statement_in_the_repository_is_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CXRNODE_")]:
        monkeypatch.delenv(name)

    written = (ROOT / "CONFORMANCE.md").read_text(encoding="utf-8").splitlines()
    printed = conformance(Settings(), as_json=False).splitlines()

    differ = [pair for pair in zip(written, printed, strict=False) if pair[0] != pair[1]]
    assert (differ[:1], len(written)) == ([], len(printed)), "`cxrnode conformance > CONFORMANCE.md` writes it again"
