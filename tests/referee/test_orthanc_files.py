"""A real archive takes every object of every outcome, gives back what it was sent, and renders the pictures."""

import io
from collections.abc import Iterator

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset

from cxrnode.deliver import Sent, send
from cxrnode.family import Family
from cxrnode.results.encode import encode
from tests.orthanc import Orthanc, running_orthanc
from tests.studies import STUDIES

PICTURES = (Family.OVERLAY, Family.MAP)


@pytest.fixture(scope="module")
def sent() -> dict[str, tuple[Family, bytes]]:
    """The objects of every made-up study, by SOP Instance UID."""
    made = [one for study in STUDIES.values() for one in study().made()]
    return {str(one.dataset.SOPInstanceUID): (one.family, encode(one.dataset)) for one in made}


@pytest.fixture(scope="module")
def orthanc(sent: dict[str, tuple[Family, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc that holds them all."""
    folder = tmp_path_factory.mktemp("orthanc")
    files = [folder / f"{number}.dcm" for number in range(len(sent))]
    for file, (_, content) in zip(files, sent.values(), strict=True):
        file.write_bytes(content)
    answers: list[Sent] = []
    with running_orthanc(folder) as archive:
        send(files, archive.destination, "CXRNODE", lambda _index, answer: answers.append(answer))
        assert {answer.status for answer in answers} == {0x0000}
        assert len(answers) == len(sent)
        yield archive


def whole(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def test_every_object_comes_back_as_it_was_sent(orthanc: Orthanc, sent: dict[str, tuple[Family, bytes]]) -> None:
    filed = {str(whole(content).SOPInstanceUID): content for content in orthanc.files()}

    assert filed.keys() == sent.keys()
    for uid, (family, content) in sent.items():
        assert whole(filed[uid]) == whole(content), family


def test_results_are_filed_under_their_study_and_one_series_a_family(orthanc: Orthanc) -> None:
    assert len(orthanc.get("/studies")) == len({str(study().sources[0].StudyInstanceUID) for study in STUDIES.values()})
    for series in orthanc.get("/series"):
        tags = orthanc.get(f"/series/{series}/instances-tags?simplify").values()
        assert len({(one["Modality"], one["SeriesDescription"]) for one in tags}) == 1


@pytest.mark.parametrize("family", PICTURES)
def test_a_picture_is_rendered_as_it_was_drawn(
    family: Family, orthanc: Orthanc, sent: dict[str, tuple[Family, bytes]]
) -> None:
    wanted = {uid: whole(content) for uid, (of, content) in sent.items() if of is family}
    assert wanted
    for name in orthanc.get("/instances"):
        uid = orthanc.get(f"/instances/{name}/simplified-tags")["SOPInstanceUID"]
        if uid not in wanted:
            continue
        shown = np.asarray(Image.open(io.BytesIO(orthanc.read(f"/instances/{name}/preview"))), dtype=np.float64)
        drawn = wanted[uid].pixel_array.astype(np.float64)
        assert shown.shape == drawn.shape
        if family is Family.OVERLAY:
            assert np.array_equal(shown, drawn)
        else:  # 16 bits shown in 8, stretched
            assert np.abs(shown - drawn * 255 / drawn.max()).max() <= 1.0
