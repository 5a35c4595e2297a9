"""Judges that are not ours: each says of a file what it finds, and the warnings that we let pass have their reasons."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from cxrnode.headers.header import text, texts
from tests.peers import library, program

NO_LIMITS = [f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("TotalOp", "ExprOp", "ExprGrp")]
"""Else the JDK stops PixelMed's style sheets half-way, and it judges nothing."""

ALLOWED: dict[str, dict[str, str]] = {
    "dciodvfy": {
        r"ContributingEquipmentSequence.*DeviceUID.*not present in standard DICOM IOD":
            "Device UID came into the Contributing Equipment item after this dicom3tools; IHE AI Results asks for it",
        r"Missing attribute or value that would be needed to build DICOMDIR":
            "the source has no such value, and a result never invents one",
        r"Retired Person Name form": "a name without a caret, as the source has it",
        r"Value dubious for this VR": "likewise",
        r"Patient(Size|Weight).*Value is zero": "likewise",
    },
    "dcentvfy": {
        r"Element=<(IssuerOf)?AccessionNumber(Sequence)?> IE <(Study|Series)> versus <(Study|Series)>":
            "noise: the tool files the accession number of an image under its series and of a report under its study",
        r"Attribute present in one instance but not the other":
            "a Type 2 attribute that the source ought to have and has not is present and empty in the result",
    },
    "PixelMed": {
        r'"Measurement Group"\)/CODE \(233604007,SCT,"Pneumonia"\): Content Item not in template':
            "TID 1501 row 11, a qualitative evaluation: the 2022 PixelMed does not know the row yet",
        r'"Measurement Group"\)/TEXT \(121106,DCM,"Comment"\): Content Item not in template':
            "TID 1501 row 12, a qualitative evaluation in words: likewise",
        r'\(130400,DCM,"Geometric purpose of region"\): Content Item not in template':
            "TID 1410 row 15, the purpose of a region: likewise",
    },
    "DCMTK": {
        r"Check for template constraints not yet supported":
            "DCMTK 3.6.7 does not hold a key object selection to its template; PixelMed does",
        r"^W: Testing: |^W: Test passed": "it names the file, and says that it found nothing",
        r"Specific ?Character ?Set": "DCMTK 3.6.7 checks no VR in multi-byte character sets, and says so",
    },
}  # fmt: skip
"""For each judge the warnings that are no fault of ours, and why; whatever else it warns of counts as an error."""

MISJUDGED: dict[str, dict[str, str]] = {
    "PixelMed": {
        r"Template 2010 .*\(113001,DCM,\"Rejected for Quality Reasons\"\): Conditional content item present":
            "TID 2010 row 3 wants a modifier of this title; its style sheet looks for the title where none can stand",
        r"Code \(.*\) not found in context group 100":
            "CID 100 is extensible, and the procedure that was asked for is named as the source names it",
    },
}  # fmt: skip
"""Errors that are the judge's own, each looked into."""
SR, KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.59"
PRESENTATION = "1.2.840.10008.5.1.4.1.1.11.1"


def lines_of(*command: str | Path) -> list[str]:
    """Everything that a program says, line by line."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=False)
    return [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def dciodvfy(path: Path) -> list[str]:
    """Modules and attributes of the IOD, by dicom3tools."""
    return lines_of(program("dciodvfy"), "-new", path)


def dcentvfy(paths: Iterable[Path]) -> list[str]:
    """Whether sources and results agree on patient, study and series, by dicom3tools."""
    return lines_of(program("dcentvfy"), *paths)


def pixelmed(path: Path) -> list[str]:
    """The content tree against its templates; the machine is started once a process, for it takes seconds."""
    said = str(_validator().validate(str(path))).splitlines()
    if not any("IOD validation complete" in line for line in said):
        pytest.fail(f"PixelMed did not get to the end of {path}: {said}")
    return said


def dsrdump(path: Path) -> list[str]:
    """The content tree as DCMTK reads it."""
    return lines_of(program("dsrdump"), "+Pl", path)


def dsr2html(path: Path) -> list[str]:
    """What DCMTK says while it renders the document; a source that names no character set may have used one."""
    return lines_of(program("dsr2html"), "+Ca", "latin-1", path, path.with_suffix(".html"))


def dcmpschk(path: Path) -> list[str]:
    """A presentation state's modules and attributes, by DCMTK."""
    return lines_of(program("dcmpschk"), path)


Judge = Callable[[Path], list[str]]
JUDGES: dict[str, tuple[tuple[str, Judge], ...]] = {
    SR: (("dciodvfy", dciodvfy), ("PixelMed", pixelmed), ("DCMTK", dsrdump), ("DCMTK", dsr2html)),
    KEY_OBJECTS: (("dciodvfy", dciodvfy), ("PixelMed", pixelmed), ("DCMTK", dsrdump), ("DCMTK", dsr2html)),
    PRESENTATION: (("dciodvfy", dciodvfy), ("DCMTK", dcmpschk)),
}
"""Who judges a file of which SOP class; one that is not listed is dciodvfy's alone."""


def judges(result: Dataset, *, templates: bool = True) -> list[tuple[str, Judge]]:
    """The judges of a result, by name; PixelMed only where the content tree is to be held to its `templates`."""
    asked = JUDGES.get(str(result.SOPClassUID), (("dciodvfy", dciodvfy),))
    left_out = set() if templates else {pixelmed}
    if beyond_dcmpschk(result):
        left_out.add(dcmpschk)
    return [(name, judge) for name, judge in asked if judge not in left_out]


def beyond_dcmpschk(result: Dataset) -> bool:
    """Whether the source's own header is what dcmpschk of DCMTK 3.6.7 would object to.

    It counts a name's bytes as characters, and calls a birth date of the year 1800 an error.
    """
    return bool(set(texts(result, "SpecificCharacterSet")) & {"ISO_IR 192", "GB18030"}) or (
        "" < text(result, "PatientBirthDate") < "1850"
    )


def objections(judge: str, lines: Iterable[str]) -> list[str]:
    """The errors, and the warnings for which there is no reason."""
    return [line for line in lines if (_is_error(line) or _is_warning(line)) and _reason(judge, line) is None]


def excused(judge: str, lines: Iterable[str]) -> Mapping[str, int]:
    """How often each reason let a line pass."""
    reasons = (_reason(judge, line) for line in lines if _is_error(line) or _is_warning(line))
    return Counter(reason for reason in reasons if reason)


def _is_error(line: str) -> bool:
    return bool(re.search(r"\berror\b|^E:|^F:", line, re.IGNORECASE))


def _is_warning(line: str) -> bool:
    return bool(re.search(r"\bwarning\b|^W:", line, re.IGNORECASE))


def _reason(judge: str, line: str) -> str | None:
    known = MISJUDGED.get(judge, {}) if _is_error(line) else ALLOWED[judge]
    return next((reason for pattern, reason in known.items() if re.search(pattern, line)), None)


@cache
def _validator() -> Any:
    jar = library("/usr/share/java/pixelmed.jar", "libpixelmed-java")
    program("java")
    import jpype

    options = [*NO_LIMITS, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]
    jpype.startJVM(*options, classpath=[str(jar)])
    return jpype.JClass("com.pixelmed.validate.DicomSRValidator")()
