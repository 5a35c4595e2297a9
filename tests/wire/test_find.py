"""find: the studies of a PACS by criteria and by name, from real ones and from every kind that answers wrongly."""

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydicom import Dataset
from pynetdicom import evt

from cxrnode.deliver import send
from cxrnode.errors import PeerRefused, PeerUnavailable, SettingsError
from cxrnode.peers import cfind
from cxrnode.peers.find import find_studies, resolve
from cxrnode.plans.criteria import Criteria
from cxrnode.plans.plan import Entry, Verdict
from cxrnode.settings.archive import Archive
from tests.builders import make_cxr
from tests.dcmqrscp import running_dcmqrscp
from tests.nodes import saved
from tests.orthanc import running_orthanc
from tests.shelves import FIRST, Shelf, archive, studies, told
from tests.sources import Answers, Source

DAY = timedelta(days=1)
WEEK = Criteria(FIRST, FIRST + 6 * DAY)
STUDIES = {  # by name: the attributes of a film of it
    "first": {"StudyDate": "20260101", "AccessionNumber": "A1", "StudyDescription": "Thorax p.a."},
    "second": {"StudyDate": "20260103", "AccessionNumber": "A2", "StationName": "ROOM2"},
    "foot": {"StudyDate": "20260104", "AccessionNumber": "A3", "BodyPartExamined": "FOOT"},
    "old": {"StudyDate": "20250101", "AccessionNumber": "A4"},
    "ct": {"StudyDate": "20260105", "AccessionNumber": "A5", "Modality": "CT"},
}
UIDS = {name: f"1.2.826.9.{number}" for number, name in enumerate(STUDIES, start=1)}
NAMES = {uid: name for name, uid in UIDS.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The films of STUDIES, two of "second"."""
    folder = tmp_path_factory.mktemp("films")
    made = [make_cxr(StudyInstanceUID=UIDS[name], **told) for name, told in STUDIES.items()]
    made.append(make_cxr(StudyInstanceUID=UIDS["second"], **STUDIES["second"]))
    return [saved(film, folder / f"{number}.dcm") for number, film in enumerate(made)]


@pytest.fixture(scope="module", params=["orthanc", "dcmqrscp"])
def pacs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, files: list[Path]
) -> Iterator[Archive]:
    """A real PACS with STUDIES."""
    folder = tmp_path_factory.mktemp("pacs")
    if request.param == "orthanc":
        with running_orthanc(folder) as orthanc:
            send(files, orthanc.destination, "CXRNODE", lambda _index, _sent: None)
            yield orthanc.archive()
    else:
        with running_dcmqrscp(folder, files) as dcmqrscp:
            yield dcmqrscp.archive()


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        (Criteria(), ["old", "first", "second", "foot", "ct"]),
        (Criteria(FIRST, FIRST + 3 * DAY), ["first", "second", "foot"]),
        (Criteria(FIRST, FIRST + 6 * DAY, modalities=("DX", "CR")), ["first", "second", "foot"]),
        (Criteria(FIRST, FIRST + 6 * DAY, modalities=("CT",)), ["ct"]),
        (Criteria(FIRST, FIRST + 6 * DAY, description="Thor*"), ["first"]),
        (Criteria(FIRST, FIRST + 6 * DAY, modalities=("DX",), body_part="CHEST"), ["first", "second"]),
        (Criteria(FIRST, FIRST + 6 * DAY, station="ROOM2"), ["second"]),
        (Criteria(FIRST - DAY, FIRST - DAY), []),
    ],
)
def test_a_real_pacs_is_searched(pacs: Archive, criteria: Criteria, found: list[str]) -> None:
    """dcmqrscp knows neither body part nor station: nothing is left out for them."""
    entries = list(find_studies(pacs, "CXRNODE", criteria))

    known = criteria if pacs.name == "orthanc" else replace(criteria, body_part="", station="")
    everything = ["first", "second", "foot", *["ct"] * (not criteria.modalities)]
    assert [NAMES[entry.study] for entry in entries] == (found if known == criteria else everything)


def test_a_study_is_told_with_what_the_pacs_knows_of_it(pacs: Archive) -> None:
    (entry,) = find_studies(pacs, "CXRNODE", Criteria(FIRST + 2 * DAY, FIRST + 2 * DAY))

    counted = {"orthanc": 2, "dcmqrscp": None}[pacs.name]
    assert entry == Entry(study=UIDS["second"], accession="A2", date="20260103", instances=counted)


def test_a_list_of_names_is_resolved_and_what_is_unknown_has_a_verdict(pacs: Archive) -> None:
    names = ["A2", UIDS["ct"], "A9", "1.2.3.4.5.6.7.8.9.10", UIDS["second"], " A1 ", "", "A*", "A2", UIDS["foot"]]

    entries = list(resolve(pacs, "CXRNODE", names))

    assert [NAMES.get(entry.study, entry.study or entry.accession) for entry in entries] == [
        *("second", "ct", "A9", "1.2.3.4.5.6.7.8.9.10", "first", "A*", "foot"),
    ]
    assert [entry.accession for entry in entries if not entry.verdict] == ["A2", "A5", "A1", "A3"]
    reasons = [(entry.verdict, entry.reason) for entry in entries if entry.verdict]
    unknown = f"{pacs.name} has no study of this UID or accession number"
    assert reasons[:2] == [(Verdict.NOT_FOUND, unknown)] * 2
    assert "without *, ? and backslash" in reasons[2][1]


def test_an_ae_title_that_orthanc_does_not_know_is_told_as_the_likely_cause(tmp_path: Path) -> None:
    with (
        running_orthanc(tmp_path, DicomAlwaysAllowEcho=True) as orthanc,
        pytest.raises(PeerUnavailable, match="AE title that it does not know; wanted STRANGER entered there"),
    ):
        list(find_studies(orthanc.archive(), "STRANGER", WEEK))


@pytest.mark.parametrize(
    ("dates", "fault"),
    [
        ({"first": FIRST}, "wanted the first and the last day, or neither"),
        ({"first": FIRST, "last": FIRST - DAY}, "wanted the first day not after the last"),
        ({"modalities": ("dx",)}, "modality 'dx'; wanted a code"),
        ({"description": "a\\b"}, "without a backslash"),
        ({"station": "x" * 65}, "at most 64 characters"),
    ],
)
def test_criteria_that_make_no_sense_are_refused(dates: dict[str, date], fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        Criteria(**dates)  # type: ignore[arg-type]


def searched(shelf: Shelf, criteria: Criteria) -> list[Entry]:
    return told(shelf, lambda one: find_studies(one, "CXRNODE", criteria))


def test_many_days_are_asked_about_in_spans_that_grow_and_the_studies_come_by_date() -> None:
    shelf = Shelf(studies(300, days=200))

    entries = searched(shelf, Criteria(FIRST, FIRST + 400 * DAY, modalities=("DX",)))

    assert sorted(entry.study for entry in entries) == sorted(study.StudyInstanceUID for study in shelf.studies)
    assert [entry.date for entry in entries] == sorted(entry.date for entry in entries)
    assert [entry.instances for entry in entries[:2]] == [1, 1]
    assert shelf.questions[0].StudyDate == "20260101"
    assert 5 < len(shelf.questions) < 40


@pytest.mark.parametrize("status", [0xA700, 0x0000])
@pytest.mark.parametrize("dates", [(FIRST, FIRST + 20 * DAY), (None, None)])
def test_an_answer_that_is_capped_is_asked_for_in_halves(status: int, dates: tuple[date, date]) -> None:
    """Red without `_suspicious` where the cap is not said, and without the TooManyError of `ask` where it is."""
    shelf = Shelf(studies(440, days=4), cap=100, capped=status)  # of one day more than are told

    entries = searched(shelf, Criteria(*dates))

    assert len({entry.study for entry in entries}) == len(entries) == 440
    assert [entry.date for entry in entries] == sorted(entry.date for entry in entries)


def test_a_study_without_date_or_time_is_found_beside_an_answer_that_was_capped() -> None:
    undated = studies(2)
    for number, study in enumerate(undated):
        study.StudyInstanceUID = f"1.2.826.5.{number}"
        study.StudyDate = study.StudyTime = ""
    shelf = Shelf([*undated, *studies(150, days=3)], cap=100)

    entries = searched(shelf, Criteria())

    assert len({entry.study for entry in entries}) == len(entries) == 152


def test_a_cap_that_no_narrower_question_gets_below_is_an_error_and_not_a_shorter_list() -> None:
    crowd = studies(300, StudyTime="120000")

    with pytest.raises(PeerRefused, match="more studies than the 100 that it tells of one minute") as caught:
        searched(Shelf(crowd, cap=100), WEEK)
    assert caught.value.status == 0xA700
    with pytest.raises(PeerRefused, match="heeds neither Study Date nor Study Time"):
        searched(Shelf(studies(300, days=40), cap=100, ignored=("StudyDate", "StudyTime")), WEEK)


def test_keys_that_the_pacs_ignores_are_held_against_what_it_tells() -> None:
    others = studies(3, ModalitiesInStudy="CT") + studies(6, StudyDescription="Foot")[3:]
    kept = studies(400, days=200)[6:]
    shelf = Shelf([*others, *kept], ignored=("StudyDate", "ModalitiesInStudy", "StudyDescription"))

    entries = searched(shelf, Criteria(FIRST, FIRST + 9 * DAY, modalities=("DX",), description="chest"))

    wanted = [one for one in kept if FIRST <= date.fromisoformat(one.StudyDate) <= FIRST + 9 * DAY]
    assert sorted(entry.study for entry in entries) == sorted(one.StudyInstanceUID for one in wanted)


def test_a_study_that_comes_twice_is_found_once() -> None:
    """Red without `first_time` in find_studies."""
    twice = studies(20, days=2)
    moved = studies(20, days=2)
    for study in moved:
        study.StudyDate = "20260105"
    shelf = Shelf([*twice, *twice, *moved])

    assert len(searched(shelf, WEEK)) == 20


def broken(_request: Dataset) -> Answers:
    """Matches with every value wrong, one of them a match that is none, among two good ones."""
    good, wrong, nameless, other = studies(4)
    wrong.StudyDate = "2026"
    wrong.StudyTime = "noon"
    del wrong.NumberOfStudyRelatedInstances
    wrong.add_new("NumberOfStudyRelatedInstances", "LO", "many")
    wrong.ModalitiesInStudy = "\0"
    nameless.StudyInstanceUID = ""
    yield from ((0xFF00, one) for one in (good, wrong, nameless, other))


def test_values_that_make_no_sense_are_not_told_and_a_study_without_a_uid_has_a_verdict() -> None:
    entries = told(broken, lambda one: find_studies(one, "CXRNODE", Criteria(FIRST, FIRST)))

    assert [(entry.study, entry.date, entry.instances) for entry in entries if entry.study] == [
        ("1.2.826.7.2", "", None),
        ("1.2.826.7.1", "20260101", 1),
        ("1.2.826.7.4", "20260101", 4),
    ]
    (unnamed,) = (entry for entry in entries if entry.verdict)
    assert (unnamed.accession, unnamed.verdict, unnamed.reason) == (
        *("ACC3", Verdict.NOT_FOUND),
        "fake tells no Study Instance UID of it",
    )


def test_a_match_that_cannot_be_read_has_a_verdict_and_the_others_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original = cfind.answers
    monkeypatch.setattr(cfind, "answers", lambda *args: itertools.chain([None], original(*args)))

    entries = searched(Shelf(studies(2)), Criteria())

    assert [entry.verdict for entry in entries] == [Verdict.NOT_FOUND, None, None]


def test_a_pacs_that_tells_no_modality_of_a_study_is_asked_for_its_series() -> None:
    shelf = Shelf(studies(2, ModalitiesInStudy=None))

    def answer(request: Dataset) -> Answers:
        if request.QueryRetrieveLevel == "STUDY":
            yield from shelf.answer(request)
            return
        series = Dataset()
        series.StudyInstanceUID = request.StudyInstanceUID
        series.SeriesInstanceUID = "1.2.3"
        series.Modality = "CT" if request.StudyInstanceUID.endswith(".1") else "DX"
        yield 0xFF00, series

    shelf.ignored = ("ModalitiesInStudy",)
    entries = told(answer, lambda one: find_studies(one, "CXRNODE", Criteria(FIRST, FIRST, modalities=("DX",))))

    assert [entry.study for entry in entries] == ["1.2.826.7.2"]


@pytest.mark.parametrize("status", [0xA900, 0xC001, 0x0122, 0xFE00])
def test_a_failure_is_a_refusal_with_its_status(status: int) -> None:
    with pytest.raises(PeerRefused, match=f"0x{status:04X}") as caught:
        told(lambda _request: iter([(status, None)]), lambda one: find_studies(one, "CXRNODE", WEEK))
    assert caught.value.status == status


def endless(_request: Dataset) -> Answers:
    same = studies(1)[0]
    return ((0xFF00, same) for _ in itertools.count())


def dripping(_request: Dataset) -> Answers:
    for study in studies(100):
        time.sleep(0.05)
        yield 0xFF00, study


def flooding(_request: Dataset) -> Answers:
    (huge,) = studies(1)
    huge.add_new("ImageComments", "LT", "x" * 2 * cfind.LARGEST_ANSWER)
    yield 0xFF00, huge


def test_answers_without_end_are_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxrnode.peers.find.MOST_MATCHES", 20)
    with pytest.raises(PeerRefused, match="more studies than the 20 "):
        told(endless, lambda one: find_studies(one, "CXRNODE", Criteria(FIRST, FIRST)))


def test_answers_that_drip_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cfind, "LONGEST_QUESTION", 0.2)
    with pytest.raises(PeerUnavailable, match="does not come to an end"):
        told(dripping, lambda one: find_studies(one, "CXRNODE", Criteria(FIRST, FIRST)))


def test_an_answer_too_long_to_be_one_ends_the_search_and_many_short_ones_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red without the Allowance of Asking; the second half is red without its renewal for each question."""
    monkeypatch.setattr(cfind, "LARGEST_ANSWER", 2**18)  # below the longest PDU, which has a limit of its own
    with pytest.raises(PeerUnavailable):
        told(flooding, lambda one: find_studies(one, "CXRNODE", WEEK))

    wordy = studies(40, days=10)
    for study in wordy:
        study.add_new("ImageComments", "LT", "x" * (cfind.LARGEST_ANSWER // 32))
    assert len(searched(Shelf(wordy), Criteria(FIRST, FIRST + 9 * DAY))) == 40


def test_a_pacs_that_gives_no_answer_is_unavailable() -> None:
    with Source(gate=threading.Event()).listening() as source:
        with pytest.raises(PeerUnavailable, match="no answer to C-FIND within 1 s"):
            list(find_studies(archive(source, timeout_s=1), "CXRNODE", WEEK))
        assert source.gate is not None
        source.gate.set()


def test_a_pacs_that_ends_the_association_after_each_question_is_called_again() -> None:
    shelf = Shelf(studies(30, days=10))

    class Curt(Source):
        def _on_c_find(self, event: evt.Event) -> Answers:
            yield from super()._on_c_find(event)
            threading.Timer(0.02, event.assoc.abort).start()  # once the last answer, which says so, is out

    with Curt(answer=shelf.answer).listening() as source:
        found = []
        for entry in find_studies(archive(source), "CXRNODE", Criteria(FIRST, FIRST + 9 * DAY)):
            found.append(entry)
            time.sleep(0.06)  # the PACS hangs up meanwhile

    assert len(found) == 30


def test_a_pacs_that_takes_no_queries_refuses() -> None:
    with Source(offers=False).listening() as source, pytest.raises(PeerRefused, match="no presentation context"):
        list(find_studies(archive(source), "CXRNODE", WEEK))


def resolved(shelf: Shelf, *names: str) -> list[str]:
    entries = told(shelf, lambda one: resolve(one, "CXRNODE", names))
    return [entry.verdict or entry.study for entry in entries]


def test_uids_are_asked_about_many_at_a_time_and_alone_where_that_tells_nothing() -> None:
    shelf = Shelf(studies(120))
    uids = [study.StudyInstanceUID for study in shelf.studies]

    assert resolved(shelf, *uids) == uids
    assert len(shelf.questions) == 3
    single = Shelf(studies(3))
    single.studies = [Deaf(study) for study in single.studies]
    assert resolved(single, *uids[:3]) == uids[:3]


class Deaf(Dataset):
    """A study that no list of UIDs matches."""

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        return Wary(super().get(key, default)) if key == "StudyInstanceUID" else super().get(key, default)


class Wary(str):
    """Equal to itself, but in no list."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __str__(self) -> str:
        return self

    def __eq__(self, other: object) -> bool:
        return False


def test_an_accession_number_of_several_studies_names_them_all_and_one_of_another_case_none() -> None:
    shelf = Shelf(studies(3, AccessionNumber="A1"))

    assert resolved(shelf, "A1") == ["1.2.826.7.1", "1.2.826.7.2", "1.2.826.7.3"]
    assert resolved(shelf, "a1") == ["not found"]


def test_an_accession_number_that_looks_like_a_uid_is_found_and_a_pacs_that_heeds_no_key_names_nothing() -> None:
    assert resolved(Shelf(studies(1, AccessionNumber="2026.0007")), "2026.0007") == ["1.2.826.7.1"]
    heedless = Shelf(studies(9), ignored=("StudyInstanceUID", "AccessionNumber"))
    assert resolved(heedless, "ACC3", "1.2.826.7.5", "1.9", "ACC99") == [
        *("1.2.826.7.3", "1.2.826.7.5", "not found", "not found"),
    ]
