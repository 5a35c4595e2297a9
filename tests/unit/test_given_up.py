"""An analysis that is given up is reported as failed wherever that is wanted; a person can have it read after all."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom
import pytest

from cxrnode.complete import give_up_exhausted
from cxrnode.finding import Finding
from cxrnode.headers.routing import Choice
from cxrnode.ledger import arrivals, quarantine, work
from cxrnode.ledger.roundlines import round_lines
from cxrnode.radiograph import Film
from cxrnode.settings.destination import Destination
from tests.builders import make_cxr
from tests.desks import open_desk, read_all, receive
from tests.fakes import FakeModel
from tests.figures import counted
from workers.desk import Desk

TRIES = 3
NOW, DAY = datetime.now(UTC), timedelta(days=1)
CHOICE = Choice("pneumonia-efficientnet-lite0")


class Broken(FakeModel):
    """A model that raises whatever it is shown."""

    def read(self, radiographs: Sequence[Film]) -> list[Finding]:
        self.batches.append(len(radiographs))
        raise ZeroDivisionError


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    send = {"failed": ["report"]}
    made = open_desk(tmp_path, [Destination(name="pacs", ae_title="P", host="127.0.0.1", port=1, send=send)])
    yield made
    made.ledger.close()


def reports(desk: Desk) -> list[pydicom.Dataset]:
    files = sorted(desk.spool.root.glob("results/*/*/report-*.dcm"), key=lambda path: path.stat().st_mtime_ns)
    return [pydicom.dcmread(file) for file in files]


def test_it_is_tried_so_often_then_told_from_the_headers_alone(desk: Desk) -> None:
    """Red when `most_attempts` is `queue.max_attempts`: nobody is told."""
    receive(desk, make_cxr())
    model = Broken()
    for number in range(TRIES + 1):
        read_all(desk, {CHOICE: model}, now=NOW + DAY * (number + 1))

    assert len(model.batches) == TRIES, "the last time nothing is read"
    (line,) = round_lines(desk.ledger)
    assert (line.outcome, line.deliveries) == ("failed", {"pacs": "1 due"})
    (reason,) = line.reasons
    assert "begun 3 times and failed, the last time with ZeroDivisionError" in reason
    (report,) = reports(desk)
    assert any(reason in str(item.value) for item in report.iterall() if item.keyword == "TextValue")
    assert [one.reason for one in quarantine.waiting(desk.ledger)] == [reason]


def test_it_is_told_too_when_it_stops_its_worker_each_time_and_a_reading_supersedes_that(desk: Desk) -> None:
    receive(desk, make_cxr())
    read_all_but_die(desk)
    read_all(desk, now=NOW + DAY * (TRIES + 1))
    (line,) = round_lines(desk.ledger)
    assert "begun 3 times and stopped its worker each time" in line.reasons[0]

    (waits,) = quarantine.waiting(desk.ledger)
    assert quarantine.reopen(desk.ledger, waits, NOW + DAY * 5)
    read_all(desk, now=NOW + DAY * 6)

    failed, read = reports(desk)
    (series,) = read.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == failed.SOPInstanceUID


def test_what_fails_again_after_a_retry_is_told_again(desk: Desk) -> None:
    """Red when what is told of a failure has a gist: the report of the first would stand."""
    receive(desk, make_cxr())
    model = Broken()
    for number in range(TRIES + 1):
        read_all(desk, {CHOICE: model}, now=NOW + DAY * (number + 1))
    (waits,) = quarantine.waiting(desk.ledger)
    assert quarantine.reopen(desk.ledger, waits, NOW + DAY * 5)
    for number in range(TRIES + 1):
        read_all(desk, {CHOICE: model}, now=NOW + DAY * (number + 6))

    assert [line.deliveries for line in round_lines(desk.ledger)] == [{"pacs": "1 due"}] * 2
    assert len(reports(desk)) == 2


def test_what_stops_its_worker_even_then_is_given_up_in_silence(desk: Desk) -> None:
    """Red when `lease` or `exhausted` knows no end."""
    receive(desk, make_cxr())
    read_all_but_die(desk, times=TRIES + 1)
    later = NOW + DAY * 10

    (task,) = work.due(desk.ledger, later, {})
    most = desk.settings.most_attempts
    assert work.lease(desk.ledger, task.task_key, later, 600, max_attempts=most) == []
    before = counted("analyses_total", end="given up")
    give_up_exhausted(desk.ledger, most, later)
    assert counted("analyses_total", end="given up") == before + 1

    (line,) = round_lines(desk.ledger)
    assert (line.outcome, line.deliveries, reports(desk)) == ("failed", {}, [])


def read_all_but_die(desk: Desk, times: int = TRIES) -> None:
    """As workers do that are killed in mid analysis: the lease is never ended."""
    arrivals.close_settled(desk.ledger, 20.0, NOW)
    for number in range(times):
        (task,) = work.due(desk.ledger, NOW + DAY * (number + 1), {})
        assert work.lease(desk.ledger, task.task_key, NOW + DAY * (number + 1), 600)
