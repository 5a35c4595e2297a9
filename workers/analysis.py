"""An analysis under lease: result bytes kept and the outcome written, or back to the ledger with the reason."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from cxrnode.ahead import ahead
from cxrnode.analyse import Analysis, Model, ResultObject, analysed, give_up, leave_unread
from cxrnode.errors import DeviceLost, LedgerUnavailable, NoWayBack, Retryable, StaleLease
from cxrnode.faultpoints import Point, reached
from cxrnode.finding import Outcome
from cxrnode.headers.routing import Choice, Decision, decide, of_canary
from cxrnode.late import gist
from cxrnode.ledger import canaries, outcomes, replayed, work
from cxrnode.ledger.outcomes import ReadingRow, RoundResult
from cxrnode.ledger.replayed import Order
from cxrnode.ledger.states import Work
from cxrnode.ledger.work import Lease
from cxrnode.log import logger
from cxrnode.metrics import counts
from cxrnode.settings.destination import Destination
from cxrnode.stopwatch import Clock, stage
from cxrnode.study import Study
from workers.desk import Desk
from workers.mix import mix_of
from workers.peers import sender_of

LOG = logger("analysis")


@dataclass(frozen=True)
class Case:
    """A leased round: the study as it covers it, and what the routes say of that."""

    lease: Lease
    study: Study
    decision: Decision
    canary: bool = False
    """it is nobody's, and in no figure"""
    live: bool = True
    """neither that nor a replay's"""


def analyse_leased(
    desk: Desk, held: Sequence[Lease], model_for: Callable[[Choice], Model], together: int | None = None
) -> None:
    """Analyse the leased rounds, those of one model together, so many at a time (None: all).

    Between two passes it lets go of the rest when something more urgent is due, which then waits for one pass at most.
    A fault puts each of a pass back (to be tried alone), and the last one gives it up. Raises DeviceLost once the rest
    is let go: this process can read nothing more.
    """
    reached(Point.LEASED)
    batches: dict[Choice | None, list[Case]] = {}
    for lease in held:
        try:
            study = outcomes.study_of(desk.ledger, desk.spool, lease.round_key)
            case = _case(desk, lease, study)
            if lease.attempts > desk.settings.queue.max_attempts:
                _tell_failed(desk, case, model_for)
                continue
        except Exception as error:  # noqa: BLE001  the edge of a task: whatever it was, the ledger must know
            _put_back(desk, lease, error)
        else:
            batches.setdefault(case.decision.choice, []).append(case)
    size, left = together or len(held), list(batches.items())
    while left:
        (choice, cases), *left = left
        others = [case.lease for _, some in left for case in some]
        try:
            model = model_for(choice) if choice else None
        except Exception as error:  # noqa: BLE001  a card that is not kept, weights that are gone: the fault of these alone
            for case in cases:
                _put_back(desk, case.lease, error)
            continue
        if not _analyse_batch(desk, cases, model, size, others):
            return


def _case(desk: Desk, lease: Lease, study: Study) -> Case:
    order = replayed.order_of(desk.ledger, lease.round_key)
    decision = as_ordered(decide(study, desk.settings), order)
    if canaries.is_one(desk.ledger, study.study_instance_uid):
        return Case(lease, study, of_canary(decision, desk.settings), canary=True, live=False)
    return Case(lease, study, decision, live=order is None)


def _gave_way(desk: Desk, left: Sequence[Lease]) -> bool:
    """Whether something more urgent was due, and these, which were not begun, are given back for it."""
    now = datetime.now(UTC)
    try:
        if not work.more_urgent(desk.ledger, left[0].lane, now):
            return False
        work.let_go(desk.ledger, left, now)
    except LedgerUnavailable as error:
        LOG.warning("not given way", reason=str(error))
        return False
    LOG.info("gave way", lane=left[0].lane, studies=len(left))
    return True


def _let_go(desk: Desk, left: Sequence[Lease]) -> None:
    """Give back what was not begun; where the ledger is away it waits for its leases to end."""
    try:
        work.let_go(desk.ledger, left, datetime.now(UTC))
    except LedgerUnavailable as error:
        LOG.warning("not let go", studies=len(left), reason=str(error))


def as_ordered(decision: Decision, order: Order | None) -> Decision:
    """The same for a round of a replay, which may want another model, and that nothing is sent."""
    if order is None:
        return decision
    choice = decision.choice and replace(decision.choice, model=order.model or decision.choice.model)
    return replace(decision, choice=choice, destinations=decision.destinations if order.send else ())


def _analyse_batch(desk: Desk, cases: Sequence[Case], model: Model | None, size: int, others: Sequence[Lease]) -> bool:
    """The cases of one model, so many in one pass; False: it gave way after one, and let go of what was left."""
    coming = _analyses(desk, cases, model, size)
    for at, analyses in zip(range(0, len(cases), size), coming, strict=True):
        for case, analysis in zip(cases[at : at + size], analyses, strict=True):
            _end(desk, case, analysis, model)
        left = [*(case.lease for case in cases[at + size :]), *others]
        for lost in analyses:
            if isinstance(lost, DeviceLost):
                _let_go(desk, left)
                raise lost
        if left and _gave_way(desk, left):
            return False
    return True


def _analyses(
    desk: Desk, cases: Sequence[Case], model: Model | None, size: int
) -> Iterator[Sequence[Analysis | Exception]]:
    if model is not None:
        yield from analysed([case.study for case in cases], model, desk.settings, datetime.now(UTC), size)
        return
    calls = [partial(leave_unread, case.study, desk.settings, case.decision.reason) for case in cases]
    coming = ahead(calls, size)
    while some := list(islice(coming, size)):
        yield some


def _end(desk: Desk, case: Case, analysis: Analysis | Exception, model: Model | None) -> None:
    """What came of a study goes to the disk and into the ledger, or the study back to the ledger."""
    if isinstance(analysis, Exception):
        _put_back(desk, case.lease, analysis)
        return
    try:
        _write(desk, case, analysis, model)
    except StaleLease as error:
        LOG.warning("result dropped", task=case.lease.task_key, reason=str(error))
        counts.LOST.labels(Work.ANALYSE).inc()
    except Exception as error:  # noqa: BLE001  the edge of a task: a disk that is full, a ledger that is away
        _put_back(desk, case.lease, error)


def sent_to(destinations: Sequence[Destination], objects: Sequence[ResultObject]) -> dict[str, list[str]]:
    """The SOP Instance UIDs of the objects that each destination wants, the report first; nobody who wants none."""
    wanted = {
        destination.name: [
            item.sop_instance_uid for item in objects if destination.send.wants(item.family, item.outcomes)
        ]
        for destination in destinations
    }
    return {name: uids for name, uids in wanted.items() if uids}


def _tell_failed(desk: Desk, case: Case, model_for: Callable[[Choice], Model]) -> None:
    """Give an analysis up that was tried often enough, and report that where it is wanted: no pixel is looked at."""
    reason = work.in_vain(case.lease.attempts - 1, case.lease.last_error)
    told = None
    if case.decision.choice is not None:
        model, now = model_for(case.decision.choice), datetime.now(UTC)
        analysis = give_up(case.study, model.algorithm, desk.settings, reason, now)
        told = replace(_keep(desk, case, analysis, model), gist="", shadow="")  # failed once more is news
    outcomes.abandon(desk.ledger, case.lease, reason, datetime.now(UTC), told)
    counts.ANALYSES.labels("given up").inc()
    LOG.error("analysis given up", task=case.lease.task_key, attempts=case.lease.attempts)


def _write(desk: Desk, case: Case, analysis: Analysis, model: Model | None) -> None:
    result = _keep(desk, case, analysis, model)
    reached(Point.RESULTS_KEPT)
    kept = outcomes.finish_analysis(desk.ledger, case.lease, result, datetime.now(UTC))
    reached(Point.ANALYSED)
    desk.hand_on(case.lease.round_key)
    if not kept:
        desk.spool.purge_results(case.lease.round_key)
    if not case.canary:
        _count(case.lease, result, datetime.now(UTC))
    told = {"outcome": analysis.outcome, "objects": len(result.objects) if kept else 0}
    LOG.info("analysed", study=case.study.key, attempts=case.lease.attempts, route=case.decision.route, **told)


def _keep(desk: Desk, case: Case, analysis: Analysis, model: Model | None) -> RoundResult:
    """The objects' bytes on the disk, and what the ledger is to say of them."""
    lease, study = case.lease, case.study
    clock = Clock()
    with clock.running(), stage("write"):
        rows = desk.keep_all(
            lease,
            [
                ((item.sop_instance_uid, item.sop_class_uid, item.series_instance_uid), item.family, item.content)
                for item in analysis.objects
            ],
        )
    readings = [
        ReadingRow(
            instance.key, reading.outcome, reading.reason, reading.finding.probability if reading.finding else None
        )
        for instance, reading in zip(study.instances, analysis.readings, strict=True)
    ]
    routed = [one for one in desk.settings.destinations if one.name in case.decision.destinations]
    for one in routed:
        if one.return_to_sender:
            with suppress(NoWayBack):  # told when it is to be sent
                sender_of(desk, lease.round_key, one)
    return RoundResult(
        outcome=analysis.outcome,
        readings=readings,
        objects=rows,
        sent_to=sent_to(routed, analysis.objects),
        model=f"{model.algorithm.name} {model.algorithm.version}" if model else "",
        stages_ms={name: round(ms, 1) for name, ms in (analysis.stages_ms | clock.ms).items()},
        route=case.decision.route,
        prevalence=model.algorithm.prevalence if model else None,
        card=model.algorithm.digest if model else "",
        operating_point=model.algorithm.operating_point if model else None,
        gist=gist(study.instances, analysis.readings),
        mix=mix_of(study, analysis.readings, model.algorithm, desk.settings.rules) if model and case.live else {},
        reference=model.algorithm.reference if model else None,
        shadow=_shadow(case, analysis),
    )


def _shadow(case: Case, analysis: Analysis) -> str:
    """Which model is to read a live study too; none where there is nothing to read."""
    applies = case.live and case.decision.choice is not None and analysis.outcome is not Outcome.NOT_APPLICABLE
    return case.decision.shadow if applies else ""


def _count(lease: Lease, result: RoundResult, now: datetime) -> None:
    waited_s = (now - lease.created_at).total_seconds()
    counts.analysed(result.model, result.outcome, lease.lane, waited_s, result.stages_ms)
    for reading in result.readings:
        counts.image(result.model, reading.outcome, reading.reason, reading.probability)


def _put_back(desk: Desk, lease: Lease, error: Exception) -> None:
    """Back to the ledger with the kind of the error alone, as its text may quote a header.

    An attempt that failed for want of a disk or a ledger does not count, as the fault was not in the study; nor can
    that be noted where the ledger is still away, and then it counts as one that stopped its worker.
    """
    reason, its_own = type(error).__name__, not isinstance(error, Retryable)
    LOG.error("analysis failed", task=lease.task_key, attempts=lease.attempts, reason=reason)
    try:
        if its_own and lease.attempts >= desk.settings.most_attempts:
            outcomes.abandon(desk.ledger, lease, work.in_vain(lease.attempts, reason), datetime.now(UTC))
            counts.ANALYSES.labels("given up").inc()
        else:
            due_at = desk.retry_at(lease.attempts, datetime.now(UTC))
            work.put_back(desk.ledger, lease, due_at, reason, counts=its_own)
            counts.ANALYSES.labels("put back").inc()
    except StaleLease as lost:
        LOG.warning("lease lost", task=lease.task_key, reason=str(lost))
        counts.LOST.labels(Work.ANALYSE).inc()
    except LedgerUnavailable as away:
        LOG.warning("lease lost", task=lease.task_key, reason=str(away))
