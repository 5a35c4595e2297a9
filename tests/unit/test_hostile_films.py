"""What the fuzzer of `analyse` found, each by the smallest film that shows it: it spoils nothing but its own study."""

import io
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from cxrnode.analyse import Analysis, analyse
from cxrnode.finding import Outcome
from cxrnode.settings import Settings
from cxrnode.study import Instance, Study
from tests.builders import make_cxr
from tests.fakes import FakeModel

UNREADABLE = "cannot be parsed as DICOM"


def file(instance: FileDataset) -> bytes:
    buffer = io.BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def beside_a_good_one(content: bytes, folder: Path) -> Analysis:
    """What becomes of a film of these bytes, read in one batch with a good one, which is positive all the same."""
    paths = {"bad": folder / "bad.dcm", "good": folder / "good.dcm"}
    paths["bad"].write_bytes(content)
    paths["good"].write_bytes(file(make_cxr()))
    studies = [
        Study(name, f"2.25.{number}", 1, (Instance(name, path, f"2.25.1{number}", "0" * 64),))
        for number, (name, path) in enumerate(paths.items())
    ]
    bad, good = analyse(studies, FakeModel(), Settings(), datetime(2026, 1, 2, tzinfo=UTC))
    assert good.outcome is Outcome.POSITIVE
    return bad


def of_meta_with_a_wrong_length(film: bytes) -> bytes:
    """File Meta Information whose group length is no number of four bytes."""
    return film.replace(struct.pack("<HH2sH", 2, 0, b"UL", 4), struct.pack("<HH2sH", 2, 0, b"UL", 0xFFFF), 1)


def that_does_not_inflate(film: bytes) -> bytes:
    """A film in the deflated transfer syntax that is not deflated."""
    syntax = struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    assert syntax in film
    return film.replace(syntax, struct.pack("<HH2sH", 2, 0x10, b"UI", 22) + b"1.2.840.10008.1.2.1.99")


def that_ends_in_a_length(film: bytes) -> bytes:
    """A film that breaks off within the length of its last element."""
    return film + struct.pack("<HH2sHH", 0xFFFC, 0xFFFC, b"OB", 0, 4)


@pytest.mark.parametrize("spoil", [of_meta_with_a_wrong_length, that_does_not_inflate, that_ends_in_a_length])
def test_a_file_that_no_parser_understands_fails_alone(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    bad = beside_a_good_one(spoil(file(make_cxr())), tmp_path)

    assert bad.outcome is Outcome.FAILED
    assert UNREADABLE in bad.readings[0].reason


def test_a_patient_attribute_of_no_known_vr_is_left_empty_in_the_report(tmp_path: Path) -> None:
    known = struct.pack("<HH2sH", 0x0008, 0x0090, b"PN", 12)
    film = file(make_cxr(ReferringPhysicianName="Zz^Physician"))
    assert known in film

    bad = beside_a_good_one(film.replace(known, known.replace(b"PN", b"QN")), tmp_path)

    assert bad.outcome is Outcome.POSITIVE
    assert bad.objects
