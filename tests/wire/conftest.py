"""What tests share: a PACS, a desk whose results go there, a source of old studies; a receiver that listens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.desks import open_desk
from tests.fakes import FakePacs
from tests.replaying import Shelf
from workers.desk import Desk


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    """A PACS that takes everything."""
    with FakePacs().listening() as listening:
        yield listening


@pytest.fixture
def desk(tmp_path: Path, pacs: FakePacs) -> Iterator[Desk]:
    """A desk whose results go to that PACS."""
    opened = open_desk(tmp_path, [pacs.destination(commitment="off")])
    yield opened
    opened.ledger.close()


@pytest.fixture
def shelf(desk: Desk) -> Shelf:
    """A source whose studies come to that desk."""
    return Shelf(desk)


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The `Bench` of the test's own module, its receiver listening, ended after the test."""
    made = request.module.Bench(tmp_path)
    made.receiver.start()
    yield made
    made.receiver.stop()
