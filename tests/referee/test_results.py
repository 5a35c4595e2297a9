"""Judges that are not ours look at every kind of result: no error, and no warning without its reason."""

import re
import subprocess
import warnings
from collections.abc import Iterable
from pathlib import Path

import pytest
from pydicom import dcmread

from cxrnode.results.encode import encode
from tests.peers import library, program
from tests.readings import analysed
from tests.studies import STUDIES, ReadStudy

DCIODVFY_WARNINGS = {
    r"ContributingEquipmentSequence.*DeviceUID.*not present in standard DICOM IOD":
        "Device UID came into the Contributing Equipment item after this dicom3tools; IHE AI Results asks for it",
}  # fmt: skip
ABSENT_IN_THE_SOURCE = {
    r"Missing attribute or value that would be needed to build DICOMDIR":
        "the source has no such value, and a result never invents one",
}  # fmt: skip
ODD_IN_THE_SOURCE = {
    r"Retired Person Name form": "a name without a caret, as the source has it",
    r"Value dubious for this VR": "likewise",
    r"Patient(Size|Weight).*Value is zero": "likewise",
}
DCENTVFY_WARNINGS = {
    r"Element=<(IssuerOf)?AccessionNumber(Sequence)?> IE <(Study|Series)> versus <(Study|Series)>":
        "noise: the tool files the accession number of an image under its series and of a report under its study",
    r"Attribute present in one instance but not the other":
        "a Type 2 attribute that the source ought to have and has not is present and empty in the result",
}  # fmt: skip
PIXELMED_WARNINGS = {
    r'"Measurement Group"\)/CODE \(233604007,SCT,"Pneumonia"\): Content Item not in template':
        "TID 1501 row 11, a qualitative evaluation: the 2022 PixelMed does not know the row yet",
    r'"Measurement Group"\)/TEXT \(121106,DCM,"Comment"\): Content Item not in template':
        "TID 1501 row 12, a qualitative evaluation in words: likewise",
}  # fmt: skip
DCMTK_WARNINGS = {r"Specific ?Character ?Set": "DCMTK 3.6.7 checks no VR in multi-byte character sets, and says so"}
NO_LIMITS = [f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("TotalOp", "ExprOp", "ExprGrp")]
"""Else the JDK stops PixelMed's style sheet half-way, and it judges nothing."""

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # on the odd values that some sources have


def lines_of(*command: str | Path) -> list[str]:
    """Everything that the judge says, line by line."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    return [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def dciodvfy(path: Path) -> list[str]:
    return lines_of(program("dciodvfy"), "-new", path)


def pixelmed(path: Path) -> list[str]:
    jar = library("/usr/share/java/pixelmed.jar", "libpixelmed-java")
    return lines_of(program("java"), *NO_LIMITS, "-cp", jar, "com.pixelmed.validate.DicomSRValidator", path)


def objections(lines: Iterable[str], *allowed: dict[str, str]) -> list[str]:
    """The errors, and the warnings for which there is no reason."""
    patterns = [pattern for reasons in allowed for pattern in reasons]
    return [
        line
        for line in lines
        if re.search(r"\berror\b|^E:|^F:", line, re.IGNORECASE)
        or (re.search(r"\bwarning\b|^W:", line, re.IGNORECASE) and not any(re.search(one, line) for one in patterns))
    ]


@pytest.mark.parametrize("name", STUDIES)
def test_dciodvfy_finds_nothing_in_any_object(name: str, tmp_path: Path) -> None:
    for path in STUDIES[name]().write_results(tmp_path):
        assert objections(dciodvfy(path), DCIODVFY_WARNINGS, ABSENT_IN_THE_SOURCE if "bare" in name else {}) == []


@pytest.mark.parametrize("name", STUDIES)
def test_dcentvfy_finds_source_and_results_to_be_of_one_study(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]()
    paths = [*study.write_sources(tmp_path), *study.write_results(tmp_path)]

    assert objections(lines_of(program("dcentvfy"), *paths), DCENTVFY_WARNINGS) == []


@pytest.mark.parametrize("name", STUDIES)
def test_dcmtk_reads_the_report(name: str, tmp_path: Path) -> None:
    report, *_ = STUDIES[name]().write_results(tmp_path)

    said = lines_of(program("dsrdump"), "+Pl", report)

    assert objections(said, DCMTK_WARNINGS) == []
    assert any("(121106,DCM" in line or "Comment" in line for line in said)


def test_dcmtk_renders_the_report_for_a_reader(tmp_path: Path) -> None:
    report, *_ = STUDIES["Latin 1"]().write_results(tmp_path)
    page = tmp_path / "page.html"

    assert objections(lines_of(program("dsr2html"), report, page)) == []

    assert "POSITIVE for pneumonia: probability 0.900" in page.read_text(encoding="latin-1")
    assert "NOT FOR PRIMARY DIAGNOSIS" in page.read_text(encoding="latin-1")


def test_pixelmed_finds_a_report_of_every_outcome_to_keep_its_template(tmp_path: Path) -> None:
    report, *_ = STUDIES["superseding"]().write_results(tmp_path)

    said = pixelmed(report)

    assert "Found Root Template TID_1500 (MeasurementReport)" in said
    assert "IOD validation complete" in said
    assert objections(said, PIXELMED_WARNINGS) == []


def test_dciodvfy_listens(tmp_path: Path) -> None:
    report, *_ = STUDIES["positive"]().write_results(tmp_path)
    dataset = dcmread(report)
    del dataset.CompletionFlag
    report.write_bytes(encode(dataset))

    assert any("CompletionFlag" in line for line in objections(dciodvfy(report), DCIODVFY_WARNINGS))


def test_pixelmed_listens(tmp_path: Path) -> None:
    report, *_ = STUDIES["refused"]().write_results(tmp_path)
    dataset = dcmread(report)
    group = next(item for item in dataset.ContentSequence if "ContentSequence" in item).ContentSequence[0]
    group.RelationshipType = "HAS PROPERTIES"
    report.write_bytes(encode(dataset))

    assert objections(pixelmed(report), PIXELMED_WARNINGS) != []


def test_dciodvfy_finds_nothing_in_results_of_real_films(shared_data: Path, tmp_path: Path) -> None:
    films = sorted(path for path in (shared_data / "dicom" / "chest").iterdir() if path.is_file())
    assert films
    for path in films:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # real headers have values that pydicom remarks on
            source = dcmread(path)
            results = ReadStudy((source,), (analysed(source),)).write_results(tmp_path)

        for result in results:
            allowed = (DCIODVFY_WARNINGS, ABSENT_IN_THE_SOURCE, ODD_IN_THE_SOURCE)
            assert objections(dciodvfy(result), *allowed) == [], path.name
