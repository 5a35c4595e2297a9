"""A hospital's DICOM folder: decoded as in service, patients kept together, and nothing of theirs let out."""

import re
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from cxrnode.cli import app
from cxrnode.decoding.film import DicomFiles
from cxrnode.decoding.pixels import read_radiograph
from cxrnode.errors import TrainingError
from models.card import Input, load_card
from models.evaluation import measure
from models.training.dataset import DataSet, batch_of, radiograph_of, read_films
from models.training.recipe import External, Films
from tests.films import recipe_table, write_recipe
from tests.folders import SECRETS, Row, dicom_table, film_of, write_dicom, write_labels

INPUT = Input(rows=48, columns=48, resize="squash", scale=255.0, mean=(127.0,) * 3, std=(128.0,) * 3)


def read(folder: Path, **changes: object) -> DataSet:
    return read_films(folder, Films.model_validate(dicom_table(**changes)), dicom=DicomFiles())


def with_column(folder: Path, rows: list[Row], column: str, values: list[str]) -> None:
    write_labels(folder, [row | {column: value} for row, value in zip(rows, values, strict=True)])


def test_films_are_decoded_as_in_service_and_patients_stay_together(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path)
    data = read(tmp_path)
    assert [film.file for film in data.films] == [row["file"] for row in rows]
    assert [film.label for film in data.films] == [int(row["label"] == "ill") for row in rows]
    for film in data.films[:3]:
        decoded = read_radiograph(pydicom.dcmread(tmp_path / "images" / film.file))
        assert np.array_equal(radiograph_of(film), decoded)
    for one, other in zip(data.films[::2], data.films[1::2], strict=True):
        assert (one.patient, one.split) == (other.patient, other.split)
    assert {name: size.patients for name, size in data.sizes().items()} == {"train": 16, "val": 2, "test": 2}
    assert all(size.positive == size.images / 2 for size in data.sizes().values())
    assert data.remarks == data.unreadable == ()


def test_groups_digest_and_split_are_the_same_in_every_run_and_say_nothing_of_the_patient(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path)
    first = read(tmp_path)
    write_labels(tmp_path, rows[::-1])
    again = read(tmp_path)
    assert first.digest == again.digest
    of_file = {film.file: (film.patient, film.split) for film in first.films}
    assert {film.file: (film.patient, film.split) for film in again.films} == of_file
    assert all(re.fullmatch("patient-[0-9a-f]{16}", film.patient) for film in first.films)

    for path in (tmp_path / "images").rglob("*.dcm"):
        film = pydicom.dcmread(path)
        film.PatientID += "-renamed"
        film.save_as(path)
    renamed = read(tmp_path)
    assert {film.file: (film.patient, film.split) for film in renamed.films} == of_file
    assert renamed.digest != first.digest, "other bytes"


def test_films_may_be_named_by_their_uid(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path)
    by_name = read(tmp_path)
    uids = {row["file"]: str(pydicom.dcmread(tmp_path / "images" / row["file"]).SOPInstanceUID) for row in rows}
    write_labels(tmp_path, [{"sop_instance_uid": uids[row["file"]], "label": row["label"]} for row in rows[1:]]
                 + [{"sop_instance_uid": "1.2.3.4", "label": "well"}])  # fmt: skip
    (tmp_path / "images" / "notes.txt").write_text("no DICOM file")
    by_uid = read(tmp_path)
    assert [film.file for film in by_uid.films] == [film.file for film in by_name.films[1:]]
    assert by_uid.unreadable == ("line 41 of labels.csv: no file has its SOP Instance UID",)
    assert by_uid.remarks == ("2 files below images are not in labels.csv",)


def test_the_csvs_patients_and_splits_hold_when_it_has_them(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path, patients=6)
    splits = ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    with_column(tmp_path, rows, "split", splits)
    assert [film.split for film in read(tmp_path, fresh_split=None).films] == splits

    twins = [row | {"split": split, "patient": f"child {index // 4}"} for index, (row, split) in
             enumerate(zip(rows, splits, strict=True))]  # fmt: skip
    write_labels(tmp_path, twins)
    data = read(tmp_path, fresh_split=None)
    assert len({film.patient for film in data.films}) == 3
    assert not any("child" in film.patient for film in data.films)


def test_a_patient_in_two_splits_is_refused_by_the_films_names(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path, patients=4)
    with_column(tmp_path, rows, "split", ["train", "test", *["train"] * 3, *["test"] * 3])
    with pytest.raises(TrainingError, match=r"2 patients are in two splits") as raised:
        read(tmp_path, fresh_split=None)
    assert re.search(r"/00[02]-\d\.dcm in test, room \d/00[02]-\d\.dcm in train", str(raised.value))
    assert not any(secret in str(raised.value) for secret in SECRETS)


def test_identifiers_are_parted_by_their_issuer_unless_one_lacks_it(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path, patients=1, films_each=3)
    for row, issuer in zip(rows, ("HERE", "THERE", "THERE"), strict=True):
        path = tmp_path / "images" / row["file"]
        film = pydicom.dcmread(path)
        film.IssuerOfPatientID = issuer
        film.save_as(path)
    assert patients(tmp_path) == [0, 1, 1]
    film = pydicom.dcmread(path)
    del film.IssuerOfPatientID
    film.save_as(path)
    assert patients(tmp_path) == [0, 0, 0]


def patients(folder: Path) -> list[int]:
    found = [film.patient for film in read(folder).films]
    return [found.index(patient) for patient in found]


def test_the_same_image_under_two_identifiers_is_one_patients(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path, patients=3, films_each=1)
    copy = film_of(0, 0, positive=True, PatientID="ZZ-PID-9999")
    copy.save_as(tmp_path / "images" / "copy.dcm", enforce_file_format=True)
    write_labels(tmp_path, [*rows, {"file": "copy.dcm", "label": "ill"}])
    assert patients(tmp_path) == [0, 1, 2, 0]


def test_without_any_identity_the_film_is_named(tmp_path: Path) -> None:
    write_dicom(tmp_path, patients=2, PatientID=None)
    with pytest.raises(TrainingError, match=r"room 0/000-0\.dcm has no Patient ID; wanted one, or a column patient"):
        read(tmp_path)


def test_damaged_files_are_listed_without_patient_data_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path, patients=6)
    paths = [tmp_path / "images" / row["file"] for row in rows]
    paths[0].unlink()
    paths[1].write_bytes(b"ZZ-PID-0000 Zzsynthetic")
    paths[2].write_bytes(paths[2].read_bytes()[:-900])
    film_of(1, 1, positive=False, PhotometricInterpretation="RGB").save_as(paths[3], enforce_file_format=True)
    data = read(tmp_path)
    assert [film.file for film in data.films] == [row["file"] for row in rows[4:]]
    assert [line.partition(":")[0] for line in data.unreadable] == [row["file"] for row in rows[:4]]
    for line, reason in zip(data.unreadable, ("cannot be read", "cannot be parsed", "breaks off", "RGB"), strict=True):
        assert reason in line
        assert not any(secret in line for secret in (*SECRETS, str(tmp_path)))


def test_how_many_are_no_frontal_chest_films_by_header_is_told_and_they_are_kept(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path, patients=4)
    for index, odd in ((1, {"ViewPosition": "LL"}), (4, {"BodyPartExamined": "FOOT"}), (6, {"Modality": "MR"})):
        film_of(index // 2, index % 2, positive=False, **odd).save_as(tmp_path / "images" / rows[index]["file"])
    data = read(tmp_path)
    assert len(data.films) == len(rows)
    (remark,) = data.remarks
    assert remark.startswith("3 of 8 films are by their header no frontal chest films, and are kept (room 0/000-1.dcm")
    assert "ViewPosition (0018,5101) is LL" in remark


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([{"name": "a.dcm", "label": "ill"}], "has neither a column file nor sop_instance_uid"),
        ([{"file": "a.dcm", "class": "ill"}], r"lacks the columns \['label'\]"),
        ([{"file": "a.dcm", "label": "ill"}, {"file": "a.dcm", "label": "well"}], "lines 2 and 3 have the same file"),
        ([{"file": "a.dcm", "label": ""}], "line 2 has no label"),
        ([{"file": "a.dcm", "label": "ill", "patient": ""}], "line 2 has no patient"),
    ],
)
def test_labels_that_are_not_whole_are_refused(tmp_path: Path, rows: list[Row], wanted: str) -> None:
    write_dicom(tmp_path, patients=1)
    write_labels(tmp_path, rows)
    with pytest.raises(TrainingError, match=wanted):
        read(tmp_path)


def test_an_empty_folder_and_one_where_nothing_can_be_read_are_refused(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path, patients=2)
    for path in (tmp_path / "images").rglob("*.dcm"):
        path.write_bytes(b"damaged")
    with pytest.raises(TrainingError, match=r"none of 4 films can be read, 'room 0/000-0\.dcm: cannot be parsed"):
        read(tmp_path)
    for path in (tmp_path / "images").rglob("*.dcm"):
        path.unlink()
    with pytest.raises(TrainingError, match="images holds no file; wanted DICOM files"):
        read(tmp_path)
    write_labels(tmp_path, [row | {"label": "ill"} for row in rows])
    with pytest.raises(TrainingError, match="has no column split; wanted one, or a table fresh_split in the recipe"):
        read(tmp_path, fresh_split=None)


def test_where_nothing_reads_dicom_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing here reads DICOM files; wanted `cxrnode train`"):
        read_films(tmp_path, Films.model_validate(dicom_table()))


def test_odd_values_are_not_shown_to_anybody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """pydicom warns of a value that is not what its VR promises, and quotes it."""
    odd = {"SOPInstanceUID": "ZZ-PID", "PatientID": "ZZ-PID" * 20, "PatientAge": "Zzsynthetic"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dicom(tmp_path, patients=1, films_each=1, **odd)
    write_labels(tmp_path, [{"sop_instance_uid": "ZZ-PID", "label": "ill"}])
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read(tmp_path).films) == 1
    shown = "".join(capfd.readouterr())
    assert not any(secret in shown for secret in SECRETS)


def test_a_file_may_lie_outside_the_folder(tmp_path: Path) -> None:
    rows = write_dicom(tmp_path, patients=1)
    outside = tmp_path / "elsewhere.dcm"
    (tmp_path / "images" / rows[0]["file"]).rename(outside)
    write_labels(tmp_path, [rows[0] | {"file": str(outside)}, *rows[1:]])
    assert [film.file for film in read(tmp_path).films] == ["../elsewhere.dcm", rows[1]["file"]]


def test_an_external_set_may_be_a_dicom_folder_as_a_whole(tmp_path: Path) -> None:
    write_dicom(tmp_path, patients=4)
    wanted = External.model_validate(dicom_table(split="test", fresh_split={"fractions": {"test": 1.0}}))
    assert len(read_films(tmp_path, wanted, dicom=DicomFiles()).split("test")) == 8
    whole = External.model_validate(dicom_table(split="all", split_column="", fresh_split=None))
    assert len(read_films(tmp_path, whole, dicom=DicomFiles()).split("all")) == 8


def test_a_hospital_trains_on_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "RESAMPLES", 20)
    write_dicom(tmp_path / "ours", patients=40, films_each=1)
    (tmp_path / "ours" / "images" / "room 0" / "003-0.dcm").write_bytes(b"damaged")
    fresh = {"fractions": {"train": 0.6, "val": 0.2, "test": 0.2}}
    schedule = recipe_table()["schedule"] | {"epochs": 1}
    changes = {"architecture": "mobilenet_v3_large", "start": "scratch", "schedule": schedule}
    recipe = write_recipe(tmp_path / "r.toml", data=dicom_table(fresh_split=fresh), **changes)
    places = ["--data", str(tmp_path / "ours"), "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(app, ["train", str(recipe), *places, "--device", "cpu", "--threads", "1"])
    assert told.exit_code == 0, told.output
    assert "skipped, unreadable: room 0/003-0.dcm: cannot be parsed as DICOM" in told.output
    card = load_card(tmp_path / "out" / "toy")
    assert sum(size.images for size in card.data.splits.values()) == 39
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) >= 3
    for text in (told.output, *(path.read_bytes().decode("latin-1") for path in written)):
        assert not any(secret in text for secret in SECRETS)


def test_a_batch_of_dicom_films_is_what_service_would_squash(tmp_path: Path) -> None:
    from models.preprocess import fitted

    write_dicom(tmp_path, patients=4)
    wanted = Films.model_validate(dicom_table())
    films = read_films(tmp_path, wanted, dicom=DicomFiles(), keep=INPUT).films
    exact = [fitted(radiograph_of(film), INPUT).numpy() for film in films]
    assert np.abs(batch_of(films, INPUT).numpy() - np.stack(exact)).max() <= 0.5 / 65535 + 1e-7
