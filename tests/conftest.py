"""Fixtures that every floor of the tests shares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import databases
from tests.flow import matrix
from tests.referee import table

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real radiographs beside the project; tests that want it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("shared/data is not beside the project: no real radiographs to test on")
    return SHARED_DATA


ORDINARY = 0o022


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """A command that is run in the tests' own process sets it, and the next test's files would be for nobody else."""
    os.umask(ORDINARY)
    yield
    os.umask(ORDINARY)  # for the fixtures of the next module, which come before this one


@pytest.fixture(scope="module", autouse=True)
def _databases_dropped() -> Iterator[None]:
    """What the tests of a module made on the PostgreSQL server goes when the module ends."""
    yield
    databases.drop_made()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the judges of the results said, and the kill matrix, where there is any of it."""
    lines = table.lines_in(report for reports in terminalreporter.stats.values() for report in reports)
    if lines:
        terminalreporter.section("referees")
        for line in table.in_words(lines):
            terminalreporter.write_line(line)
    rows = matrix.rows_in(report for reports in terminalreporter.stats.values() for report in reports)
    if rows:
        terminalreporter.section("kill matrix")
        for line in matrix.in_words(rows):
            terminalreporter.write_line(line)
