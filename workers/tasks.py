"""The tasks: analyse, deliver and commit, each a lease and one call into the room that does it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from celery import shared_task

from cxrnode.errors import DeviceLost
from cxrnode.jobs import TASK_NAMES, Jobs
from cxrnode.ledger import work
from cxrnode.ledger.states import Lane, Work
from cxrnode.ledger.work import Lease
from cxrnode.log import logger
from cxrnode.metrics import counts
from cxrnode.settings import load
from workers.commitment import commit_leased
from workers.delivery import deliver_leased
from workers.desk import Desk

LOG = logger("tasks")


@cache
def desk() -> Desk:
    """This process's desk, opened after the fork."""
    settings = load()
    return Desk(settings, jobs=Jobs(settings.broker_url))


@shared_task(name=TASK_NAMES[Work.ANALYSE])
def analyse(task_key: str) -> None:
    """Analyse the study behind this task, and others that are due beside it, if the lease can be had."""
    from workers import gpu  # here, so that a worker that only delivers loads no torch
    from workers.analysis import analyse_leased

    queue, most = desk().settings.queue, desk().settings.most_attempts
    others = {  # a study that is STAT waits for no other
        Lane.LIVE: queue.studies_per_task - 1,
        Lane.REPLAY: queue.replay_studies_per_task - 1,
    }
    now = datetime.now(UTC)
    held = work.lease(desk().ledger, task_key, now, queue.lease_s, companions=others, max_attempts=most)
    _count_expired(Work.ANALYSE, held)
    if held:
        try:
            analyse_leased(desk(), held, gpu.model_for, gpu.together())
        except DeviceLost as error:
            LOG.error("worker ends", reason=str(error))
            raise SystemExit(1) from error  # the pool begins another
        gpu.tell_memory()


@shared_task(name=TASK_NAMES[Work.DELIVER])
def deliver(task_key: str) -> None:
    """Send a round's objects to one destination, if the lease can be had."""
    for held in _of_destination(Work.DELIVER, task_key, datetime.now(UTC)):
        deliver_leased(desk(), held)
        desk().hand_on(held.round_key)


@shared_task(name=TASK_NAMES[Work.COMMIT])
def commit(task_key: str) -> None:
    """Ask one destination to commit itself to what it took of a round, if the lease can be had."""
    now = datetime.now(UTC)
    for held in _of_destination(Work.COMMIT, task_key, now):
        commit_leased(desk(), held, now)


def _of_destination(kind: Work, task_key: str, now: datetime) -> list[Lease]:
    """Its lease, if it can be had; one that waited too long is had to be given up, even while its peer is away."""
    settings = desk().settings
    held = work.lease(desk().ledger, task_key, now, settings.queue.lease_s, give_up=settings.delivery.give_up)
    _count_expired(kind, held)
    return held


def _count_expired(kind: Work, held: Sequence[Lease]) -> None:
    counts.EXPIRED.labels(kind).inc(sum(lease.cut_short for lease in held))
