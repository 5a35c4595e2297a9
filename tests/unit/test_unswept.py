"""The collector rests while things are imported, and leaves alone what was there by then."""

import gc
from collections.abc import Iterator

import pytest

from cxrnode.unswept import unswept


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_inside_and_what_is_there_afterwards_is_left_out_of_later_collections() -> None:
    with unswept():
        assert not gc.isenabled()
        there: list[list[int]] = [[]]
    assert gc.isenabled()
    assert not any(one is there for one in gc.get_objects())
    assert gc.get_freeze_count() > 0


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), unswept():
        raise ImportError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with unswept():
        pass
    assert not gc.isenabled()
