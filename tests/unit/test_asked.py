"""asked: one source, a choice that fits it, and the same replay for the same words."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from cxrnode.errors import SettingsError
from cxrnode.plans.criteria import Criteria
from cxrnode.replay.asked import Asked

JANUARY = Criteria(date(2026, 1, 1), date(2026, 1, 31))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "no source; wanted one of PATH, --archive, --from-spool, --plan"),
        ({"paths": ("a",), "from_spool": True}, "PATH and --from-spool; wanted one of"),
        ({"archive": "main"}, "--archive main without a choice"),
        ({"named": Path("list.csv"), "paths": ("a",)}, "--list without a place to find"),
        ({"from_spool": True, "criteria": JANUARY}, "dates and the like choose studies of an archive"),
        ({"archive": "main", "criteria": JANUARY, "named": Path("list.csv")}, "no --list"),
        ({"from_spool": True, "calling_ae": "DX"}, "--calling-ae tells who sent files"),
    ],
)
def test_what_does_not_go_together_is_named_with_what_was_wanted(given: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Asked(**given)  # type: ignore[arg-type]  # whatever a person gives


def test_the_same_words_are_the_same_replay_and_others_are_another(tmp_path: Path) -> None:
    """Red when any of them is left out of the digest: another model would go on with the first one's plan."""
    listing = tmp_path / "list.csv"
    listing.write_text("study\n1.2.3\n")
    asked = Asked(archive="main", named=listing)
    others = [
        replace(asked, archive="other"),
        replace(asked, model="other"),
        replace(asked, send=False),
        replace(asked, again=True),
        Asked(archive="main", criteria=JANUARY),
        Asked(paths=("a",)),
        Asked(paths=("a",), calling_ae="DX"),
    ]

    assert Asked(archive="main", named=listing).request == asked.request
    digests = {one.request.digest for one in (asked, *others)}
    assert len(digests) == 1 + len(others)
    listing.write_text("study\n1.2.4\n")
    assert asked.request.digest not in digests


def test_a_relative_path_is_the_same_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert Asked(paths=("films",)).request == Asked(paths=(str(tmp_path / "films"),)).request
