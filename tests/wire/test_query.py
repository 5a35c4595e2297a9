"""query: how many instances a PACS says that it has of a study, and what is made of one that says anything else."""

import itertools
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset

from cxrnode.deliver import send
from cxrnode.errors import PeerRefused, PeerUnavailable
from cxrnode.peers.query import LARGEST_ANSWER, answers_queries, count_instances
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.nodes import saved
from tests.orthanc import running_orthanc
from tests.sources import Answers, Source, match

UID = "1.2.826.1"


def asked(source: Source) -> int | None:
    return count_instances(source.sender().source("127.0.0.1"), "CXRNODE", UID)


def test_orthanc_says_how_many_instances_of_a_study_it_has(tmp_path: Path) -> None:
    with running_orthanc(tmp_path) as orthanc:
        films = [make_cxr() for _ in range(3)]
        for film in films:
            film.StudyInstanceUID = films[0].StudyInstanceUID
        files = [saved(film, tmp_path / f"{number}.dcm") for number, film in enumerate(films)]
        send(files, orthanc.destination, "CXRNODE", lambda _index, _sent: None)

        assert answers_queries(orthanc.destination, "CXRNODE")
        assert count_instances(orthanc.destination, "CXRNODE", films[0].StudyInstanceUID) == 3
        assert count_instances(orthanc.destination, "CXRNODE", UID) is None


def test_it_is_asked_for_one_study_and_its_count_and_for_nothing_of_the_patient() -> None:
    with Source(counts=[4]).listening() as source:
        assert asked(source) == 4

    (request,) = source.asked
    assert {element.keyword: element.value for element in request} == {
        "QueryRetrieveLevel": "STUDY",
        "StudyInstanceUID": UID,
        "NumberOfStudyRelatedInstances": None,
    }


@pytest.mark.parametrize("count", [0, -4, "four", "", "4.5", "4\\5", "4e3", "99999999999", "4 of 5", "\x00", "٤"])
def test_a_count_that_is_none_is_no_count(count: object) -> None:
    with Source(counts=[count]).listening() as source:
        assert asked(source) is None


def nameless() -> Dataset:
    found = match(UID, 4)
    del found.StudyInstanceUID
    return found


@pytest.mark.parametrize(
    ("matches", "count"),
    [
        ([], None),
        ([match(UID)], None),
        ([match("1.2.3", 4)], None),
        ([match("1.2.3", 9), match(UID, 4)], 4),
        ([match(UID, 4), match(UID, 4)], 4),
        ([match(UID, 4), match(UID, 5)], None),
        ([match(UID, 4), match(UID, "junk")], None),
        ([nameless()], None),
    ],
)
def test_a_source_that_says_different_things_does_not_say(matches: list[Dataset], count: int | None) -> None:
    """Red with `counts.pop() if counts` in count_instances, and without the comparison of the UID in _counts."""
    with Source(answer=lambda _request: ((0xFF00, one) for one in matches)).listening() as source:
        assert asked(source) == count


def endless(_request: Dataset) -> Answers:
    return ((0xFF00, match(UID, 4)) for _ in itertools.count())


def dripping(_request: Dataset) -> Answers:
    for _ in range(60):
        time.sleep(0.3)
        yield 0xFF00, match(UID, 4)


def test_matches_without_end_are_not_listened_to() -> None:
    """Red (it never ends) without the limits in _counts."""
    for answer in (endless, dripping):
        with Source(answer=answer).listening() as source, pytest.raises(PeerUnavailable, match="come to an end"):
            asked(source)


def flooding(_request: Dataset) -> Answers:
    huge = match(UID, 4)
    huge.add_new("ImageComments", "LT", "x" * 2 * LARGEST_ANSWER)
    yield 0xFF00, huge


def test_an_answer_too_long_to_be_one_is_cut_off() -> None:
    """Red without `_limit`."""
    with Source(answer=flooding).listening() as source, pytest.raises(PeerUnavailable):
        asked(source)


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001, 0x0122, 0x1234])
def test_a_failure_is_a_refusal_with_its_status(status: int) -> None:
    with (
        Source(answer=lambda _request: iter([(status, None)])).listening() as source,
        pytest.raises(PeerRefused) as caught,
    ):
        asked(source)
    assert caught.value.status == status


def test_a_peer_that_takes_no_queries_refuses() -> None:
    with Source(offers=False).listening() as source:
        assert not answers_queries(source.sender().source("127.0.0.1"), "CXRNODE")
        with pytest.raises(PeerRefused, match="no presentation context"):
            asked(source)


def test_a_source_that_never_answers_is_unavailable() -> None:
    with Source(gate=threading.Event()).listening() as source:
        with pytest.raises(PeerUnavailable, match="no answer"):
            asked(source)
        source.gate.set()


def nobody(listener: socket.socket) -> None:
    listener.close()


def mute(listener: socket.socket) -> None:
    listener.accept()


def noise(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.sendall(b"\x02\x00\xff\xff\xff\xff" + b"\x00" * 4096)
    connection.close()


@pytest.mark.parametrize("behave", [nobody, mute, noise])
def test_a_peer_that_is_none_is_unavailable(behave: Callable[[socket.socket], None]) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    where = Destination(name="source", ae_title="X", host="127.0.0.1", port=listener.getsockname()[1], timeout_s=1)
    threading.Thread(target=behave, args=(listener,), daemon=True).start()

    with pytest.raises(PeerUnavailable):
        count_instances(where, "CXRNODE", UID)
    listener.close()
