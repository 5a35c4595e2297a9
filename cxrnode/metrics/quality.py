"""Whether readings stay good: how the canary stands."""

from datetime import datetime

from prometheus_client.core import GaugeMetricFamily

from cxrnode.ledger import Ledger, canaries
from cxrnode.metrics.families import single
from cxrnode.settings import Settings


def of_canary(settings: Settings, ledger: Ledger, now: datetime) -> list[GaugeMetricFamily]:
    """How the last canary ended; zeros where none was sent. Raises LedgerUnavailable."""
    flock = canaries.flock(ledger)
    lost = canaries.lost(flock, settings.canary.every, now)
    back_at = flock.back_at.timestamp() if flock and flock.back_at else 0.0
    took_s = flock.ended.took_s if flock and flock.ended and flock.ended.took_s else 0.0
    return [
        single("canary_lost", "Whether the last canary did not come back in time, or none is sent.", float(bool(lost))),
        single("canary_back_timestamp_seconds", "When a canary came back last; 0 before that.", back_at),
        single("canary_seconds", "How long the last canary took, from being sent to the end of its way.", took_s),
    ]
