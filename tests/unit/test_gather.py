"""Files on a disk become the studies of a plan, and every one of them is accounted for once."""

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from cxrnode.errors import SettingsError, SpoolFull, Unreadable
from cxrnode.plans import beneath, filed
from cxrnode.plans.filed import name_of, open_file, place_of
from cxrnode.plans.gather import Tally, gather
from cxrnode.plans.plan import Entry, Head, Origin, Verdict, entries_of, write
from tests.builders import make_cxr
from tests.memory import MOST_MEMORY

LARGEST = 2**20
PIXELS = np.zeros((16, 16), np.uint16)


def film(path: Path, study: str = "1.2.3", **attributes: object) -> Path:
    """A small film on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    instance = make_cxr(PIXELS, **({"StudyInstanceUID": study} | attributes))
    instance.save_as(path, enforce_file_format=True)
    return path


def gathered(*paths: Path | str, largest: int = LARGEST, folder: Path | None = None) -> tuple[list[Entry], Tally]:
    """The entries of these paths, and the last count; which must agree."""
    tallies: list[Tally] = []
    place = folder or Path(os.environ["PYTEST_SCRATCH"])
    entries = list(gather(paths, folder=place, largest=largest, progress=tallies.append))
    tally = tallies[-1]
    studies = [entry for entry in entries if entry.verdict is None]
    assert sum(len(entry.files) for entry in studies) == tally.images
    assert len(entries) - len(studies) == tally.faults
    assert not list(place.iterdir())
    return entries, tally


@pytest.fixture(autouse=True)
def _scratch(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_SCRATCH", str(tmp_path_factory.mktemp("scratch")))


def reasons(entries: Sequence[Entry]) -> dict[str, str]:
    """The reason of each fault by its file's name."""
    return {Path(entry.files[0]).name: entry.reason for entry in entries if entry.verdict is not None}


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A .zip of these members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_studies_come_by_date_then_uid_with_what_their_headers_tell(tmp_path: Path) -> None:
    films = tmp_path / "films"
    late = film(films / "a" / "1.dcm", "1.2.9", StudyDate="20260201", AccessionNumber="L")
    early = [
        film(films / "b" / "deep" / "er" / "2", "1.2.8", StudyDate="20250101", AccessionNumber="E"),
        film(films / "a" / "0", "1.2.8", StudyDate="20250101", AccessionNumber="E"),
    ]
    same_day = film(films / "3", "1.2.7", StudyDate="20260201", AccessionNumber="")
    undated = film(films / "4", "1.2.1", StudyDate="", AccessionNumber="U")

    entries, tally = gathered(films)

    assert [(entry.study, entry.date, entry.accession, entry.instances) for entry in entries] == [
        ("1.2.8", "20250101", "E", 2),
        ("1.2.7", "20260201", "", 1),
        ("1.2.9", "20260201", "L", 1),
        ("1.2.1", "", "U", 1),
    ]
    assert entries[0].files == (str(early[1]), str(early[0]))
    assert [entry.files for entry in entries[1:]] == [(str(same_day),), (str(late),), (str(undated),)]
    assert entries[0].size == sum(path.stat().st_size for path in early)
    assert tally == Tally(images=5)


def test_what_the_files_of_a_study_tell_differently_does_not_depend_on_their_order(tmp_path: Path) -> None:
    told = [("20260105", "B"), ("20260102", ""), ("", "A")]
    films = [film(tmp_path / f"of {date}", StudyDate=date, AccessionNumber=accession) for date, accession in told]

    for paths in permutations(films):
        ((entry,), _) = gathered(*paths)
        assert (entry.date, entry.accession) == ("20260102", "A")


def test_a_copy_of_an_image_is_another_file_and_no_other_instance(tmp_path: Path) -> None:
    path = film(tmp_path / "films" / "a.dcm")
    shutil.copy(path, path.with_name("copy.dcm"))

    ((entry,), _) = gathered(path.parent)

    assert (len(entry.files), entry.instances) == (2, 1)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("private", [0, 100_000, 2_000_000], ids=["short", "long", "very long"])
def test_a_header_is_read_however_long_it_is_and_however_written(tmp_path: Path, syntax: str, private: int) -> None:
    path = tmp_path / "film"
    instance = make_cxr(PIXELS, StudyInstanceUID="1.2.3")
    instance.add_new(0x00090010, "LO", "MADE UP")
    instance.add_new(0x00091001, "UN", os.urandom(private))
    instance.file_meta.TransferSyntaxUID = syntax
    instance.save_as(path, enforce_file_format=True)

    ((entry,), _) = gathered(path, largest=2**22)

    assert (entry.study, entry.instances, entry.size) == ("1.2.3", 1, path.stat().st_size)


def test_a_uid_across_the_end_of_what_is_read_first_is_whole(tmp_path: Path) -> None:
    instance = make_cxr(PIXELS, StudyInstanceUID="1.2.3.456789")
    instance.add_new(0x00090010, "LO", "MADE UP")
    instance.add_new(0x00091001, "UN", b"")
    instance.save_as(tmp_path / "film", enforce_file_format=True)
    at = (tmp_path / "film").read_bytes().index(b"1.2.3.456789")

    instance[0x00091001].value = bytes((2**16 - at - 6) // 2 * 2)
    instance.save_as(tmp_path / "film", enforce_file_format=True)

    assert 0 < 2**16 - (tmp_path / "film").read_bytes().index(b"1.2.3.456789") < 12
    ((entry,), _) = gathered(tmp_path / "film")
    assert entry.study == "1.2.3.456789"


def test_pixels_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film"
    make_cxr(np.zeros((1000, 1000), np.uint16), StudyInstanceUID="1.2.3").save_as(path, enforce_file_format=True)
    read: list[int] = []
    first = filed.first_bytes
    monkeypatch.setattr(beneath, "first_bytes", lambda at, count: (read.append(count), first(at, count))[1])
    monkeypatch.setattr(beneath, "read_path", lambda *_: pytest.fail("the whole file is read"))

    ((entry,), _) = gathered(path, largest=2**22)

    assert entry.study == "1.2.3"
    assert read == [2**16]


def test_what_cannot_be_used_is_a_verdict_with_the_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    films = tmp_path / "films"
    good = film(films / "good.dcm")
    film(films / "no study", StudyInstanceUID=None)
    film(films / "no class", SOPClassUID=None)
    film(films / "odd uid", SOPInstanceUID="../../etc")
    film(films / "large", PatientComments="x" * LARGEST)
    (films / "broken").write_bytes(good.read_bytes()[:400])
    (films / "empty.dcm").write_bytes(b"")
    (films / "text.DCM").write_bytes(b"hello")
    (films / "bare").write_bytes(good.read_bytes()[132:])
    (films / "barer").write_bytes(b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + b"\0" * 100)
    (films / "gone").symlink_to(films / "nowhere")

    entries, tally = gathered(films)

    assert [entry.files for entry in entries if entry.verdict is None] == [(str(good),)]
    assert all(entry.reason.startswith(f"{entry.files[0]}: ") for entry in entries[1:])
    assert {entry.verdict for entry in entries[1:]} == {Verdict.FAILED}
    told = reasons(entries)
    assert {name: wanted in told[name] for name, wanted in {
        "no study": "StudyInstanceUID (0020,000D) is absent; wanted a UID",
        "no class": "SOPClassUID (0008,0016) is absent",
        "odd uid": "SOPInstanceUID (0008,0018) is ../../etc",
        "large": f"wanted {LARGEST} at the most (receiving.largest_instance_mb)",
        "broken": "it breaks off before SeriesInstanceUID (0020,000E) and Rows (0028,0010); wanted a whole image",
        "empty.dcm": "it has no DICM at byte 128",
        "text.DCM": "it has no DICM at byte 128",
        "bare": "it has no DICM at byte 128",
        "barer": "it has no DICM at byte 128",
        "nowhere": "No such file or directory",
    }.items()} == dict.fromkeys(told, True)  # fmt: skip
    assert tally == Tally(images=1, faults=10)


def test_a_file_that_breaks_off_within_a_uid_is_not_taken_for_another_study(tmp_path: Path) -> None:
    """A parser gives the part of the value that is there."""
    content = film(tmp_path / "film", "1.2.3.456789").read_bytes()
    end = content.index(b"1.2.3.456789") + 12
    for cut in range(end - 12, end + 8):
        (tmp_path / "cut").write_bytes(content[:cut])
        entries, _ = gathered(tmp_path / "cut")
        assert list(reasons(entries)) == ["cut"], cut


def test_what_is_no_dicom_by_intent_is_counted_and_no_more(tmp_path: Path) -> None:
    films = tmp_path / "films"
    film(films / "good")
    for name in ("notes.txt", "labels.json", "Thumbs.db", ".DS_Store", "._good", "README"):
        (films / name).write_bytes(name.encode() * 50)
    (films / "table.docx").write_bytes(zipped(tmp_path / "docx", {"word/document.xml": b"<xml/>"}).read_bytes())

    entries, tally = gathered(films)

    assert len(entries) == 1
    assert tally == Tally(images=1, others=7, containers=1)
    assert tally.in_words == "9 files: 1 DICOM, 0 that cannot be used, 1 DICOMDIR or .zip archive, 7 no DICOM"


def test_a_file_that_is_given_by_its_path_must_be_dicom(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")

    for paths in ([notes], [tmp_path, notes], [notes, tmp_path]):
        entries, tally = gathered(*paths)
        assert list(reasons(entries)) == ["notes.txt"]
        assert tally.files == tally.faults == 1


def test_paths_may_be_globs_and_overlap(tmp_path: Path) -> None:
    films = tmp_path / "films"
    for year in ("2024", "2025"):
        for number in range(2):
            film(films / year / "chest [AP]" / f"{number}.dcm", f"1.{year}")

    entries, tally = gathered(f"{films}/*/chest*", f"{films}/**/0.dcm", films / "2025" / "chest [AP]")

    assert {entry.study: len(entry.files) for entry in entries} == {"1.2024": 2, "1.2025": 2}
    assert tally == Tally(images=4, repeated=4)


def test_every_path_that_is_not_there_is_named_before_anything_is_read(tmp_path: Path) -> None:
    film(tmp_path / "film")

    with pytest.raises(SettingsError, match=r"absent, .*\*\.dcm; wanted folders"):
        gather([tmp_path / "absent", tmp_path, f"{tmp_path}/*.dcm"], folder=tmp_path, largest=LARGEST)
    with pytest.raises(SettingsError, match="no path is given"):
        gather([], folder=tmp_path, largest=LARGEST)


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    films, store = tmp_path / "films", tmp_path / "store"
    image = film(store / "study" / "image")
    films.mkdir()
    (films / "one").symlink_to(store)
    (films / "two").symlink_to(store / "study")
    (films / "file").symlink_to(image)
    (store / "up").symlink_to(films)
    (store / "self").symlink_to(store)

    ((entry,), tally) = gathered(films)

    assert entry.files == (str(image),)
    assert tally.files == 1


def test_a_pipe_is_not_waited_for_and_a_folder_that_is_shut_is_told(tmp_path: Path) -> None:
    films = tmp_path / "films"
    film(films / "good")
    os.mkfifo(films / "pipe")

    entries, tally = gathered(films)

    assert "pipe: it is no regular file" in reasons(entries)["pipe"]
    assert tally == Tally(images=1, faults=1)


@pytest.mark.parametrize(
    "name",
    [b"M\xfcller.dcm", "胸部.dcm".encode(), b"a::b", b"a:", b"%41", b"a\nb", b"x.zip::y", b" "],
    ids=repr,
)
def test_whatever_a_file_is_called_it_is_found_again_from_its_plan(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path / "films") + b"/" + name))
    content = film(path).read_bytes()
    zipped(path.parent / "x.zip", {"y": film(tmp_path / "y", "1.2.4").read_bytes()})

    entries, _ = gathered(path.parent)
    write(tmp_path / "plan", Head(origin=Origin.FILES, made_at="2026-01-01T00:00:00Z"), entries)  # type: ignore[arg-type]

    first, second = entries_of(tmp_path / "plan")
    assert open_file(first.files[0], LARGEST, "1.2.3") == content
    assert open_file(second.files[0], LARGEST, "1.2.4") == (tmp_path / "y").read_bytes()


@given(
    path=st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1)
    | st.binary(min_size=1).filter(lambda raw: not {0, 47} & set(raw)).map(os.fsdecode),
    member=st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)
@example(path="a:", member="b")
@example(path="a::b", member=None)
def test_a_name_tells_one_file(path: str, member: str | None) -> None:
    name = name_of(Path("/films") / path, member)

    assert place_of(name) == (Path("/films") / path, member)
    assert name.encode().decode() == name


def test_a_zip_is_read_where_it_lies(tmp_path: Path) -> None:
    study = {
        f"a/{n}/film": film(tmp_path / "made" / str(n), "1.2.5", StudyDate="20200101").read_bytes() for n in (1, 2)
    }
    films = tmp_path / "films"
    films.mkdir()
    archive = zipped(films / "study.zip", {**study, "a/empty/": b"", "a/readme.txt": b"hello", "bad.dcm": b"hello"})
    before = sorted(tmp_path.rglob("*"))

    entries, tally = gathered(films)

    assert sorted(tmp_path.rglob("*")) == before
    assert entries[0].files == tuple(f"{archive}::{member}" for member in study)
    assert (entries[0].study, entries[0].date, entries[0].instances) == ("1.2.5", "20200101", 2)
    assert entries[0].size == sum(map(len, study.values()))
    assert [open_file(name, LARGEST) for name in entries[0].files] == list(study.values())
    assert reasons(entries)["study.zip::bad.dcm"].endswith(
        "it has no DICM at byte 128; wanted a DICOM file (PS3.10 7.1)"
    )
    assert tally == Tally(images=2, faults=1, containers=1, others=1)


def test_an_encrypted_zip_is_a_verdict(tmp_path: Path) -> None:
    films = tmp_path / "films"
    good = film(films / "good.dcm", "1.2.4")
    film(tmp_path / "secret" / "film.dcm")
    film(tmp_path / "open" / "film.dcm")
    archive = films / "mixed.zip"
    subprocess.run(["zip", "-q", "-r", "-P", "word", archive, "secret"], cwd=tmp_path, check=True)
    subprocess.run(["zip", "-q", "-r", archive, "open"], cwd=tmp_path, check=True)

    entries, tally = gathered(films)

    assert [entry.files for entry in entries] == [(f"{archive}::open/film.dcm",), (str(good),), (str(archive),)]
    assert entries[2].reason == f"{archive}: 1 of its 2 files are encrypted; wanted a .zip without a password"
    assert tally == Tally(images=2, faults=1)
    with pytest.raises(Unreadable, match="it is encrypted"):
        open_file(f"{archive}::secret/film.dcm", LARGEST)


def test_damaged_zips_are_verdicts_and_the_rest_goes_on(tmp_path: Path) -> None:
    films = tmp_path / "films"
    good = film(films / "good.dcm")
    content = zipped(films / "whole.zip", {"film": film(tmp_path / "film", "1.2.4").read_bytes()}).read_bytes()
    (films / "whole.zip").unlink()
    (films / "cut.zip").write_bytes(content[: len(content) // 2])
    (films / "empty.zip").write_bytes(b"")
    (films / "text.zip").write_bytes(b"no archive")
    (films / "head.zip").write_bytes(content[:34] + b"\xff" * 40 + content[74:])
    zipped(films / "outer.zip", {"inner.zip": content})

    entries, tally = gathered(films)

    assert entries[0].files == (str(good),)
    told = reasons(entries)
    for name in ("cut.zip", "empty.zip", "text.zip"):
        assert "it is no whole .zip" in told[name]
    assert "it is damaged" in told["head.zip::film"]
    assert "an archive within an archive" in told["outer.zip::inner.zip"]
    assert tally == Tally(images=1, faults=5, containers=2)


def test_a_checksum_that_is_wrong_is_found_when_the_file_is_opened(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"film": film(tmp_path / "film").read_bytes()}, zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    content[len(content) - 200] ^= 1
    archive.write_bytes(content)

    ((entry,), _) = gathered(archive)

    with pytest.raises(Unreadable, match=r"it is damaged .*CRC"):
        open_file(entry.files[0], LARGEST)


def test_a_bomb_does_not_go_off(tmp_path: Path) -> None:
    """A quarter of a gigabyte in some kB: neither a header nor a file is unpacked further than the limit."""
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made, made.open("film.dcm", "w") as member:
        member.write(film(tmp_path / "film").read_bytes())
        for _ in range(16):
            member.write(bytes(2**24))
    assert archive.stat().st_size < 2**19
    shutil.copy(archive, tmp_path / "lies.zip")
    content = bytearray((tmp_path / "lies.zip").read_bytes())
    content[content.index(b"PK\1\2") + 24 :][:4] = b"\0\1\0\0"
    (tmp_path / "lies.zip").write_bytes(content)

    program = (
        MOST_MEMORY
        + "import sys; from pathlib import Path; from cxrnode.plans.gather import gather; before = most_memory();"
        f"found = gather([Path(name) for name in sys.argv[2:]], folder=Path(sys.argv[1]), largest={LARGEST});"
        "print(*(entry.reason for entry in found), most_memory() - before, sep='\\n')"
    )
    paths = [tmp_path / "scratch", archive, tmp_path / "lies.zip"]
    told = subprocess.check_output([sys.executable, "-c", program, *paths], text=True).splitlines()

    assert f"wanted {LARGEST} at the most" in told[0]
    assert int(told[-1]) < 32_000  # kB


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_packed_so_that_it_may_fill_the_memory_at_once_is_not_unpacked(tmp_path: Path, method: int) -> None:
    entries, _ = gathered(zipped(tmp_path / "a.zip", {"film": film(tmp_path / "film").read_bytes()}, method))

    assert entries[0].reason.endswith(f"compressed by method {method}; wanted stored or deflated")


def test_an_archive_that_lists_too_many_members_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "many.zip", {str(number): b"" for number in range(1000)})
    monkeypatch.setattr(filed, "MOST_LISTED", 10_000)
    monkeypatch.setattr(zipfile, "ZipFile", None)

    entries, _ = gathered(archive)

    assert "its list of members holds 48890 bytes; wanted 10000 at the most" in entries[0].reason


def test_the_list_of_an_archive_of_more_than_65535_members_is_measured(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "many.zip", {str(n): b"" for n in range(66_000)}, zipfile.ZIP_STORED)
    listed = 66_000 * 46 + sum(len(str(n)) for n in range(66_000))

    with archive.open("rb") as file:
        assert filed._list_size(file, archive.stat().st_size) == listed


def medium(folder: Path, files: Sequence[Path]) -> Path:
    """A DICOMDIR as pydicom writes it."""
    files_there = FileSet()
    for path in files:
        files_there.add(path)
    files_there.write(folder)
    files_there._stage["t"].cleanup()  # else the collector does, and pytest hears of it
    return folder / "DICOMDIR"


def medium_of_dcmtk(folder: Path, files: Sequence[Path]) -> Path:
    """A DICOMDIR as DCMTK writes it."""
    for number, path in enumerate(files):
        (folder / "IMAGES").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "IMAGES" / f"IM{number}")
    subprocess.run(
        ["dcmgpdir", "-Nxc", "+r", "+m", "+id", folder, "+D", folder / "DICOMDIR"], check=True, capture_output=True
    )
    return folder / "DICOMDIR"


@pytest.fixture(params=[medium, medium_of_dcmtk], ids=["pydicom", "DCMTK"])
def disc(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A DICOMDIR with three images of two studies, and a file beside them that it does not name."""
    if request.param is medium_of_dcmtk and shutil.which("dcmgpdir") is None:
        pytest.skip("dcmgpdir (DCMTK) is not installed")
    files = [film(tmp_path / "made" / str(n), f"1.2.{n % 2}", InstanceNumber=n) for n in range(3)]
    directory: Path = request.param(tmp_path / "disc", files)
    film(tmp_path / "disc" / "UNNAMED", "1.2.9")
    return directory


def test_a_dicomdir_stands_for_the_files_that_it_names(disc: Path) -> None:
    entries, tally = gathered(disc)

    assert {entry.study: entry.instances for entry in entries} == {"1.2.0": 2, "1.2.1": 1}
    assert tally == Tally(images=3, containers=1)


def test_a_folder_with_a_dicomdir_gives_all_its_files_once(disc: Path) -> None:
    entries, tally = gathered(disc.parent)

    assert {entry.study: entry.instances for entry in entries} == {"1.2.0": 2, "1.2.1": 1, "1.2.9": 1}
    assert tally == Tally(images=4, containers=1, repeated=3)


@pytest.mark.parametrize("whole_folder", [False, True])
def test_files_that_a_dicomdir_names_and_that_are_missing_are_told(disc: Path, *, whole_folder: bool) -> None:
    ((first, *_), _) = gathered(disc)
    gone = Path(first.files[0])
    gone.unlink()

    entries, tally = gathered(disc.parent if whole_folder else disc)

    (missing,) = [entry for entry in entries if entry.verdict is not None]
    assert (missing.verdict, missing.files) == (Verdict.NOT_FOUND, (str(gone),))
    assert missing.reason == f"{gone}: it is not there; wanted it because {disc} names it"
    assert (tally.images, tally.faults) == (2 + whole_folder, 1)


def test_a_file_that_a_dicomdir_names_must_be_dicom(disc: Path) -> None:
    ((first, *_), _) = gathered(disc)
    Path(first.files[0]).write_bytes(b"hello")

    for path in (disc, disc.parent):
        entries, _ = gathered(path)
        assert "it has no DICM" in reasons(entries)[Path(first.files[0]).name]


def test_a_record_that_is_out_of_use_names_nothing(tmp_path: Path) -> None:
    directory = medium(tmp_path / "disc", [film(tmp_path / name) for name in ("1", "2")])
    content = FileSet(directory)
    gone, *_ = content
    Path(gone.path).unlink()
    gone.node._record.RecordInUseFlag = 0
    content._ds.save_as(directory, enforce_file_format=True)
    content._stage["t"].cleanup()

    _, tally = gathered(directory)

    assert tally == Tally(images=1, containers=1)


def test_media_are_mounted_in_lower_case_and_with_versions(disc: Path) -> None:
    for path in sorted(disc.parent.rglob("*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(f"{path.name.lower()};1" if path.is_file() else path.name.lower()))

    entries, tally = gathered(disc.with_name("dicomdir;1"))

    assert (len(entries), tally) == (2, Tally(images=3, containers=1))


def test_a_dicomdir_in_a_zip_tells_what_the_zip_lacks(disc: Path) -> None:
    ((first, *_), _) = gathered(disc)
    archive = disc.parent.with_name("disc.zip")
    members = {f"cd/{path.relative_to(disc.parent)}": path for path in disc.parent.rglob("*") if path.is_file()}
    gone = next(name for name, path in members.items() if str(path) == first.files[0])
    zipped(archive, {name: path.read_bytes() for name, path in members.items() if name != gone})

    entries, tally = gathered(archive)

    assert [entry.files for entry in entries if entry.verdict is Verdict.NOT_FOUND] == [(f"{archive}::{gone}",)]
    assert tally == Tally(images=3, faults=1, containers=2)


@pytest.mark.parametrize("parts", [["..", "secret"], [".", "x"], ["a/../../secret"], ["/etc", "passwd"]], ids=str)
def test_a_dicomdir_cannot_climb_out_of_its_folder(tmp_path: Path, parts: list[str]) -> None:
    film(tmp_path / "secret")
    directory = medium(tmp_path / "disc", [film(tmp_path / "made")])
    content = FileSet(directory)
    record = next(record for record in content._tree if record.record_type == "PATIENT")
    record._record.ReferencedFileID = parts
    content._ds.save_as(directory, enforce_file_format=True)
    content._stage["t"].cleanup()

    entries, tally = gathered(directory)

    (fault,) = [entry for entry in entries if entry.verdict is not None]
    assert "this is not below it; wanted a File ID" in fault.reason
    assert (tally.images, tally.containers) == (1, 1)


def test_what_was_planned_and_is_no_longer_so_is_unreadable_with_the_reason(tmp_path: Path) -> None:
    path = film(tmp_path / "film")
    archive = zipped(tmp_path / "a.zip", {"film": path.read_bytes()})
    name, member = str(path), f"{archive}::film"
    assert open_file(name, LARGEST, "1.2.3") == open_file(member, LARGEST, "1.2.3")

    for each in (name, member):
        with pytest.raises(Unreadable, match=r"it holds .* bytes; wanted 100 at the most"):
            open_file(each, 100)
        with pytest.raises(Unreadable, match=r"its Study Instance UID is now 1.2.3; wanted 1.2.4 as planned"):
            open_file(each, LARGEST, "1.2.4")
    zipped(archive, {"another": b""})
    with pytest.raises(Unreadable, match="the archive has no such member"):
        open_file(member, LARGEST)
    archive.unlink()
    path.unlink()
    for each in (name, member, "/a\0b", str(tmp_path)):
        with pytest.raises(Unreadable, match=r"cannot be read|no regular file"):
            open_file(each, LARGEST)


def test_a_file_that_grows_while_it_is_read_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "film")
    fstat = os.fstat

    def grown(handle: int) -> os.stat_result:
        before = fstat(handle)
        with path.open("ab") as file:
            file.write(b"more")
        return before

    monkeypatch.setattr(os, "fstat", grown)
    with pytest.raises(Unreadable, match="it changed while it was read"):
        open_file(str(path), LARGEST)


def test_several_threads_read_one_archive(tmp_path: Path) -> None:
    members = {str(number): os.urandom(200_000) for number in range(20)}
    archives = [zipped(tmp_path / f"{number}.zip", members) for number in range(4)]  # more than are kept open
    wrong: list[str] = []

    def read(archive: Path) -> None:
        for name, content in members.items():
            if open_file(f"{archive}::{name}", LARGEST) != content:
                wrong.append(name)

    threads = [threading.Thread(target=read, args=(archive,)) for archive in archives * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_list_of_files_is_for_its_owner_alone_and_leaves_nothing(tmp_path: Path) -> None:
    film(tmp_path / "films" / "film")
    folder = tmp_path / "scratch"
    opened = gather([tmp_path / "films"], folder=folder, largest=LARGEST, progress=lambda _: seen.extend(open_files()))
    seen: list[tuple[str, int]] = []

    def open_files() -> list[tuple[str, int]]:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        there = [(str(link.readlink()), link) for link in links]
        return [(to, link.stat().st_mode & 0o777) for to, link in there if to.startswith(f"{folder}/")]

    next(opened)

    assert {(name.removeprefix(f"{folder}/.scratch-")[8:], mode) for name, mode in seen} == {(" (deleted)", 0o600)}
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700
    opened.close()  # type: ignore[attr-defined]  # a generator
    assert open_files() == []


def test_a_disk_without_room_for_the_list_is_named(tmp_path: Path) -> None:
    film(tmp_path / "film")
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(SpoolFull, match="file: no file can be made there"):
        list(gather([tmp_path / "film"], folder=tmp_path / "file", largest=LARGEST))


MANY = (
    MOST_MEMORY
    + """
import sys
from pathlib import Path
from cxrnode.plans.gather import gather

count = sum(len(entry.files) for entry in gather([Path(sys.argv[1])], folder=Path(sys.argv[2]), largest=2**20))
print(count, most_memory())
"""
)


def test_five_thousand_files_take_no_more_memory_than_a_hundred(tmp_path: Path) -> None:
    study, image = "1.2.3.40000", "1.2.3.50000"
    content = film(tmp_path / "film", study, SOPInstanceUID=image).read_bytes()
    for number in range(5000):
        path = tmp_path / "films" / ("few" if number < 100 else "many") / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        uids = content.replace(image.encode(), image[:-4].encode() + b"%04d" % number)
        path.write_bytes(uids.replace(study.encode(), study[:-4].encode() + b"%04d" % (number % 2000)))

    def gathered_apart(paths: Path) -> tuple[int, int]:
        program = [sys.executable, "-c", MANY, paths, tmp_path.with_name("scratch")]
        count, memory = subprocess.check_output(program, text=True).split()
        return int(count), int(memory)

    few, many = gathered_apart(tmp_path / "films" / "few"), gathered_apart(tmp_path / "films")

    assert (few[0], many[0]) == (100, 5000)
    assert many[1] - few[1] < 4096  # kB, most of them SQLite's cache


def plant(path: Path, kind: str, study: int) -> tuple[str, Tally]:
    """A thing of one kind at a path; the file that is to be told of it, empty where none is, and what it counts as."""
    content = film(path, f"1.2.{study}", SOPInstanceUID="1.2.77" if kind == "copy" else generate_uid()).read_bytes()
    if kind in {"good", "copy"}:
        return str(path), Tally(images=1)
    path.unlink()
    if kind == "link":
        path.symlink_to(path.parent)
        return "", Tally()
    if kind == "zip":
        zipped(path, {"a/b": content, "c.txt": b"x"})
        return f"{path}::a/b", Tally(images=1, containers=1, others=1)
    if kind == "encrypted":
        content = bytearray(zipped(path, {"a": b"x"}).read_bytes())
        content[6] |= 1
        content[content.index(b"PK\1\2") + 8] |= 1
    elif kind == "no study":
        content = film(path, StudyInstanceUID=None).read_bytes()
    else:
        cut = 140 + 60 * study
        content = {"other": b"x" * 200, "called.dcm": b"", "broken": content[:cut], "bad zip": b"PK\3\4" + b"x" * 99}[
            kind
        ]
    path.write_bytes(content)
    return ("", Tally(others=1)) if kind == "other" else (str(path), Tally(faults=1))


KINDS = ("good", "copy", "other", "called.dcm", "broken", "no study", "zip", "bad zip", "encrypted", "link")


@given(things=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.sampled_from(["", "a", "a/b"]))))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_there_is_every_file_is_accounted_for_once(
    tmp_path_factory: pytest.TempPathFactory, things: list[tuple[str, int, str]]
) -> None:
    films = tmp_path_factory.mktemp("films")
    planted = [
        plant(films / folder / f"{number} {kind}", kind, study) for number, (kind, study, folder) in enumerate(things)
    ]

    entries, tally = gathered(films)

    assert Counter(name for entry in entries for name in entry.files) == Counter(name for name, _ in planted if name)
    for kind in ("images", "faults", "containers", "others"):
        assert getattr(tally, kind) == sum(getattr(each, kind) for _, each in planted), kind
    studies = [entry.study for entry in entries if entry.verdict is None]
    assert len(studies) == len(set(studies))
