"""web: the studies of a PACS over DICOMweb, from a real Orthanc and from servers that answer anything else."""

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import RLELossless

from cxrnode.deliver import send
from cxrnode.errors import PeerRefused, PeerUnavailable, SettingsError, SpoolFull
from cxrnode.headers.opening import data_set_at
from cxrnode.peers import web
from cxrnode.peers.find import find_studies, resolve
from cxrnode.peers.retrieve import Retrieved
from cxrnode.plans.criteria import Criteria
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.settings.archive import Archive
from tests.builders import CR, SC, make_cxr
from tests.nodes import saved
from tests.orthanc import running_orthanc
from tests.shelves import FIRST, Shelf, studies
from tests.webpacs import BOUNDARY, MULTIPART, Page, WebPacs, as_json, of_shelf, parts, password

STUDY, FOOT = "1.2.826.9.1", "1.2.826.9.2"
DAY = timedelta(days=1)
WEEK = Criteria(FIRST, FIRST + 6 * DAY)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A study of three films, the last with its pixels compressed, and one of a foot."""
    folder = tmp_path_factory.mktemp("films")
    films = [
        make_cxr(StudyInstanceUID=STUDY, AccessionNumber="A1", SOPClassUID=uid)
        for uid in (make_cxr().SOPClassUID, CR, SC)
    ]
    films[2].compress(RLELossless)
    foot = {"AccessionNumber": "A2", "StudyDate": "20260105", "BodyPartExamined": "FOOT", "StudyDescription": "Foot"}
    films.append(make_cxr(StudyInstanceUID=FOOT, **foot))
    return [saved(film, folder / f"{number}.dcm") for number, film in enumerate(films)]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, files: list[Path]) -> Iterator[Archive]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), web=True) as running:
        send(files, running.destination, "CXRNODE", lambda _index, _sent: None)
        yield running.archive("web")


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        (Criteria(), [STUDY, FOOT]),
        (WEEK, [STUDY, FOOT]),
        (Criteria(FIRST, FIRST + 2 * DAY), [STUDY]),
        (Criteria(FIRST, FIRST + 6 * DAY, modalities=("DX", "CR")), [STUDY, FOOT]),
        (Criteria(FIRST, FIRST + 6 * DAY, modalities=("CT",)), []),
        (Criteria(FIRST, FIRST + 6 * DAY, description="F*t"), [FOOT]),
        (Criteria(FIRST, FIRST + 6 * DAY, body_part="CHEST"), [STUDY]),
    ],
)
def test_orthanc_is_searched(orthanc: Archive, criteria: Criteria, found: list[str]) -> None:
    assert [entry.study for entry in find_studies(orthanc, "CXRNODE", criteria)] == found


def test_orthanc_resolves_names(orthanc: Archive) -> None:
    entries = list(resolve(orthanc, "CXRNODE", ["A2", "A9", STUDY, "1.2.3.4.5.6.7.8.9"]))

    assert entries[0] == Entry(study=FOOT, accession="A2", date="20260105", instances=1)
    assert entries[2] == Entry(study=STUDY, accession="A1", date="20260102", instances=3)
    assert [entry.verdict for entry in entries] == [None, Verdict.NOT_FOUND, None, Verdict.NOT_FOUND]


def test_orthanc_gives_a_study_and_every_instance_is_whole_and_as_it_was(orthanc: Archive, files: list[Path]) -> None:
    came: list[bytes] = []

    def take(content: bytes) -> int:
        came.append(content)
        return 0x0000

    assert web.get_study(orthanc, STUDY, take) == Retrieved(3, 0)
    assert {data_set(content) for content in came} == {data_set(file.read_bytes()) for file in files[:3]}
    for content in came:
        assert pydicom.dcmread(BytesIO(content)).pixel_array.shape == (256, 240)


def data_set(content: bytes) -> tuple[str, bytes]:
    syntax, at = data_set_at(content)
    return syntax, content[at:]


def test_a_study_that_vanished_has_no_images_and_an_address_that_is_wrong_is_said(orthanc: Archive) -> None:
    assert web.get_study(orthanc, "1.2.3", lambda _content: 0) == Retrieved(0, 0)
    web.offers(orthanc)

    elsewhere = orthanc.model_copy(update={"url": orthanc.url.replace("dicom-web", "nothing")})
    for ask in (lambda: web.offers(elsewhere), lambda: web.get_study(elsewhere, STUDY, lambda _content: 0)):
        with pytest.raises(PeerRefused, match="HTTP 404: it has nothing at this address; wanted the root") as caught:
            ask()
        assert caught.value.status == 404


def test_a_server_that_is_away_is_unavailable_and_one_that_refuses_is_there() -> None:
    with WebPacs(lambda _path, _query: Page(status=403)).listening() as pacs:
        archive = pacs.archive()
        assert web.answers(archive)
    assert not web.answers(archive)
    with pytest.raises(PeerUnavailable, match="cannot be reached"):
        web.get_study(archive, STUDY, lambda _content: 0)


def searched(answer: Callable[[str, dict[str, str]], Page], criteria: Criteria = WEEK) -> list[Entry]:
    with WebPacs(answer).listening() as pacs:
        return list(find_studies(pacs.archive(), "CXRNODE", criteria))


def test_what_is_asked_for_is_matched_and_returned_and_nothing_of_the_patient_is_asked() -> None:
    with WebPacs(lambda _path, _query: as_json([])).listening() as pacs:
        criteria = Criteria(FIRST, FIRST, modalities=("DX",), description="Thorax p.a.*")
        assert list(find_studies(pacs.archive(), "CXRNODE", criteria)) == []

    ((path, query),) = pacs.asked
    returned = {"StudyInstanceUID", "AccessionNumber", "StudyTime", "NumberOfStudyRelatedInstances"}
    assert (path, set(query.pop("includefield").split(","))) == ("/dicom-web/studies", returned)
    assert query == {
        "StudyDate": "20260101",
        "ModalitiesInStudy": "DX",
        "StudyDescription": "Thorax p.a.*",
        "limit": "1000",
        "offset": "0",
    }


def test_many_matches_come_in_pages() -> None:
    shelf = Shelf(studies(2500))

    entries = searched(of_shelf(shelf))

    assert len({entry.study for entry in entries}) == len(entries) == 2500
    assert len(searched(of_shelf(shelf, pages=False))) == 2500


@pytest.mark.parametrize(("status", "pages"), [(413, True), (299, True), (299, False), (0, False)])
def test_an_answer_that_is_capped_is_asked_for_in_halves(status: int, pages: bool) -> None:  # noqa: FBT001
    """0: it does not say that it is."""
    shelf = Shelf(studies(600, days=5), cap=100, capped=status)
    answer = of_shelf(shelf, pages=pages)

    entries = searched(lambda path, query: answer(path, query) if status else silent(answer(path, query)))

    assert len({entry.study for entry in entries}) == len(entries) == 600


def silent(page: Page) -> Page:
    return Page(page.body)


@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b"{", b'"text"', b"7", b"\xff\xfe", b"[" * 100_000, b'{"0020000D": 1', b"null"]
)
def test_a_page_that_is_no_list_of_matches_is_no_answer(body: bytes) -> None:
    with pytest.raises(PeerUnavailable, match=r"cannot be understood|no list"):
        searched(lambda _path, _query: Page([body]))


def test_matches_that_make_no_sense_have_a_verdict_and_the_others_are_found() -> None:
    good, other, wrong = (json.loads(study.to_json()) for study in studies(3))
    wrong["00080020"] = {"vr": "DA", "Value": [{"a": 1}, None, 7]}
    wrong["00201208"] = {"vr": "IS", "Value": ["many"]}
    wrong["00080061"] = "DX"
    rows: list[Any] = [good, None, 7, [], {}, {"0020000D": {"vr": "UI"}}, {"0020000D": {"Value": "1.2"}}, wrong, other]

    entries = searched(lambda _path, _query: Page([json.dumps(rows).encode()]), Criteria(FIRST, FIRST))

    assert [(entry.study, entry.instances) for entry in entries if entry.study] == [
        *(("1.2.826.7.3", None), ("1.2.826.7.1", 1), ("1.2.826.7.2", 2)),
    ]
    assert [entry.verdict for entry in entries if not entry.study] == [Verdict.NOT_FOUND] * 6


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 507])
def test_a_server_that_is_busy_or_broken_is_to_be_asked_again(status: int) -> None:
    answer = always(Page(status=status))
    for ask in (lambda: searched(answer), lambda: fetched(answer)):
        with pytest.raises(PeerUnavailable, match=f"HTTP {status}"):
            ask()


@pytest.mark.parametrize("status", [400, 401, 403, 406, 409, 499, 501])
def test_a_server_that_refuses_is_a_refusal_with_its_status(status: int) -> None:
    answer = always(Page(status=status))
    for ask in (lambda: searched(answer), lambda: fetched(answer)):
        with pytest.raises(PeerRefused, match=f"HTTP {status}") as caught:
            ask()
        assert caught.value.status == status


def always(page: Page) -> Callable[[str, dict[str, str]], Page]:
    return lambda _path, _query: page


def test_no_error_shows_what_was_asked() -> None:
    """Red where the library's own error, which shows the address, is passed on."""
    for answer in (always(Page(status=403)), always(Page([b"{"]))):
        with WebPacs(answer).listening() as pacs, pytest.raises((PeerRefused, PeerUnavailable)) as caught:
            list(resolve(pacs.archive(), "CXRNODE", ["SECRET1"]))
        assert "SECRET1" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_patients_identifiers_are_sent_to_no_other_address() -> None:
    with WebPacs(always(as_json([]))).listening() as other:
        elsewhere = {"Location": f"http://127.0.0.1:{other.port}/"}
        with pytest.raises(PeerRefused, match="sends us elsewhere"):
            searched(always(Page(status=302, headers=elsewhere)))
    assert other.asked == []


def test_the_password_comes_from_its_file_and_is_in_no_error(tmp_path: Path) -> None:
    def answer(_path: str, _query: dict[str, str]) -> Page:
        known = "Basic " + base64.b64encode("node:hünter2".encode()).decode()
        return as_json([]) if pacs.authorization[-1] == known else Page(status=401)

    with WebPacs(answer).listening() as pacs:
        web.offers(pacs.archive(user="node", password_file=password(tmp_path, "hünter2\n")))
        wrong = pacs.archive(user="node", password_file=password(tmp_path, "hunter3"))
        with pytest.raises(PeerRefused, match="wants another user or password") as caught:
            web.offers(wrong)
        assert "hunter3" not in str(caught.value)
        (tmp_path / "password").unlink()
        with pytest.raises(SettingsError, match=r"password_file of web: .*password cannot be read"):
            web.offers(wrong)
        with pytest.raises(SettingsError, match=r"ca_file of web: .*ca\.pem is no file"):
            web.offers(pacs.archive(ca_file=tmp_path / "ca.pem"))


def fetched(
    answer: Callable[[str, dict[str, str]], Page], take: Callable[[bytes], int] = lambda _content: 0, **settings: object
) -> Retrieved:
    with WebPacs(answer).listening() as pacs:
        return web.get_study(pacs.archive(**settings), STUDY, take)


@pytest.mark.parametrize("page", [Page(status=204), parts([])])
def test_an_answer_without_parts_is_a_study_without_images(page: Page) -> None:
    assert fetched(always(page)) == Retrieved(0, 0)


def test_a_study_that_the_server_lists_and_does_not_give_is_a_refusal() -> None:
    """It is no study that vanished."""

    def answer(path: str, _query: dict[str, str]) -> Page:
        return Page(status=404) if path.endswith(STUDY) else as_json(studies(1))

    with pytest.raises(PeerRefused, match="HTTP 404"):
        fetched(answer)


def test_one_damaged_image_among_good_ones_is_given_too_and_counts_as_failed() -> None:
    came: list[bytes] = []

    def take(content: bytes) -> int:
        came.append(content)
        return 0x0000 if content.startswith(b"good") else 0xC000

    contents = [b"good 1", b"bad", b"", b"good 2 \r\n--a-bound \r\n\r\n"]

    assert fetched(always(parts(contents)), take) == Retrieved(2, 2, "2 of 4 images from web could not be kept")
    assert came == contents


def test_an_instance_that_comes_alone_is_taken() -> None:
    came: list[bytes] = []

    def take(content: bytes) -> int:
        came.append(content)
        return 0

    assert fetched(always(Page([b"one ", b"film"], kind="application/dicom")), take) == Retrieved(1, 0)
    assert came == [b"one film"]


def test_an_answer_that_is_cut_gives_what_was_whole_and_no_half_image() -> None:
    """Red (a half image is given) without the look at the last delimiter."""
    came: list[bytes] = []

    def take(content: bytes) -> int:
        came.append(content)
        return 0

    with pytest.raises(PeerUnavailable, match="in the middle of a study"):
        fetched(always(parts([b"whole", b"hal"], closed=False)), take)
    assert came == [b"whole"]


@pytest.mark.parametrize(
    "page",
    [
        Page([b"<html>"], kind="text/html"),
        Page([b"--x\r\nno headers\r\n--x--"], kind="multipart/related; boundary=x"),
        Page([f"--{BOUNDARY}\r\n".encode(), f"\r\n--{BOUNDARY}--".encode()], kind=MULTIPART),
    ],
)
def test_a_body_that_is_no_list_of_parts_is_no_answer(page: Page) -> None:
    with pytest.raises(PeerUnavailable, match="cannot be understood"):
        fetched(always(page))


def test_what_the_taker_raises_is_raised() -> None:
    def take(_content: bytes) -> int:
        raise SpoolFull("no room")

    with pytest.raises(SpoolFull):
        fetched(always(parts([b"one"])), take)


def slowly(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        time.sleep(0.1)
        yield piece


def test_a_server_that_is_silent_or_drips_is_left() -> None:
    def mute(_path: str, _query: dict[str, str]) -> Page:
        time.sleep(1.5)
        return as_json([])

    for ask in (lambda: list(find_studies(pacs.archive(timeout_s=0.5), "CXRNODE", WEEK)), lambda: fetch(pacs)):
        with WebPacs(mute).listening() as pacs, pytest.raises(PeerUnavailable, match=r"gave no answer within 0\.5 s"):
            ask()
    with (
        WebPacs(always(Page(slowly(itertools.repeat(b"x")), kind=MULTIPART))).listening() as pacs,
        pytest.raises(PeerUnavailable, match="too slowly"),
    ):
        fetch(pacs)


def fetch(pacs: WebPacs) -> Retrieved:
    return web.get_study(pacs.archive(timeout_s=0.5), STUDY, lambda _content: 0)


def test_a_server_that_falls_silent_within_a_study_is_left() -> None:
    def body() -> Iterator[bytes]:
        yield f"--{BOUNDARY}\r\n\r\nwhole\r\n--{BOUNDARY}\r\n".encode()
        time.sleep(1.5)

    with (
        WebPacs(always(Page(body(), kind=MULTIPART))).listening() as pacs,
        pytest.raises(PeerUnavailable, match="gave no answer within"),
    ):
        fetch(pacs)


def test_a_server_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LARGEST_INSTANCE", 2**20)
    monkeypatch.setattr(web, "LARGEST_PAGE", 2**20)
    monkeypatch.setattr(web, "MOST_INSTANCES", 50)
    with pytest.raises(PeerUnavailable, match="more than a page or an image can hold"):
        fetched(lambda _path, _query: Page(itertools.repeat(b"x" * 2**16), kind=MULTIPART))
    with pytest.raises(PeerUnavailable, match="more than a page or an image can hold"):
        searched(lambda _path, _query: Page(itertools.chain([b"["], itertools.repeat(b" " * 2**16))))
    with pytest.raises(PeerUnavailable, match="does not come to an end"):
        fetched(lambda _path, _query: parts(itertools.repeat(b"x" * 2**15)))
