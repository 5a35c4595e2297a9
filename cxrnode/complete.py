"""When is a study whole, and what is due: the reconciler that makes the queue agree with the ledger.

The rule of completion, which README tells too. A study is whole when nothing came for `receiving.quiet_s`. A sender
with `query` is asked by C-FIND how many instances it has, when nothing came for `ask_after_s`. It has some, and as many
came from it: whole at once. It has more than came from anybody: it is asked again, after twice as long each time, until
nothing came for `longest_wait_s`; then the study is read as it is, and its results say so. No answer, no count, a count
of none, or one that does not decide: quiet time alone. What a source said before the last image came does not count.
Its count may have results of ours in it: those that it surely has are left out before a study is called whole, and all
that it might have before one is waited for.

A round's lane is known when it is closed: STAT where an image says so itself (RequestedProcedurePriority), where a
sender of it is STAT, where the route that takes it is, or where an earlier round of the study was.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from cxrnode.errors import BrokerUnavailable, LedgerUnavailable, StaleLease
from cxrnode.faultpoints import Point, reached
from cxrnode.headers.routing import decide
from cxrnode.jobs import QUEUES, Jobs, queue_of
from cxrnode.ledger import Ledger, arrivals, clock, completions, outcomes, work
from cxrnode.ledger.completions import Closing, Reason, Said, Standing, by_quiet
from cxrnode.ledger.states import Lane, Work
from cxrnode.ledger.work import Due
from cxrnode.log import logger
from cxrnode.metrics import counts
from cxrnode.peers.query import Inquiries
from cxrnode.receipt import Receipt
from cxrnode.settings import Settings
from cxrnode.spool import Spool
from cxrnode.study import Study

LOG = logger("complete")
BITE = 500
"""Receipts that are entered in one transaction, so that a long outage holds no other writer up."""
SUBMITTED_AT_ONCE = 50
"""Tasks that are put in the queue in one turn, the most urgent first, so that what arrives meanwhile is soon seen."""


def reconcile(ledger: Ledger, jobs: Jobs, spool: Spool, settings: Settings, now: datetime) -> bool:
    """One turn: close the studies that are quiet, give up what stopped its worker too often, submit what is due.

    Whether more is due than was submitted.
    """
    if back := clock.put_back(ledger, now):
        LOG.warning("the clock was put back", seconds=round(back.total_seconds()))
    close_whole(ledger, spool, settings, now)
    give_up_exhausted(ledger, settings.most_attempts, now)
    return submit_due(ledger, jobs, settings, now)


def next_closing(ledger: Ledger, settings: Settings, now: datetime) -> datetime | None:
    """When the next study will have been quiet long enough to be closed, or for its sender to be asked; None: none."""
    receiving = settings.receiving
    waits = [receiving.quiet_s, *[receiving.ask_after_s] * any(one.query for one in settings.senders)]
    moments = (arrivals.quiet_from(ledger, quiet_s, now) for quiet_s in waits)
    return min((one for one in moments if one is not None), default=None)


def ask(ledger: Ledger, inquiries: Inquiries, settings: Settings, now: datetime) -> None:
    """Note what the sources answered, and ask them what is due; nobody waits for an answer here."""
    for answer in inquiries.answers():
        completions.answered(ledger, answer.question, answer.said, answer.instances)
    senders = [sender for sender in settings.senders if sender.query]
    after_s = settings.receiving.ask_after_s
    for question in completions.due(ledger, {sender.ae_title for sender in senders}, after_s, now):
        asked = (one for one in senders if one.admits(question.ae_title, question.address))
        for source in [sender.source(question.address) for sender in asked][:1]:
            if inquiries.free(source) and completions.ask(ledger, question, after_s, now):
                inquiries.begin(question, source)


def close_whole(ledger: Ledger, spool: Spool, settings: Settings, now: datetime) -> None:
    """Close the rounds whose study is whole, or was waited for long enough."""
    short = []
    by_route = any(route.stat for route in settings.routes)
    routed = outcomes.told_of_study(spool, partial(_routed, settings)) if by_route else None

    def rule(standing: Standing, quiet_for_s: float, quiet_s: float) -> Closing | None:
        closing = whole(standing, quiet_for_s, quiet_s, settings.receiving.longest_wait_s)
        if closing is not None and closing.reason is Reason.INCOMPLETE:
            short.append(closing)
        return closing

    calling = {sender.called: sender.ae_title for sender in settings.senders}
    ae_titles = {one.name: calling.get(one.ae_title, one.ae_title) for one in settings.destinations}
    if closed := arrivals.close_settled(ledger, settings.receiving.quiet_s, now, rule, ae_titles, routed):
        LOG.info("studies complete", count=closed)
    for closing in short:
        LOG.warning("study read although incomplete", expected=closing.expected, received=closing.received)


def whole(standing: Standing, quiet_for_s: float, quiet_s: float, longest_wait_s: float) -> Closing | None:
    """The rule above: why a round that stands so is closed now, or None; times in seconds."""
    counted = [one for one in standing.sources if one.said is Said.COUNT]
    for one in counted:
        least = one.count - one.ours_perhaps
        if one.came_from_anybody < least:
            waited = quiet_for_s >= max(quiet_s, longest_wait_s)
            return Closing(Reason.INCOMPLETE, least, one.came_from_anybody) if waited else None
    if counted and len(counted) == len(standing.sources):
        most = [one.count - one.ours_surely for one in counted]
        if all(one.came >= count for one, count in zip(counted, most, strict=True)):
            return Closing(Reason.COMPLETE, max(most), max(one.came for one in counted))
    return by_quiet(standing, quiet_for_s, quiet_s)


def sweep(spool: Spool, ledger: Ledger, parts: Iterable[tuple[str, set[str]]] | None = None) -> int:
    """Enter the receipts that wait on the disk because the ledger was away; how many there were.

    Looks through `parts` of the disk (`Spool.shards`); through all of it when there are none given.
    """
    looked_at = spool.shards() if parts is None else parts
    unknown = (key for shard, keys in looked_at for key in keys - arrivals.known(ledger, shard))
    missing = sorted(key for key in unknown if spool.image(key).exists())
    receipts = [receipt for key in missing if (receipt := _receipt(spool, key)) is not None]
    return sum(enter(ledger, receipts[at : at + BITE], spool) for at in range(0, len(receipts), BITE))


def enter(ledger: Ledger, receipts: Sequence[Receipt], spool: Spool) -> int:
    """Enter receipts; one that the ledger does not take keeps no other back, and waits on the disk.

    A copy of an image whose study was erased since is erased with it.
    """
    try:
        return arrivals.note(ledger, receipts, lambda receipt: spool.image(receipt.key).exists())
    except LedgerUnavailable:
        raise
    except Exception as error:  # noqa: BLE001  what a database has against a value differs from one to the next
        if len(receipts) > 1:
            return sum(enter(ledger, [one], spool) for one in receipts)
        LOG.error("receipt not entered", key=receipts[0].key, reason=type(error).__name__)
        return 0


def _receipt(spool: Spool, key: str) -> Receipt | None:
    """A receipt; of one that cannot be read the image stays where it is, counted as not in the ledger."""
    try:
        return spool.receipt(key)
    except (OSError, ValueError, TypeError) as error:
        LOG.error("receipt not readable", key=key, reason=type(error).__name__)
        return None


def give_up_exhausted(ledger: Ledger, max_attempts: int, now: datetime) -> None:
    """Quarantine analyses whose last attempt ended without a word; the outcome is failed, with the count."""
    for held in work.exhausted(ledger, max_attempts, now):
        with suppress(StaleLease):  # another receiver was first, or the worker ended it after all
            outcomes.abandon(ledger, held, work.in_vain(held.attempts, held.last_error), now)
            counts.ANALYSES.labels("given up").inc()
        LOG.error("analysis given up", task=held.task_key, round=held.round_key, attempts=held.attempts)


def submit_due(ledger: Ledger, jobs: Jobs, settings: Settings, now: datetime) -> bool:
    """Put in the queue what the ledger says is due and the queue does not hold, by lane; whether some is left.

    A task whose queue is empty although it was submitted `queue.resubmit_s` ago is lost (a broker flushed): again.
    """
    try:
        empty = {queue for queue, waiting in zip(QUEUES, jobs.waiting(*QUEUES), strict=True) if waiting == 0}
        patience = {
            (kind, lane): settings.queue.resubmit_s for kind in Work for lane in Lane if queue_of(kind, lane) in empty
        }
        due = work.due(ledger, now, patience, settings.delivery.give_up)
        submit(ledger, jobs, due[:SUBMITTED_AT_ONCE], now)
    except BrokerUnavailable as error:
        LOG.warning("queue away", reason=str(error))
        return False
    return len(due) > SUBMITTED_AT_ONCE


def submit(ledger: Ledger, jobs: Jobs, due: Sequence[Due], now: datetime) -> None:
    """Put tasks in the queue and note it, whatever stops it half way. Raises BrokerUnavailable."""
    done: list[str] = []
    try:
        for task in due:
            reached(Point.BEFORE_SUBMIT)
            jobs.submit(task)
            reached(Point.AFTER_SUBMIT)
            done.append(task.task_key)
    finally:
        if done:
            work.submitted(ledger, done, now)


def _routed(settings: Settings, study: Study) -> bool:
    """Whether the route that takes a study is STAT, by the headers of its images."""
    try:
        return decide(study, settings).stat
    except Exception as error:  # noqa: BLE001  a header that nobody thought of keeps no study from being read
        LOG.error("lane not known", study=study.key, reason=type(error).__name__)
        return False
