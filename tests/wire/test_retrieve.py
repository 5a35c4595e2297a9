"""retrieve: a study by C-MOVE and by C-GET from real PACSs, and what is made of those that answer anything else."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, RLELossless

from cxrnode.deliver import send
from cxrnode.errors import PeerRefused, PeerUnavailable, SpoolFull
from cxrnode.headers.opening import data_set_at
from cxrnode.peers.retrieve import Retrieved, get, move, not_offered
from cxrnode.peers.storable import GET_CONTEXTS
from cxrnode.settings.archive import Archive
from tests import shelves
from tests.builders import CR, SC, make_cxr
from tests.dcmqrscp import running_dcmqrscp
from tests.fakes import FakePacs
from tests.movers import Mover, Says
from tests.nodes import saved
from tests.orthanc import running_orthanc

STUDY = "1.2.826.9.1"
GONE = "1.2.826.9.99"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A study of three films, of a class and a transfer syntax each: DX, CR, and SC with its pixels compressed."""
    folder = tmp_path_factory.mktemp("films")
    films = [make_cxr(StudyInstanceUID=STUDY, SOPClassUID=uid) for uid in (make_cxr().SOPClassUID, CR, SC)]
    films[2].compress(RLELossless)
    return [saved(film, folder / f"{number}.dcm") for number, film in enumerate(films)]


@pytest.fixture(scope="module")
def node() -> Iterator[FakePacs]:
    """Where C-MOVE sends to."""
    with FakePacs().listening() as receiver:
        yield receiver


@pytest.fixture(scope="module", params=["orthanc", "dcmqrscp"])
def pacs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, files: list[Path], node: FakePacs
) -> Iterator[Archive]:
    """A real PACS with the study; dcmqrscp has only what is not compressed, as it takes no more by default."""
    folder = tmp_path_factory.mktemp("pacs")
    if request.param == "orthanc":
        with running_orthanc(folder, node.port, DicomAlwaysAllowEcho=True) as orthanc:
            send(files, orthanc.destination, "CXRNODE", lambda _index, _sent: None)
            yield orthanc.archive()
    else:
        with running_dcmqrscp(folder, files[:2], node.port) as dcmqrscp:
            yield dcmqrscp.archive()


@pytest.fixture
def by_get(pacs: Archive) -> Archive:
    return pacs.model_copy(update={"retrieve": "get"})


def test_a_real_pacs_moves_a_study_to_the_node(pacs: Archive, node: FakePacs) -> None:
    node.stored.clear()
    count = {"orthanc": 3, "dcmqrscp": 2}[pacs.name]

    assert not_offered(pacs, "CXRNODE") == []
    assert move(pacs, "CXRNODE", "CXRNODE", STUDY) == Retrieved(count, 0)
    assert [instance.StudyInstanceUID for instance in node.stored] == [STUDY] * count


def test_a_real_pacs_gives_a_study_and_every_instance_is_whole_and_as_it_was(
    by_get: Archive, files: list[Path]
) -> None:
    came: list[bytes] = []

    got = get(by_get, "CXRNODE", STUDY, lambda content: came.append(content) or 0)  # type: ignore[func-returns-value]

    known = {data_set(file.read_bytes()): file for file in files[: len(came)]}
    assert got == Retrieved(len(came), 0)
    assert len(came) == {"orthanc": 3, "dcmqrscp": 2}[by_get.name]
    assert {data_set(content) for content in came} == set(known)
    for content in came:
        assert pydicom.dcmread(BytesIO(content)).pixel_array.shape == (256, 240)


def data_set(content: bytes) -> tuple[str, bytes]:
    """The transfer syntax and the data set: what must not change on the way."""
    syntax, at = data_set_at(content)
    return syntax, content[at:]


def test_a_study_that_vanished_has_no_images(pacs: Archive, by_get: Archive) -> None:
    """Orthanc answers 0xC000 (red without the question whether it is gone), dcmqrscp success without an image."""
    assert move(pacs, "CXRNODE", "CXRNODE", GONE) == Retrieved(0, 0)
    assert get(by_get, "CXRNODE", GONE, lambda _content: 0) == Retrieved(0, 0)


def test_a_destination_that_the_pacs_does_not_know_is_said_with_what_to_enter(pacs: Archive) -> None:
    with pytest.raises(PeerRefused, match=r"AE title.*entered there.* 0x(A801|C000)") as caught:
        move(pacs, "CXRNODE", "NOBODY", STUDY)

    assert caught.value.status == {"orthanc": 0xC000, "dcmqrscp": 0xA801}[pacs.name]
    assert "NOBODY" in str(caught.value)


@pytest.mark.parametrize("pacs", ["orthanc"], indirect=True)  # dcmqrscp is asked by anybody
def test_an_ae_title_that_orthanc_does_not_know_is_told_as_the_likely_cause(pacs: Archive, by_get: Archive) -> None:
    with pytest.raises(PeerUnavailable, match="wanted STRANGER entered there"):
        move(pacs, "STRANGER", "CXRNODE", STUDY)
    with pytest.raises(PeerUnavailable, match="wanted STRANGER entered there"):
        get(by_get, "STRANGER", STUDY, lambda _content: 0)


def test_what_the_node_does_not_keep_counts_as_failed(by_get: Archive) -> None:
    answers = itertools.chain([0x0000], itertools.repeat(0xA700))

    got = get(by_get, "CXRNODE", STUDY, lambda _content: next(answers))

    count = {"orthanc": 3, "dcmqrscp": 2}[by_get.name]
    assert got == Retrieved(1, count - 1, f"{count - 1} of {count} images from {by_get.name} could not be kept")
    got = get(by_get, "CXRNODE", STUDY, lambda _content: 0xA700)
    assert (got.completed, got.failed) == (0, count)


def test_what_the_taker_raises_ends_the_association_and_is_raised(by_get: Archive) -> None:
    taken = []

    def take(content: bytes) -> int:
        taken.append(content)
        raise SpoolFull("no room")

    with pytest.raises(SpoolFull, match="no room"):
        get(by_get, "CXRNODE", STUDY, take)
    assert len(taken) == 1


def test_what_dcmqrscp_cannot_send_is_counted(tmp_path: Path, files: list[Path]) -> None:
    with FakePacs(statuses=[0xA700]).listening() as full, running_dcmqrscp(tmp_path, files[:2], full.port) as dcmqrscp:
        got = move(dcmqrscp.archive(), "CXRNODE", "CXRNODE", STUDY)

    assert got == Retrieved(1, 1, "1 of 2 images could not be sent by dcmqrscp (0xB000)")


def test_the_contexts_of_c_get_fit_into_one_association_and_have_the_radiographs_in_every_common_syntax() -> None:
    assert len(GET_CONTEXTS) <= 128
    for uid in (CR, SC, make_cxr().SOPClassUID, make_cxr().SOPClassUID + ".1"):
        assert {(uid, "1.2.840.10008.1.2"), (uid, "1.2.840.10008.1.2.1"), (uid, str(JPEG2000Lossless))} <= GET_CONTEXTS


def moved(mover: Mover, **settings: object) -> Retrieved:
    with mover.listening():
        return move(shelves.archive(mover, **settings), "CXRNODE", "CXRNODE", STUDY)


def got(mover: Mover, take: Any = lambda _content: 0, **settings: object) -> Retrieved:
    with mover.listening():
        return get(shelves.archive(mover, retrieve="get", **settings), "CXRNODE", STUDY, take)


@pytest.mark.parametrize(
    ("said", "came"),
    [
        ([Says(0x0000, 3, 0, 0)], Retrieved(3, 0)),
        ([Says(0xFF00, 1, 0, 0, 2), Says(0x0000, 2, 0, 1)], Retrieved(3, 0)),
        ([Says(0xFF00, 3, 0, 0, 0), Says(0x0000)], Retrieved(3, 0)),
        ([Says(0x0000)], Retrieved(0, 0)),
        ([Says(0x0000, 0, 0, 0)], Retrieved(0, 0)),
        ([Says(0xB000, 2, 1, 0)], Retrieved(2, 1, "1 of 3 images could not be sent by fake (0xB000)")),
        ([Says(0xB000)], Retrieved(0, 1, "1 of 1 images could not be sent by fake (0xB000)")),
        ([Says(0x0000, 2, 1, 0)], Retrieved(2, 1, "1 of 3 images could not be sent by fake (0x0000)")),
    ],
)
def test_a_move_has_what_the_pacs_says_last(said: list[Says], came: Retrieved) -> None:
    assert moved(Mover(says=said)) == came


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA701, "out of resources"),
        (0xA702, "out of resources"),
        (0xA801, "knows no move destination CXRNODE; wanted this AE title entered there"),
        (0xA900, "takes no such identifier"),
        (0xC001, "may not know AE title CXRNODE"),
        (0x0122, "does not offer this service"),
        (0x0124, "wanted CXRNODE entered there as one that may retrieve"),
        (0xFE00, "could not send it"),
    ],
)
def test_a_failure_is_a_refusal_with_its_status_and_what_to_do(status: int, words: str) -> None:
    with pytest.raises(PeerRefused, match=words) as caught:
        moved(Mover(says=[Says(0xFF00, 0, 0, 0, 3), Says(status, 0, 3, 0)], has=[STUDY]))

    assert caught.value.status == status
    assert f"0x{status:04X}" in str(caught.value)


def test_a_failure_on_a_study_that_the_pacs_no_longer_knows_is_none() -> None:
    assert moved(Mover(says=[Says(0xC000, 0, 0, 0)])) == Retrieved(0, 0)


def test_a_pacs_that_offers_no_retrieval_refuses() -> None:
    mover = Mover(offers=False)
    with mover.listening():
        assert not_offered(shelves.archive(mover), "CXRNODE") == ["C-MOVE"]
        assert not_offered(shelves.archive(mover, retrieve="get"), "CXRNODE") == ["C-GET"]
    with pytest.raises(PeerRefused, match="no presentation context for C-MOVE"):
        moved(mover)
    with pytest.raises(PeerRefused, match="no presentation context for C-GET"):
        got(mover)


def test_a_pacs_that_falls_silent_is_left() -> None:
    with pytest.raises(PeerUnavailable, match="no answer to C-MOVE within 1 s"):
        moved(Mover(says=[Says(0xFF00, 1, 0, 0, 2)], hangs_s=3), timeout_s=1)
    with pytest.raises(PeerUnavailable, match="no answer to C-GET within 1 s"):
        got(Mover(sends=lambda: iter([3]), hangs_s=3), timeout_s=1)


def test_a_pacs_that_hangs_up_is_unavailable() -> None:
    with pytest.raises(PeerUnavailable, match="in the middle of its answers to C-MOVE"):
        moved(Mover(says=[Says(0xFF00, 1, 0, 0, 2)], drops=True))
    with pytest.raises(PeerUnavailable, match="ended the association"):
        moved(Mover(drops=True))


def still_pending() -> Iterator[Says]:
    while True:
        time.sleep(0.05)
        yield Says(0xFF00, 1, 0, 0, 2)


def counting() -> Iterator[Says]:
    for number in itertools.count():
        yield Says(0xFF00, number % 60_000, 0, 0, 1)


def test_a_pacs_that_comes_no_further_is_left() -> None:
    """Red (it never ends) without the limit of time since something changed."""
    with pytest.raises(PeerUnavailable, match="without end, and comes no further"):
        moved(Mover(says=still_pending), timeout_s=0.5)


def test_a_pacs_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red without MOST_INSTANCES in _followed and in _taken."""
    monkeypatch.setattr("cxrnode.peers.retrieve.MOST_INSTANCES", 50)
    with pytest.raises(PeerUnavailable, match="without end"):
        moved(Mover(says=counting))

    film, taken = make_cxr(StudyInstanceUID=STUDY), Counter[int]()

    def endless() -> Iterator[Any]:
        yield 65535  # how many are to come
        yield from itertools.repeat((0xFF00, film))

    def take(content: bytes) -> int:
        taken[len(content)] += 1
        return 0

    with pytest.raises(PeerUnavailable, match="does not come to an end"):
        got(Mover(sends=endless), take)
    assert taken.total() == 50


def test_an_image_too_large_ends_the_retrieval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red without the Allowance of get; it is renewed for each, so that three of half the size pass."""
    film = make_cxr(StudyInstanceUID=STUDY)
    size = len(film.PixelData)
    films = [make_cxr(StudyInstanceUID=STUDY) for _ in range(3)]

    def sending() -> Iterator[Any]:
        yield len(films)
        yield from ((0xFF00, one) for one in films)

    monkeypatch.setattr("cxrnode.peers.retrieve.LARGEST_INSTANCE", 2 * size)
    assert got(Mover(sends=sending)) == Retrieved(3, 0)
    monkeypatch.setattr("cxrnode.peers.retrieve.LARGEST_INSTANCE", size // 2)
    with pytest.raises(PeerUnavailable):
        got(Mover(sends=sending))


def test_a_pacs_that_cannot_be_reached_is_unavailable() -> None:
    mover = Mover()
    with mover.listening():
        archive = shelves.archive(mover)
    with pytest.raises(PeerUnavailable, match="cannot be reached"):
        move(archive, "CXRNODE", "CXRNODE", STUDY)


def test_several_studies_are_fetched_at_a_time_each_to_its_own(by_get: Archive) -> None:
    came: dict[int, list[bytes]] = {number: [] for number in range(4)}
    threads = [
        threading.Thread(
            target=get, args=(by_get, "CXRNODE", STUDY, lambda content, n=number: came[n].append(content) or 0)
        )
        for number in came
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert {len(contents) for contents in came.values()} == {{"orthanc": 3, "dcmqrscp": 2}[by_get.name]}
