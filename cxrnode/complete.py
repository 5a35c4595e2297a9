"""When is a study whole, and what is due: the reconciler that makes the queue agree with the ledger."""

from datetime import datetime

from cxrnode.errors import BrokerUnavailable
from cxrnode.faultpoints import Point, reached
from cxrnode.jobs import ANALYSIS_QUEUES, DELIVER, Jobs, queue_of
from cxrnode.ledger import Ledger, arrivals, clock, outcomes, work
from cxrnode.ledger.tables import Work
from cxrnode.log import logger
from cxrnode.settings import Settings
from cxrnode.spool import Spool

LOG = logger("complete")


def reconcile(ledger: Ledger, jobs: Jobs, settings: Settings, now: datetime) -> None:
    """One turn: close the studies that are quiet, give up what stopped its worker too often, submit what is due."""
    if back := clock.put_back(ledger, now):
        LOG.warning("the clock was put back", seconds=round(back.total_seconds()))
    if closed := arrivals.close_settled(ledger, settings.receiving.quiet_s, now):
        LOG.info("studies complete", count=closed)
    give_up_exhausted(ledger, settings.queue.max_attempts, now)
    submit_due(ledger, jobs, settings, now)


def sweep(spool: Spool, ledger: Ledger) -> int:
    """Enter the receipts that wait on the disk because the ledger was away; how many there were."""
    missing = sorted(key for key in set(spool.keys()) - arrivals.known(ledger) if spool.image(key).exists())
    return arrivals.note(ledger, (spool.receipt(key) for key in missing)) if missing else 0


def give_up_exhausted(ledger: Ledger, max_attempts: int, now: datetime) -> None:
    """Quarantine analyses whose last attempt ended without a word; the outcome is failed, with the count."""
    for held in work.exhausted(ledger, max_attempts, now):
        reason = f"The analysis was begun {held.attempts} times and stopped its worker each time; a person should look."
        outcomes.abandon(ledger, held, reason, now)
        LOG.error("analysis given up", task=held.task_key, round=held.round_key, attempts=held.attempts)


def submit_due(ledger: Ledger, jobs: Jobs, settings: Settings, now: datetime) -> int:
    """Put in the queue whatever the ledger says is due and the queue does not hold; how many tasks.

    A task whose queue is empty although it was submitted `queue.resubmit_s` ago is lost (a broker flushed): again.
    """
    try:
        empty = {queue for queue in (*ANALYSIS_QUEUES, DELIVER) if jobs.waiting(queue) == 0}
        patience = {
            (kind, lane): settings.queue.resubmit_s
            for kind in Work
            for lane in ANALYSIS_QUEUES
            if queue_of(kind, lane) in empty
        }
        due = work.due(ledger, now, patience, settings.delivery.give_up)
        for task in due:
            reached(Point.BEFORE_SUBMIT)
            jobs.submit(task)
            reached(Point.AFTER_SUBMIT)
            work.submitted(ledger, [task.task_key], now)
    except BrokerUnavailable as error:
        LOG.warning("queue away", reason=str(error))
        return 0
    return len(due)
