"""Fixtures that every floor of the tests shares."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real radiographs beside the project; tests that want it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("shared/data is not beside the project: no real radiographs to test on")
    return SHARED_DATA
