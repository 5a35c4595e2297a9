"""A worker process that has lost its models or its GPU ends; one that has lost a lease loses that study alone."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from celery.signals import worker_process_init
from sqlalchemy import select, update

from cxrnode.errors import DeviceLost, ModelMismatch
from cxrnode.finding import Finding
from cxrnode.ledger import work
from cxrnode.ledger.roundlines import round_lines
from cxrnode.ledger.states import Lane
from cxrnode.ledger.tables import tasks as tasks_table
from cxrnode.radiograph import Film
from cxrnode.settings import Settings
from tests.builders import make_cxr
from tests.desks import HOUR, open_desk, read_all, receive
from tests.fakes import FakeModel
from tests.ledgers import T0
from workers import gpu, tasks


class Failing(FakeModel):
    """Its GPU fails at the second pass."""

    def read(self, radiographs: Sequence[Film]) -> list[Finding]:
        """One finding a radiograph, once."""
        found = super().read(radiographs)
        if len(self.batches) == 2:
            raise DeviceLost("cuda:0 has failed: CUDA error: unspecified launch failure")
        return found


def test_a_child_whose_models_do_not_load_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the error is left to Celery, which logs it and gives the child work all the same."""

    def fails(_: Settings) -> None:
        raise ModelMismatch("the weights are not the ones on the card")

    monkeypatch.setattr(gpu, "load", Settings)
    monkeypatch.setattr(gpu, "open_shelf", fails)

    with pytest.raises(SystemExit):
        worker_process_init.send(sender=None)


def test_a_gpu_that_fails_costs_no_study_an_attempt_and_what_was_not_begun_is_due_at_once(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, [])
    for _ in range(4):
        receive(desk, make_cxr())
    model = Failing()

    with pytest.raises(DeviceLost):
        read_all(desk, lambda _: model, together=1)

    assert model.batches == [1, 1], "nothing is asked of a GPU that has failed"
    lines = sorted((line.state, line.last_error) for line in round_lines(desk.ledger))
    assert lines == [("finished", ""), ("ready", ""), ("ready", ""), ("ready", "DeviceLost")]
    now = datetime.now(UTC)
    again = [work.lease(desk.ledger, one.task_key, now + HOUR, 600)[0] for one in work.due(desk.ledger, now + HOUR, {})]
    assert [one.attempts for one in again] == [1, 1, 1]
    desk.ledger.close()


def test_the_task_ends_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Red when it goes on: whatever it is given next fails too."""
    desk = open_desk(tmp_path, [])

    def lost(*_: object) -> None:
        raise DeviceLost("cuda:0 has failed")

    monkeypatch.setattr(tasks, "desk", lambda: desk)
    held = work.Lease("key", "round", "", Lane.LIVE, 1, 1, T0, T0)
    monkeypatch.setattr(work, "lease", lambda *_, **__: [held])
    monkeypatch.setattr("workers.analysis.analyse_leased", lost)
    monkeypatch.setattr(gpu, "_together", [1])

    with pytest.raises(SystemExit):
        tasks.analyse("key")
    desk.ledger.close()


def test_a_lease_that_is_lost_in_mid_pass_costs_that_study_s_results_alone(tmp_path: Path) -> None:
    """Somebody else has it by then: red when its results are written, or when the others of the pass suffer."""
    desk = open_desk(tmp_path, [])
    for _ in range(3):
        receive(desk, make_cxr())

    class Slow(FakeModel):
        """So slow that one of the leases is over."""

        def read(self, radiographs: Sequence[Film]) -> list[Finding]:
            """One finding a radiograph."""
            later = datetime.now(UTC)
            task = held()[0]
            with desk.ledger.writing() as db:
                db.execute(update(tasks_table).where(tasks_table.c.key == task).values(leased_until=later))
            (taken,) = work.lease(desk.ledger, task, later, 600)
            others.append(taken)
            return super().read(radiographs)

    def held() -> list[str]:
        with desk.ledger.reading() as db:
            return list(db.execute(select(tasks_table.c.key).order_by(tasks_table.c.key)).scalars())

    others: list[work.Lease] = []
    read_all(desk, lambda _: Slow())

    assert sorted(line.state for line in round_lines(desk.ledger)) == ["finished", "finished", "ready"]
    work.put_back(desk.ledger, others[0], datetime.now(UTC), "")  # the other still has it: no StaleLease
    desk.ledger.close()
