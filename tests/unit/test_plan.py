"""A plan goes to its file and comes back as it was, however many studies it has and whatever their files are called."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cxrnode.errors import SettingsError
from cxrnode.plans import plan
from cxrnode.plans.plan import Entry, Head, Origin, Verdict
from tests.memory import MOST_MEMORY

HEAD = Head(origin=Origin.FILES, asked={"paths": "/films"}, made_at=datetime(2026, 3, 1, 12, tzinfo=UTC))
ENTRY = Entry(study="1.2.3", accession="A-1", date="20260301", instances=2, size=1000, files=("/films/a", "/films/b"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ENTRIES = st.builds(
    Entry,
    study=TEXTS.filter(bool),
    accession=TEXTS,
    date=st.sampled_from(["", "20260301"]),
    instances=st.none() | st.integers(0, 10**6),
    size=st.none() | st.integers(0, 2**60),
    files=st.lists(TEXTS, max_size=4).map(tuple),
    verdict=st.none() | st.sampled_from(Verdict),
    reason=TEXTS,
)


@given(entries=st.lists(ENTRIES, max_size=5))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_plan_comes_back_as_it_was_written(tmp_path: Path, entries: list[Entry]) -> None:
    path = tmp_path / "plan.jsonl"

    assert plan.write(path, HEAD, entries) == len(entries)

    assert plan.head_of(path) == HEAD
    assert list(plan.entries_of(path)) == entries


@pytest.mark.parametrize(
    "name", ["/films/Müller.dcm", "/films/胸部.dcm", "/a\nb", "/a\u2028b", "/a\x85b", '/"\\', "/😀"], ids=ascii
)
def test_a_name_that_is_text_survives_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "plan.jsonl"

    plan.write(path, HEAD, [ENTRY.model_copy(update={"files": (name,)}), ENTRY])

    assert [entry.files for entry in plan.entries_of(path)] == [(name,), ENTRY.files]
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("field", ["study", "accession", "reason", "files"])
def test_what_is_no_text_is_refused_by_its_field_before_it_is_in_a_plan(field: str) -> None:
    name = os.fsdecode(b"/films/M\xfcller.dcm")

    with pytest.raises(ValidationError, match=rf"{field}\n.*M\\udcfcller.dcm is no Unicode text"):
        Entry(**(ENTRY.model_dump() | {field: (name,) if field == "files" else name}))


def test_the_words_of_a_head_show_bytes_that_are_no_text(tmp_path: Path) -> None:
    head = Head(origin=Origin.FILES, asked={"paths": os.fsdecode(b"/M\xfc")}, made_at=HEAD.made_at)
    plan.write(tmp_path / "plan", head, [])

    assert plan.head_of(tmp_path / "plan").asked == {"paths": r"/M\udcfc"}


MANY = (
    MOST_MEMORY
    + """
import sys
from datetime import UTC, datetime
from pathlib import Path
from cxrnode.plans import plan

path = Path(sys.argv[1])
head = plan.Head(origin="files", made_at=datetime.now(UTC))
entries = (
    plan.Entry(study=f"1.2.3.{number}", date="20260301", instances=1, files=(f"/films/{number}.dcm",))
    for number in range(int(sys.argv[2]))
)
plan.write(path, head, entries)
assert sum(len(batch) for batch in plan.batches(plan.entries_of(path))) == int(sys.argv[2])
print(most_memory())
"""
)


def test_two_hundred_thousand_studies_take_no_more_memory_than_a_thousand(tmp_path: Path) -> None:
    few, many = (
        int(subprocess.check_output([sys.executable, "-c", MANY, tmp_path / "plan", count], text=True))
        for count in ("1000", "200000")
    )

    assert many - few < 4096  # kB


def test_a_plan_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    plan.write(path, HEAD, [ENTRY])

    def entries() -> Iterator[Entry]:
        yield from [ENTRY] * 5
        raise SettingsError("the archive has gone away")

    with pytest.raises(SettingsError, match="gone away"):
        plan.write(path, HEAD, entries())

    assert list(plan.entries_of(path)) == [ENTRY]
    assert list(tmp_path.iterdir()) == [path]


def test_a_plan_is_for_its_owner_alone_while_it_is_written_and_after(tmp_path: Path) -> None:
    modes = []

    def entries() -> Iterator[Entry]:
        modes.extend(path.stat().st_mode & 0o777 for path in tmp_path.iterdir())
        yield ENTRY

    old = os.umask(0)
    try:
        plan.write(tmp_path / "plan.jsonl", HEAD, entries())
    finally:
        os.umask(old)

    assert [*modes, (tmp_path / "plan.jsonl").stat().st_mode & 0o777] == [0o600, 0o600]


def test_a_plan_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("fsync"), fsync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda draft, path: (done.append("name"), replace(draft, path))[1])

    plan.write(tmp_path / "plan.jsonl", HEAD, [ENTRY])

    assert done == ["fsync", "name", "fsync"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent/plan.jsonl: cannot be written \(No such file or directory\)"):
        plan.write(tmp_path / "absent" / "plan.jsonl", HEAD, [ENTRY])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{not JSON}", "Invalid JSON"),
        (b'{"study": "1.2", "colour": "red"}', "colour = 'red'"),
        (b'{"study": "1.2", "instances": -1}', "instances = -1"),
        (b'{"accession": "A-1"}', "study is absent"),
        (b'{"study": "1.2", "verdict": "perhaps"}', "verdict = 'perhaps'"),
        (b'{"study": "1.2"', "EOF while parsing"),
        (b'{"study": "\xff"}', "invalid unicode"),
        (b'{"study": "\\udcff"}', "lone leading surrogate"),
        (b"x" * (plan.LONGEST_LINE + 1), "longer than 67108864 bytes"),
    ],
    ids=["no JSON", "unknown key", "bad number", "no study", "no verdict", "broken off", "bytes", "surrogate", "long"],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path: Path, line: bytes, fault: str) -> None:
    path = tmp_path / "plan.jsonl"
    plan.write(path, HEAD, [ENTRY] * 3)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))

    with pytest.raises(SettingsError, match=f"line 3 of the plan .*plan.jsonl(?s:.*){fault}"):
        list(plan.entries_of(path))
    assert next(plan.entries_of(path)) == ENTRY


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"study_instance_uid\n1.2.3\n", b"\0" * 128 + b"DICM", b'{"study": "1.2"}\n', b"[1]\n", b"x" * 2**21],
    ids=["empty", "blank", "CSV", "DICOM", "studies alone", "another JSON", "no line"],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_bytes(content)

    for read in (plan.head_of, lambda path: list(plan.entries_of(path))):
        with pytest.raises(SettingsError, match="line 1 of the plan"):
            read(path)


@pytest.mark.parametrize(("mark", "fault"), [({}, "cxrnode_plan is absent"), ({"cxrnode_plan": 2}, "cxrnode_plan = 2")])
def test_a_plan_of_another_kind_is_refused(tmp_path: Path, mark: dict[str, int], fault: str) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text(json.dumps(mark | {"origin": "files", "made_at": "2026-03-01T12:00:00Z"}) + "\n")

    with pytest.raises(SettingsError, match=fault):
        plan.head_of(path)


def test_a_plan_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent.jsonl: cannot be read \(No such file or directory\)"):
        plan.head_of(tmp_path / "absent.jsonl")


@pytest.mark.parametrize(
    "edited",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.replace(b"\n", b"\n\n"),
        lambda content: content.rstrip(b"\n"),
    ],
    ids=["byte order mark", "CRLF", "empty lines", "no last end of line"],
)
def test_a_plan_may_have_been_in_an_editor(tmp_path: Path, edited: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "plan.jsonl"
    plan.write(path, HEAD, [ENTRY, ENTRY])
    path.write_bytes(edited(path.read_bytes()))

    assert plan.head_of(path) == HEAD
    assert list(plan.entries_of(path)) == [ENTRY, ENTRY]


def test_a_study_too_long_to_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LONGEST_LINE", 200)

    with pytest.raises(SettingsError, match="wanted 200 bytes at the most"):
        plan.write(tmp_path / "plan.jsonl", HEAD, [Entry(study="1.2", files=("/films/a",) * 100)])
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_what_the_plan_has(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    plan.write(path, HEAD, [ENTRY])

    assert path.read_text().splitlines()[1] == plan.as_line(ENTRY)
