"""Fixtures that several unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import KINDS, drop_made
from tests.ledgers import Bench


@pytest.fixture(params=KINDS)
def bench(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A ledger and a spool in a folder of their own, on each kind of database; settings that are read name it."""
    made = Bench(tmp_path, request.param)
    monkeypatch.setenv("CXRNODE_LEDGER__URL", made.url)
    yield made
    made.ledger.close()
    drop_made()


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Bench]:
    """A bench for many lives, each of which begins with `anew`."""
    made = Bench(tmp_path)
    yield made
    made.ledger.close()
    drop_made()
