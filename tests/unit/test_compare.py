"""Two models on the same studies: what the ledger has of both becomes a page, CSV and Parquet that say the same."""

import csv
import json
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import arro3.io
import pytest
from pydicom.uid import generate_uid
from sqlalchemy import insert
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.compare import command
from cxrnode.compare.command import Request, compare
from cxrnode.compare.images import Images, gathered
from cxrnode.compare.pictures import largest, pictured
from cxrnode.errors import SettingsError, Unknown
from cxrnode.finding import Outcome
from cxrnode.ledger import arrivals, outcomes
from cxrnode.ledger.comparisons import models_named, pairs
from cxrnode.ledger.outcomes import ReadingRow, RoundResult
from cxrnode.ledger.tables import purges, rounds
from tests.compared import LARGE, LITE, Reading
from tests.ledgers import Bench

NOW = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
A = (0.9, 0.2, 0.6, 0.1, 0.8, 0.45)
B = (0.8, 0.7, 0.3, None, 0.85, 0.41)
"""B calls positive from 0.4 on: the second and the last flip up, the third down; the fourth B does not read."""


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Reading]:
    """Six studies of one film, read by both."""
    reading = Reading(tmp_path / "state")
    reading.receive(6)
    reading.read(LITE, A)
    reading.read(LARGE, B)
    yield reading
    reading.desk.ledger.close()


def told(reading: Reading, out: Path, capsys: pytest.CaptureFixture[str], **wanted: Any) -> dict[str, Any]:
    """What the command says of lite and large, for machines."""
    request = Request(wanted.pop("a", "lite"), wanted.pop("b", "large"), out, **wanted)
    capsys.readouterr()
    compare(request, reading.desk.settings, NOW, as_json=True)
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def columns(reading: Reading) -> Images:
    ledger = reading.desk.ledger
    return gathered(pairs(ledger, *models_named(ledger, "lite", "large")))


def labels_file(folder: Path, labels: dict[str, int]) -> Path:
    path = folder / "labels.csv"
    path.write_text("study,label\n" + "".join(f"{name},{label}\n" for name, label in labels.items()), "utf-8")
    return path


def test_who_flips_is_told_both_ways_and_a_refusal_is_a_disagreement_of_its_own(
    both: Reading, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(both, tmp_path / "out", capsys)

    assert (said["a"], said["b"]) == (["lite 1"], ["large 2.1"])
    assert said["coverage"] == {
        "images_read_by_both": 6,
        "images_read_by_a_alone": 0,
        "images_read_by_b_alone": 0,
        "images_analysed_by_both": 5,
        "studies_read_by_both": 6,
        "studies_analysed_by_both": 5,
    }
    assert said["outcomes"] == {
        "positive": {"positive": 2, "refused": 0, "negative": 1},
        "refused": {"positive": 0, "refused": 0, "negative": 0},
        "negative": {"positive": 2, "refused": 1, "negative": 0},
    }
    assert said["agreed"]["images"] == {"both": 2, "only_a": 1, "only_b": 2, "neither": 0}
    assert said["labelled"] is None
    found = {
        row["a_probability"]: (row["flip"], row["b_outcome"], row["b_probability"]) for row in rows(tmp_path / "out")
    }
    assert found == {
        "0.9": ("", "positive", "0.8"),
        "0.2": ("to positive", "positive", "0.7"),
        "0.6": ("to negative", "negative", "0.3"),
        "0.1": ("", "refused", ""),
        "0.8": ("", "positive", "0.85"),
        "0.45": ("to positive", "positive", "0.41"),
    }


def test_the_latest_reading_by_each_counts_and_what_one_alone_has_read_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = Reading(tmp_path / "state")
    reading.receive(2)
    reading.read(LITE, (0.9, 0.9))
    reading.read(LARGE, (0.9, 0.9))
    reading.receive(1)
    reading.read(LITE, (0.1, 0.2, 0.3))  # after B, and again

    said = told(reading, tmp_path / "out", capsys)

    assert said["agreed"]["images"] == {"both": 0, "only_a": 0, "only_b": 2, "neither": 0}
    assert (said["coverage"]["images_read_by_both"], said["coverage"]["images_read_by_a_alone"]) == (2, 1)
    found = {(row["a_probability"], row["b_probability"], row["b_outcome"]) for row in rows(tmp_path / "out")}
    assert found == {("0.1", "0.9", "positive"), ("0.2", "0.9", "positive"), ("0.3", "", "")}
    reading.receive(1)
    reading.read(LARGE, (0.1, 0.2, 0.3, 0.4))
    assert told(reading, tmp_path / "out", capsys)["coverage"]["images_read_by_b_alone"] == 1


def test_images_of_one_study_stay_together_and_the_study_flips_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, study = Reading(tmp_path / "state"), generate_uid()
    reading.receive(3, StudyInstanceUID=study)
    reading.receive(1)
    reading.read(LITE, (0.1, 0.1, 0.9, 0.1))
    reading.read(LARGE, (0.9, 0.9, 0.1, 0.1))

    said = told(reading, tmp_path / "out", capsys)

    assert said["agreed"]["images"] == {"both": 0, "only_a": 1, "only_b": 2, "neither": 1}
    assert said["agreed"]["studies"] == {"both": 1, "only_a": 0, "only_b": 0, "neither": 1}
    assert said["agreed"]["mcnemar_p"] == 1.0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert {f"image {number} of 3" for number in (1, 2, 3)} <= set(re.findall(r"image \d of \d", page))


def test_parquet_as_another_library_reads_it_has_the_rows_of_the_csv(
    both: Reading, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = labels_file(tmp_path, {both.films[0].StudyInstanceUID: 1})
    told(both, tmp_path / "out", capsys, labels=labels, with_uids=True)

    read = arro3.io.read_parquet(tmp_path / "out" / "images.parquet").read_all()
    table = {name: read.column(name).to_pylist() for name in read.column_names}
    written = rows(tmp_path / "out")
    assert list(table) == list(written[0])
    words = {True: "True", False: "False", None: ""}
    for name, values in table.items():
        kind = str(read.schema.field(name).type)
        numeric = name.endswith(("probability", "point", "prevalence", "difference"))
        assert ("Float64" in kind, "Boolean" in kind) == (numeric, name == "label"), (name, kind)
        for value, row in zip(values, written, strict=True):
            if numeric and value is not None:
                assert float(row[name]) == value
            else:
                assert row[name] == words.get(value, value)


def test_nothing_names_a_patient_or_an_object_unless_it_is_asked_for(
    both: Reading, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def everything(out: Path) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(out.iterdir()))

    told(both, tmp_path / "quiet", capsys)
    told(both, tmp_path / "open", capsys, with_uids=True)

    quiet, with_uids = everything(tmp_path / "quiet"), everything(tmp_path / "open")
    for film in both.films:
        for value in (film.StudyInstanceUID, film.SOPInstanceUID):
            assert value.encode() not in quiet
            assert value.encode() in with_uids
        for value in (film.PatientID, film.AccessionNumber, "Zzsecret", film.SeriesInstanceUID):
            assert str(value).encode() not in quiet + with_uids
    for path in (tmp_path / "quiet").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    assert stat.S_IMODE((tmp_path / "quiet").stat().st_mode) == 0o700


def test_the_page_needs_nothing_but_itself(both: Reading, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(both, tmp_path / "out", capsys)

    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'(?:src|href)="(?!data:image/png;base64,)([^"]+)"', page)) == set()
    assert not re.search(r"https?://|@import|url\(|<script|\bon\w+=", page)
    assert len(re.findall(r'<img src="data:image/png;base64,[^"]+" alt="[^"]+">', page)) == 3 * 5 - 2
    assert page.count("There is no overlay of this reading on this disk.") == 2
    for words in (
        "Not a medical device",
        "It is no test set",
        "large 2.1",
        "2b" * 32,
        "74 %",
        "0.4",
        "2026-02-03 04:05",
    ):
        assert words in page, words


def test_pictures_come_flips_first_then_by_how_far_the_logits_differ(both: Reading) -> None:
    images = columns(both)

    found = largest(images, 10)

    pairs_of = [(float(images.a.probability[place]), float(images.b.probability[place])) for place in found]
    assert pairs_of == [(0.2, 0.7), (0.6, 0.3), (0.45, 0.41), (0.9, 0.8), (0.8, 0.85)]
    assert largest(images, 2) == found[:2]


def test_an_overlay_is_shown_only_of_the_card_that_read_the_image(both: Reading) -> None:
    images = columns(both)
    place = largest(images, 10)[3]  # positive by both: the later results said nothing new, and were not kept

    (shown,) = pictured(images, [place], both.desk.ledger, both.desk.spool)

    assert shown.a.uri
    assert (shown.b.uri, shown.b.lack) == ("", "There is no overlay of this reading on this disk.")


def test_images_purged_by_retention_are_said_to_be(
    both: Reading, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = columns(both)
    place = largest(images, 1)[0]
    key = images.keys[place].decode()
    with both.desk.ledger.writing() as db:
        noted = {"round_key": images.b.round_keys[place].decode(), "keep_days": 30.0, "at": NOW + timedelta(days=1)}
        db.execute(insert(purges).values(instance_key=key, **noted))
    both.desk.spool.purge_image(key)

    told(both, tmp_path / "out", capsys, most=2)

    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("The film was deleted on 2026-02-04, when its time was over.") == 1
    assert page.count("<img ") == 3


def test_labels_are_put_to_images_by_sop_instance_study_and_accession(
    both: Reading, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = both.films
    labels = {
        films[0].StudyInstanceUID: 1,
        films[1].AccessionNumber: 1,
        films[2].SOPInstanceUID: 0,
        films[2].StudyInstanceUID: 1,  # the image's own label goes before its study's
        films[3].StudyInstanceUID: 1,  # not analysed by B
        films[4].StudyInstanceUID: 0,
        "1.2.3.4": 1,
        "ACC-NOBODY": 0,
    }

    said = told(both, tmp_path / "out", capsys, labels=labels_file(tmp_path, labels))

    labelled = said["labelled"]
    assert sorted(labelled["names_unknown"]) == ["1.2.3.4", "ACC-NOBODY"]
    assert (labelled["images_without"], labelled["studies_without"]) == (1, 1)
    assert labelled["positives"] == {"both": 1, "only_a": 0, "only_b": 1, "neither": 0}
    assert labelled["negatives"] == {"both": 1, "only_a": 1, "only_b": 0, "neither": 0}
    assert (labelled["a"]["sensitivity"]["value"], labelled["b"]["sensitivity"]["value"]) == (0.5, 1.0)
    assert (labelled["a"]["specificity"]["value"], labelled["b"]["specificity"]["value"]) == (0.0, 0.5)
    assert labelled["roc"]["a"]["value"] == 0.5  # 0.9 and 0.2 against 0.6 and 0.8
    assert labelled["roc"]["b"]["value"] == 0.5  # 0.8 and 0.7 against 0.3 and 0.85
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "ACC-NOBODY" not in page
    assert "ROC curves of A and B" in page


def test_without_an_image_that_both_analysed_there_is_a_page_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = Reading(tmp_path / "state")
    reading.receive(1)
    reading.read(LITE, (0.9,))
    reading.read(LARGE, (None,))

    said = told(reading, tmp_path / "out", capsys, labels=labels_file(tmp_path, {"ACC-0": 1}))

    assert said["agreed"] is None
    assert said["outcomes"]["positive"]["refused"] == 1
    assert "No image was analysed by both" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_the_latest_readings_come_in_pairs_from_either_kind_of_database(bench: Bench) -> None:
    now = bench.ready("1.1", "1.2")
    for model, probability in (("m 1", 0.1), ("m 2", 0.2), ("m 1", 0.3)):
        (held,) = bench.lease(now)
        covered = outcomes.study_of(bench.ledger, bench.spool, held.round_key)
        read = [ReadingRow(one.key, Outcome.NEGATIVE, "", probability) for one in covered.instances]
        outcomes.finish_analysis(bench.ledger, held, RoundResult(Outcome.NEGATIVE, read, (), {}, model, {}), now)
        now += timedelta(hours=1)
        with bench.ledger.writing() as db:
            arrivals.read_again(db, covered.key, now)

    found = list(pairs(bench.ledger, *models_named(bench.ledger, "m 1", "m 2")))

    assert sorted(one.sop_instance_uid for one in found) == ["1.1", "1.2"]
    assert {(one.study_key, one.study_instance_uid) for one in found} == {(covered.key, "1.9")}
    assert [(one.a and one.a.probability, one.b and one.b.probability) for one in found] == [(0.3, 0.2)] * 2
    with pytest.raises(SettingsError, match="'m' and 'm 2' both mean m 2"):
        models_named(bench.ledger, "m", "m 2")


def test_a_model_nobody_read_with_or_named_twice_or_with_no_image_in_common_is_told(
    both: Reading, tmp_path: Path
) -> None:
    settings = both.desk.settings
    with pytest.raises(Unknown, match=r"model 'huge'; wanted one of: large 2\.1, lite 1"):
        compare(Request("lite", "huge", tmp_path / "out"), settings, NOW, as_json=True)
    for a, b in (("lite", "lite"), ("lite", "lite 1")):
        with pytest.raises(SettingsError, match=f"'{a}' and '{b}' both mean lite 1; wanted two models"):
            compare(Request(a, b, tmp_path / "out"), settings, NOW, as_json=True)
    with both.desk.ledger.writing() as db:
        key = "0" * 32
        study = columns(both).study_keys[0].decode()
        values = {"study_key": study, "number": 99, "lane": "live", "state": "finished", "last_received_at": NOW}
        db.execute(insert(rounds).values(key=key, model="empty 1", **values))
    with pytest.raises(Unknown, match="no image was read by both: 'lite' has read 6 images, 'empty' 0 images"):
        compare(Request("lite", "empty", tmp_path / "out"), settings, NOW, as_json=True)
    assert not (tmp_path / "out").exists()
    (tmp_path / "taken").touch()
    with pytest.raises(SettingsError, match="taken: cannot be made"):
        compare(Request("lite", "large", tmp_path / "taken"), settings, NOW, as_json=True)


def test_the_command_says_what_came_of_it_and_which_labels_were_of_nothing(
    both: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXRNODE_NODE__STATE_DIR", str(both.folder))
    monkeypatch.setenv("CXRNODE_LEDGER__URL", both.desk.settings.ledger_url)
    labels = labels_file(tmp_path, {film.StudyInstanceUID: number % 2 for number, film in enumerate(both.films)})
    with labels.open("a", encoding="utf-8") as file:
        file.write("ACC-NOBODY,1\n")

    ended = CliRunner().invoke(
        app, ["compare", "lite", "large 2.1", "--labels", str(labels), "--out", str(tmp_path / "out"), "--most", "1"]
    )

    assert ended.exit_code == 0, ended.output
    for words in (
        "Flips: 3; 2 from negative by A to positive by B, 1 from positive to negative.",
        "Labels of no image compared here: 1: ACC-NOBODY",
        str(tmp_path / "out" / "images.parquet"),
    ):
        assert words in ended.stdout


def test_without_pyarrow_the_rest_is_written_and_what_would_bring_it_is_told(
    both: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda _name: None)

    compare(Request("lite", "large", tmp_path / "out"), both.desk.settings, NOW, as_json=False)

    assert "pip install 'cxrnode[parquet]'" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images.csv", "index.html"]
