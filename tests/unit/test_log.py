"""log: one JSON line an event, on whatever standard error is when it happens."""

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from cxrnode.log import logger, start


@pytest.fixture(autouse=True)
def configuration_put_back() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_an_event_is_one_line_of_json() -> None:
    told = io.StringIO()
    start("info", told)

    logger("receive").info("stored", key="ab")
    logger("receive").debug("not told")

    (line,) = told.getvalue().splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {"room": "receive", "event": "stored", "key": "ab", "level": "info"}


def test_a_standard_error_that_was_closed_since_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, there = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    start("info")
    closed.close()
    monkeypatch.setattr(sys, "stderr", there)

    logger("receive").info("stored")

    assert json.loads(there.getvalue())["event"] == "stored"
