"""check: each archive of the settings is tried as it will be used, and what is wrong with one is said."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrnode.check.looking import Result, look_at, looks
from cxrnode.settings import Settings
from cxrnode.settings.archive import Archive
from tests import shelves
from tests.movers import Mover
from tests.orthanc import Orthanc, running_orthanc
from tests.webpacs import Page, WebPacs


def looked(archive: Archive, calling_ae: str = "CXRNODE") -> Result:
    settings = Settings.model_validate({"node": {"ae_title": calling_ae}, "archives": [archive.model_dump()]})
    ((what, look),) = (one for one in looks(settings) if one[0].startswith("archive"))
    return look_at(what, look)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), web=True, DicomAlwaysAllowEcho=True) as running:
        yield running


@pytest.mark.parametrize(
    ("retrieve", "told"),
    [
        ("move", "answers C-ECHO and C-FIND, and offers C-MOVE"),
        ("get", "answers C-ECHO and C-FIND, and offers C-GET"),
        ("web", "/dicom-web) answers a search"),
    ],
)
def test_orthanc_is_well(orthanc: Orthanc, retrieve: str, told: str) -> None:
    result = looked(orthanc.archive(retrieve))

    assert (result.what, result.well) == ("archive orthanc", True)
    assert told in result.told


def test_a_pacs_that_answers_an_echo_and_knows_no_such_ae_title_is_wrong(orthanc: Orthanc) -> None:
    """Red where only the contexts are looked at: Orthanc accepts those of anybody who may echo."""
    result = looked(orthanc.archive(), "STRANGER")

    assert not result.well
    assert "wanted STRANGER entered there" in result.told


def test_a_pacs_that_cannot_retrieve_as_the_settings_say_is_wrong() -> None:
    with Mover(offers=False).listening() as mover:
        result = looked(shelves.archive(mover))

    assert (result.well, result.told.partition(", ")[2]) == (False, "but does not offer C-MOVE")


def test_a_web_service_with_another_password_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    with WebPacs(lambda _path, _query: Page(status=401)).listening() as pacs:
        result = looked(pacs.archive(user="node", password_file=tmp_path / "password"))

    assert not result.well
    assert "HTTP 401: it wants another user or password" in result.told
