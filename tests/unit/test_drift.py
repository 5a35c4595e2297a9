"""Drift: what is read live is counted by day and card, and held against its reference or the first in service."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import isnan
from pathlib import Path

import pytest
import tomli_w
from sqlalchemy import select
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.commands import lookout
from cxrnode.errors import SettingsError
from cxrnode.finding import Reference
from cxrnode.headers.routing import Choice
from cxrnode.ledger import erasures, mixes, replayed
from cxrnode.ledger.mixes import Drift
from cxrnode.ledger.naming import study_key_of
from cxrnode.metrics.quality import of_drift
from cxrnode.settings import load
from cxrnode.stability import Aspect, Level, index, interval, level, most, tenth
from models.calibrate import at_prevalence
from models.card import ZOO_DIR, load_card
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive
from tests.fakes import ALGORITHM, FakeModel
from tests.ledgers import Bench
from workers.desk import Desk

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ENOUGH = 100


# ---- the index


def test_the_index_is_that_of_the_textbook() -> None:
    """Siddiqi's formula by hand; a half in each bin changes counts in thousands by nothing."""
    reference, now = {"a": 500_000, "b": 500_000}, {"a": 800_000, "b": 200_000}

    assert index(reference, now) == pytest.approx(0.3 * 0.4700036 + 0.3 * 0.9162907, abs=1e-4)
    assert index(reference, reference) == 0
    assert index(reference, now) == pytest.approx(index(now, reference), abs=1e-6)


def test_a_bin_that_was_empty_is_not_infinitely_far_away() -> None:
    assert 0.25 < index({"a": 500}, {"a": 400, "b": 100}) < 5


def test_which_has_moved_most_and_what_it_means() -> None:
    moved = most({"a": 90, "b": 10}, {"a": 50, "b": 50})

    assert moved is not None
    assert (moved.label, moved.before, moved.now) == ("b", 0.1, 0.5)
    assert most({}, {}) is None
    assert [level(value, 0.1, 0.25) for value in (None, 0.0, 0.1, 0.25)] == [
        Level.UNKNOWN, Level.STABLE, Level.WATCH, Level.ALARM,
    ]  # fmt: skip


@pytest.mark.parametrize("probability", [0.0, 1e-9, 0.04, 0.499, 0.5, 0.95, 1 - 1e-12, 1.0])
def test_a_sites_prevalence_moves_no_probability_to_another_bin(probability: float) -> None:
    at_site = at_prevalence(probability, 0.74, 0.05) if 0 < probability < 1 else probability

    assert tenth(at_site, 0.05, 0.74) == tenth(probability, 0.74, None)


def test_bins_have_names() -> None:
    assert (tenth(1.0, 0.5, None), tenth(0.0, 0.5, None)) == ("9", "0")
    assert interval("9") == "0.9 to 1.0"


# ---- the counts


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.ledger.close()


def count(bench: Bench, now: datetime, low: int, high: int, reference: Reference | None = None, of: str = "d1") -> None:
    mix = {(Aspect.PROBABILITY, "0"): low, (Aspect.PROBABILITY, "9"): high, (Aspect.VIEW, "PA"): low + high}
    with bench.ledger.writing() as db:
        mixes.count(db, of, "m 1", {key: images for key, images in mix.items() if images}, reference, now)


def found(bench: Bench, now: datetime = NOW, aspect: Aspect = Aspect.PROBABILITY) -> Drift:
    (one,) = [one for one in mixes.drifts(bench.ledger, ENOUGH, now) if one.aspect is aspect]
    return one


def test_without_a_reference_of_the_card_the_first_in_service_are_it_and_named_as_such(bench: Bench) -> None:
    """Red when days of the reference are compared with themselves."""
    for day in range(4):
        count(bench, NOW - (9 - day) * DAY, 20, 20)  # the third makes it 120
    told = found(bench)
    assert told.reference == "the first 120 images in service, 2026-02-20 to 2026-02-22"
    assert (told.index, told.images, told.since) == (None, 40, "2026-02-23")

    count(bench, NOW, 30, 30)
    told = found(bench)
    assert told.images == 100
    assert told.index == pytest.approx(0, abs=1e-6)


def test_too_few_for_a_reference_is_no_drift(bench: Bench) -> None:
    count(bench, NOW, 10, 10)

    assert found(bench) == Drift("m 1", Aspect.PROBABILITY, None, 0, ENOUGH, "", "", None)


def test_a_cards_own_reference_is_kept_once_and_is_what_is_held_against(bench: Bench) -> None:
    own = Reference("validation split, 100 films of x", (50, *[0] * 8, 50))
    count(bench, NOW, 0, 100, own)
    count(bench, NOW, 0, 1, own)

    told = found(bench)

    assert told.reference == "the card's validation split, 100 films of x"
    assert told.index is not None
    assert told.index > 0.25
    assert told.moved is not None
    assert (told.moved.label, told.moved.before, told.moved.now) == ("0", 0.5, 0.0)
    assert found(bench, aspect=Aspect.VIEW).reference.startswith("the first 101 images in service")


def test_the_last_days_count_and_no_more_of_them_than_are_needed(bench: Bench) -> None:
    for day in range(30):
        count(bench, NOW - (40 - day) * DAY, 25, 25)
    for day in range(3):
        count(bench, NOW - (2 - day) * DAY, 0, 50)

    told = found(bench)

    assert (told.images, told.since) == (100, "2026-02-28")
    assert told.index is not None
    assert told.index > 1


def test_another_card_begins_anew_and_one_that_reads_no_more_is_forgotten(bench: Bench) -> None:
    for day in range(9):
        count(bench, NOW - (9 - day) * DAY, 50, 50)
    count(bench, NOW, 5, 5, of="d2")
    assert found(bench).reference == ""

    assert mixes.drifts(bench.ledger, ENOUGH, NOW + 31 * DAY) == []


def test_labels_that_nobody_foresaw_are_bounded(bench: Bench) -> None:
    for number in range(60):
        with bench.ledger.writing() as db:
            mixes.count(db, "d", "m", {(Aspect.MANUFACTURER, f"MAKER {number}"): 1}, None, NOW)
    with bench.ledger.reading() as db:
        rows = {row.label: row.images for row in db.execute(select(mixes.mixes))}

    assert len(rows) == mixes.MOST_LABELS + 1
    assert rows["others"] == 10


# ---- in service


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = open_desk(tmp_path, [])
    yield made
    made.ledger.close()


def rows(desk: Desk) -> dict[tuple[str, str], int]:
    with desk.ledger.reading() as db:
        return {(row.aspect, row.label): row.images for row in db.execute(select(mixes.mixes))}


def test_a_live_study_is_counted_by_every_aspect(desk: Desk) -> None:
    receive(desk, make_cxr(Manufacturer="Maker One", ViewPosition="AP"))
    receive(desk, make_cxr(Manufacturer="Maker One ", ViewPosition="PA"))
    receive(desk, make_cxr(PatientID=""))
    receive(desk, make_cxr(BodyPartExamined="FOOT", Manufacturer="Other"))

    known = {Choice(desk.settings.model.name): FakeModel([0.95, 0.12])}
    read_all(desk, known)

    told = rows(desk)
    assert {key: n for key, n in told.items() if key[0] == "probability"} == {
        ("probability", "9"): 1,
        ("probability", "1"): 1,
    }
    assert {key: n for key, n in told.items() if key[0] == "outcome"} == {
        ("outcome", "read"): 2,
        ("outcome", "refused: PatientID"): 1,
        ("outcome", "not_applicable: BodyPartExamined"): 1,
    }
    assert told["manufacturer", "MAKER ONE"] == 2
    assert not [key for key in told if key[1] == "OTHER"]
    assert sum(n for key, n in told.items() if key[0] == "view") == 3


def test_a_cards_reference_reaches_the_ledger_with_the_first_study(desk: Desk) -> None:
    receive(desk, make_cxr())
    reference = Reference("validation split", tuple(range(10)))
    known = {Choice(desk.settings.model.name): FakeModel(algorithm=replace(ALGORITHM, reference=reference))}

    read_all(desk, known)

    with desk.ledger.reading() as db:
        kept = {row.label: row.images for row in db.execute(select(mixes.baselines))}
    assert kept == {str(number): number for number in range(10)}


def test_a_replay_is_not_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayed, "order_of", lambda *_: replayed.Order("k", "", send=False))
    receive(desk, make_cxr())

    read_all(desk)

    assert rows(desk) == {}


def test_counts_outlive_a_study_that_is_erased(desk: Desk) -> None:
    film = make_cxr()
    receive(desk, film)
    read_all(desk)
    before = rows(desk)

    key = study_key_of(desk.ledger, film.StudyInstanceUID)
    assert key is not None
    erasures.erase(desk.ledger, key, NOW, lambda _found: None)

    assert rows(desk) == before != {}


def test_status_and_figures_say_what_has_moved(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    own = Reference("validation split", (60, *[0] * 8, 40))
    count(bench, now, 10, 90, own)
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CXRNODE_LEDGER__URL", bench.url)
    monkeypatch.setenv("CXRNODE_DRIFT__IMAGES", "100")
    settings = load()

    words = lookout.in_words(lookout.look_out(settings, bench.ledger, now))
    assert words[0].startswith("Drift of m 1: probability alarm (1.")
    assert "outcome has no reference yet" in words[0]
    day = f"{now:%Y-%m-%d}"
    assert words[1] == (
        f"DRIFT: m 1, probability: 100 images since {day} against the card's validation split; "
        "0.0 to 0.1: 60% then, 10% now."
    )
    indices, levels = of_drift(settings, bench.ledger, now)
    told = {tuple(one.labels.values()): one.value for one in levels.samples}
    assert told["m 1", "probability"] == 2
    assert told["m 1", "view"] == 0
    known = {one.labels["aspect"]: one.value for one in indices.samples if not isnan(one.value)}
    assert list(known) == ["probability"]

    result = CliRunner().invoke(app, ["status", "--json"])
    assert result.exit_code == 0, result.output
    (probability,) = [one for one in json.loads(result.output)["drift"] if one["aspect"] == "probability"]
    assert (probability["level"], probability["images"]) == ("alarm", 100)


def test_thresholds_are_in_order(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text("[drift]\nwatch = 0.3\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"watch = 0\.3 is not below alarm = 0\.25"):
        load(path)


# ---- the card's


def test_the_shipped_card_has_the_reference_that_its_own_predictions_make() -> None:
    """Red when the card's table is edited by hand, or made anew from another split."""
    folder = ZOO_DIR / "pneumonia-efficientnet-lite0"
    result = CliRunner().invoke(app, ["reference", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    made = json.loads(result.output)
    card = load_card(folder)

    assert card.reference is not None
    assert list(card.reference.probability) == made["probability"]
    assert card.algorithm().reference == Reference(made["source"], tuple(made["probability"]))
    assert sum(made["probability"]) == card.data.splits["val"].images


def test_writing_it_changes_nothing_else_on_the_card(tmp_path: Path) -> None:
    folder = tmp_path / "pneumonia-efficientnet-lite0"
    shutil.copytree(ZOO_DIR / folder.name, folder)
    path = folder / "card.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    del table["reference"]
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    before = load_card(folder)

    result = CliRunner().invoke(app, ["reference", str(folder), "--note"])

    assert result.exit_code == 0, result.output
    after = load_card(folder)
    assert after.digest == before.digest
    assert after.reference is not None
    assert after.model_copy(update={"reference": None}) == before.model_copy(update={"reference": None})
