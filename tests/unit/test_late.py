"""late: what comes late makes new results when it changes what they say; else the earlier ones stand."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid
from sqlalchemy import select

from cxrnode.family import Family
from cxrnode.ledger import parcels, quarantine, withdrawals, work
from cxrnode.ledger.account import account
from cxrnode.ledger.roundlines import RoundLine, round_lines
from cxrnode.ledger.states import Fate, Work
from cxrnode.ledger.tables import objects, rounds
from cxrnode.ledger.timeline import timeline
from tests.builders import chest_like, make_cxr, remade
from tests.desks import HOUR, T0, open_desk, read_all, receive
from tests.fakes import FakePacs
from workers.desk import Desk

LATER = T0 + 2 * HOUR


@pytest.fixture
def film() -> FileDataset:
    return make_cxr(chest_like(96, 80))


@pytest.fixture
def desk(tmp_path: Path, film: FileDataset) -> Iterator[Desk]:
    """A desk at which a frontal film was read and its results are due at one PACS."""
    opened = open_desk(tmp_path, [FakePacs(port=1).destination()])
    receive(opened, film)
    read_all(opened)
    yield opened
    opened.ledger.close()


def another(film: FileDataset, **attributes: object) -> FileDataset:
    return remade(film, SOPInstanceUID=generate_uid(), **attributes)


def lateral(film: FileDataset, **attributes: object) -> FileDataset:
    return another(film, ViewPosition="LL", PatientOrientation=["A", "F"], **attributes)


def late(desk: Desk, *films: FileDataset, at: timedelta = 2 * HOUR) -> RoundLine:
    """The round that these films open when they come late."""
    for one in films:
        receive(desk, one, at=T0 + at)
    read_all(desk, now=T0 + at + HOUR)
    return round_lines(desk.ledger)[0]


def read_all_due(desk: Desk, fate: Fate) -> None:
    """The PACS makes this of all that is due."""
    now = datetime.now(UTC)
    for task in work.due(desk.ledger, now, {}):
        if task.work is Work.DELIVER:
            (held,) = work.lease(desk.ledger, task.task_key, now, 600)
            for parcel in parcels.outstanding(desk.ledger, held):
                parcels.note_fate(desk.ledger, held, parcel.sop_instance_uid, fate, status=0, reason="", now=now)
            parcels.finish_delivery(desk.ledger, held, 1.0, now)


def places(desk: Desk) -> dict[tuple[str, str], int]:
    told = account(desk.ledger, desk.spool)
    assert told.balanced
    return {(line.place, line.outcome): line.instances for line in told.lines}


def results(desk: Desk) -> list[Path]:
    return list((desk.spool.root / "results").rglob("*.dcm"))


def test_a_late_lateral_has_its_outcome_and_the_earlier_results_stand(desk: Desk, film: FileDataset) -> None:
    """Red with `stands_on = None` in outcomes._write_result, and (no file) without its `purge_results` in _write."""
    made = results(desk)

    told = late(desk, lateral(film))

    assert (told.round_number, told.state, told.instances, told.objects, told.stands) == (2, "finished", 2, 0, 1)
    assert results(desk) == made
    assert places(desk) == {("waiting for delivery", "positive"): 1, ("waiting for delivery", "not_applicable"): 1}
    assert [task.work for task in work.due(desk.ledger, datetime.now(UTC), {})] == [Work.DELIVER]  # the first round's
    (study,) = {line.study for line in round_lines(desk.ledger)}
    (analysed,) = (
        one for one in timeline(desk.ledger, study).events if (one.what, one.round_number) == ("analysed", 2)
    )
    assert "nothing new to read: the results of round 1 stand" in analysed.told


def test_an_image_counts_as_delivered_where_the_results_that_stand_are(desk: Desk, film: FileDataset) -> None:
    """Red without `bearers` in account."""
    late(desk, lateral(film))

    read_all_due(desk, Fate.ACCEPTED)

    assert {place for place, _ in places(desk)} == {"finished, delivered"}


def test_one_late_lateral_after_another_stands_on_the_round_that_has_results(desk: Desk, film: FileDataset) -> None:
    late(desk, lateral(film))

    assert late(desk, lateral(film), at=4 * HOUR).stands == 1


@pytest.mark.parametrize("again", ["image", "result"])
def test_a_duplicate_and_a_result_of_ours_open_no_round(desk: Desk, film: FileDataset, again: str) -> None:
    (report, *_) = [pydicom.dcmread(path) for path in results(desk)]
    receive(desk, film if again == "image" else report, at=LATER)

    assert [line.round_number for line in round_lines(desk.ledger)] == [1]


def test_a_late_frontal_film_is_reported_by_a_report_that_names_the_one_before(desk: Desk, film: FileDataset) -> None:
    """Through bytes; red without `predecessor=` in outcomes.study_of."""
    first = reports(desk)[1]

    told = late(desk, another(film, InstanceNumber=2))

    assert (told.objects, told.stands) == (3, None)
    second = reports(desk)[2]
    (named,) = second.PredecessorDocumentsSequence
    (series,) = named.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert named.StudyInstanceUID == first.StudyInstanceUID
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert instance.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert instance.ReferencedSOPClassUID == first.SOPClassUID


def test_after_a_late_lateral_the_next_report_names_the_one_that_stands(desk: Desk, film: FileDataset) -> None:
    late(desk, lateral(film))
    late(desk, another(film, InstanceNumber=2), at=4 * HOUR)

    first, third = reports(desk)[1], reports(desk)[3]
    (named,) = third.PredecessorDocumentsSequence
    (series,) = named.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_a_late_lateral_of_another_patient_is_news(desk: Desk, film: FileDataset) -> None:
    """Its report warns of it. Red without the warnings in late.gist."""
    assert late(desk, lateral(film, PatientID="ZZ-OTHER")).objects == 2


def test_a_late_film_that_is_refused_is_news(desk: Desk, film: FileDataset) -> None:
    assert late(desk, another(film, PatientID="")).stands is None


def test_a_corrected_lateral_is_news(desk: Desk, film: FileDataset) -> None:
    """The next results carry the corrected patient. Red without `or instance.corrected` in late.gist."""
    side = lateral(film)
    late(desk, side)
    read_all_due(desk, Fate.ACCEPTED)
    receive(desk, remade(side, PatientBirthDate="19700101"), at=T0 + 4 * HOUR)

    told = late(desk, lateral(film), at=5 * HOUR)

    assert (told.round_number, told.stands) == (3, None)
    assert reports(desk)[3].PatientBirthDate == "19700101"


def test_after_delivery_a_correction_is_noted_and_not_sent_though_a_lateral_came_between(
    desk: Desk, film: FileDataset
) -> None:
    """Red without the rounds that stand in corrections._delivered."""
    read_all_due(desk, Fate.ACCEPTED)
    late(desk, lateral(film))

    receive(desk, remade(film, PatientBirthDate="19700101"), at=T0 + 4 * HOUR)

    latest = round_lines(desk.ledger)[0]
    assert (latest.round_number, latest.changed) == (2, ("PatientBirthDate",))


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.GIVEN_UP])
def test_results_that_a_destination_does_not_have_do_not_stand(desk: Desk, film: FileDataset, fate: Fate) -> None:
    """Red without the comparison of destinations in outcomes._same_before."""
    read_all_due(desk, fate)

    assert late(desk, lateral(film)).objects == 2


def test_results_of_which_a_destination_refused_a_part_do_not_stand(desk: Desk, film: FileDataset) -> None:
    """Red when in outcomes._same_before one object that was taken is enough."""
    now = datetime.now(UTC)
    (task,) = work.due(desk.ledger, now, {})
    (held,) = work.lease(desk.ledger, task.task_key, now, 600)
    for parcel, fate in zip(parcels.outstanding(desk.ledger, held), (Fate.ACCEPTED, Fate.REFUSED), strict=True):
        parcels.note_fate(desk.ledger, held, parcel.sop_instance_uid, fate, status=0, reason="", now=now)
    parcels.finish_delivery(desk.ledger, held, 1.0, now)

    assert late(desk, lateral(film)).objects == 2


def test_results_that_were_withdrawn_do_not_stand(desk: Desk, film: FileDataset) -> None:
    """Red without the withdrawals in outcomes._same_before."""
    read_all_due(desk, Fate.ACCEPTED)
    ((first, _),) = withdrawals.chosen(desk.ledger, study=round_lines(desk.ledger)[0].study).items()
    withdrawals.withdraw(desk.ledger, first, "test", LATER)
    for task in work.due(desk.ledger, LATER, {}):  # its rejection note is another test's
        work.lease(desk.ledger, task.task_key, LATER, 1e6)

    assert late(desk, lateral(film)).objects == 2


def test_what_a_destination_refused_waits_for_a_person_though_a_lateral_came_between(
    desk: Desk, film: FileDataset
) -> None:
    """Red without `but=repeating()` in quarantine.wanted."""
    late(desk, lateral(film))

    read_all_due(desk, Fate.REFUSED)

    assert [(one.round_number, one.objects) for one in quarantine.waiting(desk.ledger)] == [(1, 2)]


def reports(desk: Desk) -> dict[int, FileDataset]:
    """The report of each round that has one, through bytes."""
    joined = select(rounds.c.number, objects.c.round_key, objects.c.file).join(objects)
    with desk.ledger.reading() as db:
        made = db.execute(joined.where(objects.c.role == Family.REPORT)).all()
    return {row.number: pydicom.dcmread(desk.spool.result(row.round_key, row.file)) for row in made}
