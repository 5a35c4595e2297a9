"""A CSV is read as hospitals write it, and every fault in it is named with its line."""

from pathlib import Path

import pytest

from cxrnode.errors import TrainingError
from models.training.sources.table import FilmTable, read_table


def table(folder: Path, text: str, encoding: str = "utf-8") -> FilmTable:
    path = folder / "films.csv"
    path.write_bytes(text.encode(encoding))
    return read_table(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_spreadsheets_csv_is_read(tmp_path: Path, encoding: str, end: str, mark: str) -> None:
    lines = ["file, class ,note", 'a/1.png,ILL,"two words"', "", "b/2.png , WELL,"]
    found = table(tmp_path, end.join(lines).replace(",", mark), encoding)
    found.require("file", "class")
    assert found.rows == (
        {"file": "a/1.png", "class": "ILL", "note": "two words"},
        {"file": "b/2.png", "class": "WELL", "note": ""},
    )
    assert found.lines == (2, 4)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("file,class\n", "has 0 rows and lacks the columns"),
        ("", "has 0 rows and lacks the columns"),
        ("file\na.png\n", r"lacks the columns \['class'\]; wanted file, class"),
        ("file,class\na.png,ILL\nb.png\n", "line 3 has no class; wanted one in every row"),
        ("file,class\na.png,ILL\nb,c.png,ILL\n", "line 3 has more values than columns"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(TrainingError, match=wanted):
        table(tmp_path, text).require("file", "class")


def test_a_file_that_is_not_there_or_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"absent\.csv: cannot be read \(No such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(TrainingError, match=r"not UTF-8 at byte 12; wanted a CSV saved as UTF-8"):
        table(tmp_path, "file,class\nM\xfcller.png,ILL\n", "latin-1")


def test_a_class_that_nobody_named_is_a_fault_with_its_line(tmp_path: Path) -> None:
    found = table(tmp_path, "file,class\na,ILL\nb,WELL\nc,WEL\nd,WELL\n")
    with pytest.raises(
        TrainingError, match=r"holds 'WELL' \(2\), 'ILL' \(1\), 'WEL' \(1\), 'WEL' in line 4; wanted 'ILL'"
    ):
        found.labels("class", "ILL", ())
    assert found.labels("class", "ILL", ("WELL", "WEL")) == [1, 0, 0, 0]
    with pytest.raises(TrainingError, match=r"'WEL' in line 4; wanted 'ILL' and 'WELL'"):
        found.labels("class", "ILL", ("WELL",))


def test_without_a_positive_the_classes_there_are_are_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds 'ill' \(2\); wanted 'ILL' and one other class"):
        table(tmp_path, "file,class\na,ill\nb,ill\n").labels("class", "ILL", ())


def test_a_film_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lines 2 and 4 have the same file; wanted each film once"):
        table(tmp_path, "file,class\na,ILL\nb,WELL\na,WELL\n").refuse_twice("file")
