"""A name comes back byte for byte in every family of result, whatever its character set; nothing else leaks."""

import subprocess
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.tag import BaseTag

from tests.builders import make_cxr
from tests.characters import EDGES, NAMES, named, with_private_elements
from tests.peers import program
from tests.readings import outlined
from tests.studies import ReadStudy
from tests.trips import sent

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # on the values that are too long
COPIED = ("SpecificCharacterSet", "PatientName", "ReferringPhysicianName", "PatientID", "AccessionNumber")


def results(source: Dataset, folder: Path) -> list[Path]:
    return ReadStudy((source,), (outlined(source),)).write_results(folder)


def raw(dataset: Dataset, keyword: str) -> object:
    """The value's bytes as they lie in the file."""
    return dataset.get_item(keyword).value


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_back_byte_for_byte_in_every_object(name: str, tmp_path: Path) -> None:
    source = sent(make_cxr(**named(name)))
    written = [raw(sent(source), keyword) if keyword in source else None for keyword in COPIED]

    paths = results(source, tmp_path)

    assert len(paths) == 6
    for path in paths:
        result = dcmread(path)
        assert [raw(result, keyword) if keyword in result else None for keyword in COPIED] == written, path
        assert str(result.PatientName) == NAMES[name][1]


@pytest.mark.parametrize("name", NAMES)
def test_another_reader_sees_the_same_bytes(name: str, tmp_path: Path) -> None:
    source = sent(make_cxr(**named(name)))
    written = bytes(sent(source).get_item("PatientName").value).strip()

    for path in results(source, tmp_path):
        dump = subprocess.run([program("dcmdump"), "-q", "+P", "0010,0010", path], capture_output=True, check=True)
        assert written.replace(b"\x1b", b"") in dump.stdout.replace(b"\x1b", b""), path


@pytest.mark.parametrize("edge", EDGES)
def test_an_unusual_identity_goes_back_as_it_came(edge: str, tmp_path: Path) -> None:
    source = sent(make_cxr(**EDGES[edge]))
    identity = [*COPIED, *(keyword for keyword in EDGES[edge] if keyword != "StudyDescription")]

    for path in results(source, tmp_path):
        result = dcmread(path)
        for keyword in identity:
            assert result.get(keyword) == source.get(keyword), (path, keyword)


def test_a_description_longer_than_the_standard_allows_is_left_out(tmp_path: Path) -> None:
    source = sent(make_cxr(**EDGES["longer than the standard allows"]))

    for path in results(source, tmp_path):
        assert "StudyDescription" not in dcmread(path)


def test_no_private_element_of_the_source_comes_back(tmp_path: Path) -> None:
    source = sent(with_private_elements(make_cxr()))
    assert any(tag.is_private for tag in map(BaseTag, source.keys()))

    for path in results(source, tmp_path):
        assert b"Zzsecret" not in path.read_bytes()
        found: list[BaseTag] = []
        dcmread(path).walk(lambda _dataset, element, found=found: found.append(element.tag))
        assert not any(tag.is_private for tag in found), path
