"""A result's bytes are pydicom's, whichever way they are written."""

from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom import Dataset, dcmread

from cxrnode.family import Family
from cxrnode.results import encode as room
from cxrnode.results.encode import encode
from cxrnode.results.make import Made, Told, make
from tests.bench.running import FAMILIES
from tests.builders import make_cxr
from tests.readings import analysed, context_for, radiograph_of, with_regions


def made(attributes: dict[str, Any]) -> list[Dataset]:
    """One object of each family about one positive film."""
    source = make_cxr(**attributes)
    reading = with_regions(analysed(source, 0.95), source)
    told = Told(source, reading, radiograph_of(source.Rows, source.Columns))
    wanted = dict.fromkeys(type(reading.outcome), frozenset(map(Family, FAMILIES)))
    objects: list[Made] = list(make([told], wanted, context_for(source)))
    return [one.dataset for one in objects]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Wang^XiaoDong=王^小東"},
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
        {"PatientName": "", "PatientID": "", "StudyDescription": "odd"},
    ],
)
def test_the_bytes_are_those_that_pydicom_writes(attributes: dict[str, Any]) -> None:
    """Red when an element's head has a length of the wrong size, or group 2 ends elsewhere."""
    objects = made(attributes)

    assert len(objects) == len(FAMILIES)
    for dataset in objects:
        assert room._is_written(dataset), "else nothing is compared"
        wanted = BytesIO()
        pydicom.dcmwrite(wanted, dcmread(BytesIO(encode(dataset))), enforce_file_format=True)
        slow = BytesIO()
        pydicom.dcmwrite(slow, dataset, enforce_file_format=True)
        assert encode(dataset) == slow.getvalue() == wanted.getvalue()
