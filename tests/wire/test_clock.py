"""`cxrnode check` holds this machine's clock against those of a real PostgreSQL and a real Redis."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cxrnode.check.looking import looks
from cxrnode.check.stores import clocks
from cxrnode.errors import SettingsError
from cxrnode.settings import Settings
from tests.brokers import running_broker
from tests.databases import POSTGRESQL, ledger_url


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with running_broker(tmp_path) as broker:
        ledger = {"url": ledger_url(tmp_path, POSTGRESQL)}
        yield Settings.model_validate({"ledger": ledger, "queue": broker.queue})


def test_clocks_that_agree_are_well(settings: Settings) -> None:
    told = dict(looks(settings))["clock"]()

    assert "the ledger's 0." in told
    assert "the broker's 0." in told


def test_a_clock_that_is_off_is_told_with_whose_and_by_how_much(settings: Settings) -> None:
    """Red with `APART_S` without end."""
    with pytest.raises(SettingsError, match=r"the ledger's 3[56]\d\d\.. s from it, the broker's 3[56]\d\d\.."):
        clocks(settings, lambda: datetime.now(UTC) + timedelta(hours=1))


def test_sqlite_has_no_clock_of_its_own(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert clocks(Settings.model_validate({"node": {"state_dir": tmp_path}}), lambda: now) == "2026-01-02 03:04:05 UTC"
