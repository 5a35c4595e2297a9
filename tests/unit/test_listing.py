"""Lists of studies, labels and verdicts as CSV: as people and their spreadsheets write them."""

import csv
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrnode.errors import SettingsError
from cxrnode.plans import verdicts
from cxrnode.plans.labels import read_labels
from cxrnode.plans.listing import Kind, Named, listed
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.plans.verdicts import Row
from cxrnode.table import guarded, rows_of, unguarded
from tests.memory import MOST_MEMORY

UID, OTHER = "1.2.840.113619.2.1", "1.2.840.113619.2.2"


def written(folder: Path, content: str | bytes) -> Path:
    """A file of this content."""
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def names(path: Path) -> list[str]:
    """What a list names, as kind and value; the reasons of bad rows, after a cross."""
    return [f"{one.kind} {one.value}" if isinstance(one, Named) else f"x {one.reason}" for one in listed(path)]


@pytest.mark.parametrize(
    "heading", ["study", "Study_Instance_UID", "StudyInstanceUID", "Study Instance UID", "STUDY UID", "(0020,000D)"]
)
def test_a_column_of_uids_is_known_by_its_heading(tmp_path: Path, heading: str) -> None:
    path = written(tmp_path, f"patient\t{heading}\twhen\nx\t{UID}\ty\nx\t{OTHER}\n")

    assert names(path) == [f"study {UID}", f"study {OTHER}"]


@pytest.mark.parametrize(
    "heading", ["accession", "accession_number", "AccessionNumber", "Accession No.", "(0008,0050)"]
)
def test_a_column_of_accession_numbers_is_known_by_its_heading(tmp_path: Path, heading: str) -> None:
    path = written(tmp_path, f'"{heading}";when\n007;y\n"1.2.3.4";y\n')

    assert names(path) == ["accession 007", "accession 1.2.3.4"]


def test_one_column_needs_no_heading_and_its_values_are_told_apart_by_form(tmp_path: Path) -> None:
    assert names(written(tmp_path, f"{UID}\nA-1\n20250101\n{OTHER}")) == [
        f"study {UID}",
        "accession A-1",
        "accession 20250101",
        f"study {OTHER}",
    ]


def test_of_both_the_uid_counts_and_a_row_may_have_one_of_them(tmp_path: Path) -> None:
    path = written(tmp_path, f"accession,study\nA-1,{UID}\nA-2,\n,{OTHER}\n")

    assert names(path) == [f"study {UID}", "accession A-2", f"study {OTHER}"]


@pytest.mark.parametrize(
    "content",
    [
        f"study,who\n{UID},Müller\n".encode("utf-8-sig"),
        f"study,who\n{UID},Müller\n".encode("latin-1"),
        f"study\twho\n{UID}\tMüller\n".encode("utf-16"),
        f"study;who\r\n{UID};Müller\r\n".encode(),
        f"study;who\r{UID};Müller\r".encode(),
        f'sep=;\nstudy;who\n"{UID}";"Müller"\n'.encode(),
        f"\n\n study , who \n\n {UID} , Müller\n,\n\n".encode(),
        f'study,who\n"=""{UID}""",Müller\n'.encode(),
        f"study,who\n'{UID},Müller\n".replace("'", "").encode(),
    ],
    ids=["mark", "Latin-1", "UTF-16", "CRLF", "CR", "sep", "blanks", "formula", "plain"],
)
def test_a_list_is_read_as_spreadsheets_write_it(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)

    assert names(path) == [f"study {UID}"]
    assert [cells[1] for _, cells in rows_of(path, "a list")][-1] == "Müller"


def test_a_study_that_comes_twice_is_named_once(tmp_path: Path) -> None:
    assert names(written(tmp_path, f"study\n{UID}\n{OTHER}\n{UID}\n")) == [f"study {UID}", f"study {OTHER}"]


def test_a_bad_row_is_a_verdict_with_its_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path, f"study,accession\n{UID},\n1.2.x,\n,*\n,1.23E+11\n,\nx\n,{'9' * 65}\n,A\\B\n,A-1\n")

    entries = list(listed(path))

    assert [one.value for one in entries if isinstance(one, Named)] == [UID, "A-1"]
    faults = [one for one in entries if isinstance(one, Entry)]
    assert {fault.verdict for fault in faults} == {Verdict.FAILED}
    told = [fault.reason.removeprefix("line ").replace(str(path), "LIST") for fault in faults]
    assert told == [
        "3 of LIST: study is '1.2.x'; wanted a UID: digits and points, 64 characters at the most",
        "4 of LIST: accession is '*'; wanted no * ? or \\, and 64 characters at the most",
        "5 of LIST: accession is '1.23E+11', which a spreadsheet has rounded; wanted all its digits",
        "7 of LIST: study is 'x'; wanted a UID: digits and points, 64 characters at the most",
        f"8 of LIST: accession is '{'9' * 65}'; wanted no * ? or \\, and 64 characters at the most",
        "9 of LIST: accession is 'A\\\\B'; wanted no * ? or \\, and 64 characters at the most",
    ]


def test_a_row_without_a_name_beside_other_cells_is_a_verdict(tmp_path: Path) -> None:
    path = written(tmp_path, f"study,accession,who\n,,Müller\n{UID},,\n")

    assert names(path)[0] == f"x line 2 of {path}: no study and no accession; wanted one in every row"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", r"1 fault in .*\n  no row; wanted a CSV of Study"),
        ("study\n", "no row"),
        ("study\nx\ny\n", r"2 faults in .*\n  line 2: study is 'x'(?s:.*)line 3: study is 'y'"),
        ("study\n" + "x\n" * 100_000, r"21 faults in (?s:.*)and 1 more"),
        ("patient,when\nA,B\n", "line 1: the columns are patient, when; wanted one called study_instance_uid"),
        (b"PK\3\4 and so on", "a spreadsheet or an archive; wanted .*, saved as CSV"),
        (b"\xd0\xcf\x11\xe0 and so on", "a spreadsheet"),
        ('study\n1.2.3\n"1.2.4\n1.2.5\n1.2.6\n', "line 5: a quotation mark that is not closed"),
        ("study\n1.2.3\n" + "x" * 2**21, "line 3: field larger than field limit"),
        (b"study\n\0\0\0\n", "line 2: .*no text"),
        ("study\n1.2.3\n".encode("utf-16")[:-1], "no text in UTF-16"),
    ],
    ids=["empty", "heading", "bad", "all bad", "columns", "xlsx", "xls", "quote", "long", "binary", "UTF-16 cut"],
)
def test_what_is_no_list_is_an_error(tmp_path: Path, content: str | bytes, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        list(listed(written(tmp_path, content)))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent.csv: cannot be read \(No such file or directory\); wanted a CSV"):
        list(listed(tmp_path / "absent.csv"))


def test_a_list_may_come_through_a_pipe() -> None:
    program = "import sys, pathlib; from cxrnode.plans.listing import listed; print(*listed(pathlib.Path(sys.argv[1])))"
    command = ["bash", "-c", f'{sys.executable} -c "$0" <(printf "study\\n{UID}\\n")', program]

    assert UID in subprocess.check_output(command, cwd=Path(__file__).parents[2], text=True)


MANY = (
    MOST_MEMORY
    + """
import sys
from pathlib import Path
from cxrnode.plans.listing import listed
print(sum(1 for _ in listed(Path(sys.argv[1]))), most_memory())
"""
)


def test_two_hundred_thousand_rows_take_no_more_memory_than_a_thousand(tmp_path: Path) -> None:
    memory = []
    for count in (1000, 200_000):
        path = written(tmp_path, "\n".join(f"1.2.840.113619.2.176.3596.{number}" for number in range(count)))
        found, most = map(int, subprocess.check_output([sys.executable, "-c", MANY, path], text=True).split())
        assert found == count
        memory.append(most)

    assert memory[1] - memory[0] < 6144  # kB


def test_labels_are_read_by_any_of_three_names(tmp_path: Path) -> None:
    for name in ("study_instance_uid", "AccessionNumber", "SOP Instance UID"):
        path = written(tmp_path, f"who;{name};label\nx;1.2;1\ny;1.3;0\nz;1.4;1.0\nz;1.4;TRUE\n")
        assert read_labels(path) == {"1.2": True, "1.3": False, "1.4": True}
    assert read_labels(written(tmp_path, "1.2,1\n1.3,0\n")) == {"1.2": True, "1.3": False}
    assert read_labels(written(tmp_path, "accession,pneumonia\nA,1\nB,0\n")) == {"A": True, "B": False}


def test_every_fault_of_the_labels_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "study,label\n1.2,1\n1.3,maybe\n,1\n1.4\n1.5,2\n1.6,1\n1.2,0\n1.6,1\n1.6,0\n")

    with pytest.raises(SettingsError) as told:
        read_labels(path)

    assert str(told.value).splitlines() == [
        f"6 faults in {path}:",
        "  line 3: the label is 'maybe'; wanted 0 or 1",
        "  line 4: no study and no image; wanted one in every row",
        "  line 5: the label is ''; wanted 0 or 1",
        "  line 6: the label is '2'; wanted 0 or 1",
        "  lines 2 and 8: 1.2 is both 0 and 1; wanted one of them",
        "  lines 7 and 10: 1.6 is both 0 and 1; wanted one of them",
    ]


@pytest.mark.parametrize(
    "content", ["", "study,label\n", "study,who,what\n1.2,a,b\n", "who,label\nx,1\n", "a,b,c\n"], ids=repr
)
def test_a_file_without_labels_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(SettingsError, match=r"no row; wanted a CSV|the columns are"):
        read_labels(written(tmp_path, content))


TEXTS = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=20)
RISKY = TEXTS | st.builds(str.__add__, st.sampled_from(["=", "+", "-", "@", "'", "''=", "\t", "\n", "＝", "＋"]), TEXTS)  # noqa: RUF001
ROWS = st.builds(
    Row,
    number=st.integers(1, 10**7),
    study_instance_uid=RISKY,
    accession_number=RISKY,
    study_date=st.sampled_from(["", "20260301"]),
    verdict=st.sampled_from(Verdict),
    reason=RISKY,
    outcome=st.sampled_from(["", "positive"]),
    probability=st.none() | st.floats(0, 1),
    model=RISKY,
    instances=st.none() | st.integers(0, 10**5),
    round=st.none() | st.integers(1, 99),
    delivered=RISKY,
    at=st.none() | st.datetimes(timezones=st.just(UTC)),
)


@given(rows=st.lists(ROWS, max_size=4))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_verdicts_come_back_as_they_were_and_no_cell_is_a_formula(tmp_path: Path, rows: list[Row]) -> None:
    path = tmp_path / "verdicts.csv"

    assert verdicts.write(path, rows) == Counter(row.verdict for row in rows)

    assert list(verdicts.read(path)) == rows
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"))] == []  # noqa: RUF001


@given(RISKY | st.just("\r="))
def test_what_is_guarded_is_given_back(cell: str) -> None:
    assert unguarded(guarded(cell)) == cell


def test_the_verdict_file_is_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.csv"
    row = Row(1, UID, "-A1", "20260301", Verdict.ANALYSED, "", "positive", 0.25, at=datetime(2026, 3, 1, tzinfo=UTC))
    verdicts.write(path, [row])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text(encoding="utf-8").splitlines() == [
        ",".join(verdicts.COLUMNS),
        f"1,{UID},'-A1,20260301,analysed,,positive,0.25,,,,,2026-03-01T00:00:00+00:00",
    ]

    def rows() -> Iterator[Row]:
        yield row
        raise SettingsError("the ledger has gone away")

    with pytest.raises(SettingsError, match="gone away"):
        verdicts.write(path, rows())
    assert list(verdicts.read(path)) == [row]
    assert list(tmp_path.iterdir()) == [path]


def test_the_verdict_file_is_a_list_of_its_studies(tmp_path: Path) -> None:
    rows = [Row(1, UID, "A-1", "", Verdict.FAILED), Row(2, "", "-A2", "", Verdict.NOT_FOUND)]
    verdicts.write(tmp_path / "verdicts.csv", rows)

    assert names(tmp_path / "verdicts.csv") == [f"{Kind.STUDY} {UID}", f"{Kind.ACCESSION} -A2"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("study\n1.2\n", "the columns are study; wanted number, study_instance_uid"),
        (",".join(verdicts.COLUMNS) + "\n1,1.2\n", "line 2: .*wanted a study's verdict"),
        (",".join(verdicts.COLUMNS) + "\n1,1.2,,,perhaps,,,,,,,,\n", "line 2: 'perhaps' is not a valid Verdict"),
        (",".join(verdicts.COLUMNS) + "\nx,1.2,,,failed,,,,,,,,\n", "line 2: invalid literal"),
    ],
)
def test_what_is_no_verdict_file_is_an_error(tmp_path: Path, content: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        list(verdicts.read(written(tmp_path, content)))
