"""Zeros for what is known beforehand: Prometheus sees an increase only where there was something before it."""

from collections.abc import Iterable

from cxrnode.finding import Outcome
from cxrnode.ledger.states import Lane, Work
from cxrnode.metrics import counts
from cxrnode.settings.listener import Listening
from cxrnode.stopwatch import STAGES

STATUSES = ("0000", "A700", "A900", "C000")
"""of cxrnode/receiving/arrival.py"""


def of_receiver(receiving: Listening) -> None:
    """What a receiver may count of the senders in the settings, of strangers, and of workers that died in silence."""
    counts.ANALYSES.labels("given up")
    for reason in counts.REFUSED_FOR:
        counts.REFUSED.labels(counts.STRANGER, reason)
    for sender in receiving.senders:
        name = counts.caller(sender.ae_title)
        counts.ASSOCIATIONS.labels(name)
        counts.RECEIVED.labels(name)
        for reason in counts.REFUSED_FOR:
            counts.REFUSED.labels(name, reason)
        for status in STATUSES:
            counts.INSTANCES.labels(name, status)


def of_analysis(models: Iterable[str]) -> None:
    """What a worker may count that analyses with these models."""
    for model in models:
        counts.PROBABILITY.labels(model)
        for outcome in Outcome:
            counts.STUDIES.labels(model, outcome)
            if outcome.analysed:
                counts.IMAGES.labels(model, outcome, "")
    for stage in STAGES:
        counts.STAGES.labels(stage)
    for lane in Lane:
        counts.ANALYSED.labels(lane)
    for end in ("done", "put back", "given up"):
        counts.ANALYSES.labels(end)
    counts.GPU_FREE.set(0)
    _leases([Work.ANALYSE])


def of_delivery(destinations: Iterable[str]) -> None:
    """What a worker may count that sends to these."""
    for name in destinations:
        counts.DELIVERED.labels(name)
        counts.NOT_COMMITTED.labels(name)
        for end in ("done", "later", "given up"):
            counts.DELIVERIES.labels(name, end)
        for fate in ("accepted", "refused", "due"):
            counts.OBJECTS.labels(name, fate)
    _leases([Work.DELIVER, Work.COMMIT])


def _leases(works: Iterable[Work]) -> None:
    for work in works:
        counts.LOST.labels(work)
        counts.EXPIRED.labels(work)
