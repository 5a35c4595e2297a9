"""Fixtures that several unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A ledger and a spool in a folder of their own."""
    made = Bench(tmp_path)
    yield made
    made.ledger.close()
