"""Whether readings stay good: how the canary stands, and what has moved away from its reference."""

from datetime import datetime
from math import nan

from prometheus_client.core import GaugeMetricFamily

from cxrnode.ledger import Ledger, canaries, mixes
from cxrnode.metrics.families import Labels, gauge, single
from cxrnode.settings import Settings
from cxrnode.stability import Level, level

LEVELS = {Level.UNKNOWN: 0, Level.STABLE: 0, Level.WATCH: 1, Level.ALARM: 2}


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


def of_drift(settings: Settings, ledger: Ledger, now: datetime) -> list[GaugeMetricFamily]:
    """How far each aspect of each model's images has moved. Raises LedgerUnavailable."""
    wanted, by = settings.drift, ("model", "aspect")
    found = mixes.drifts(ledger, wanted.images, now, str(wanted.since))
    known: dict[Labels, float] = {(one.model, one.aspect): nan if one.index is None else one.index for one in found}
    levels: dict[Labels, float] = {
        (one.model, one.aspect): LEVELS[level(one.index, wanted.watch, wanted.alarm)] for one in found
    }
    told = "0: stable or not known yet; 1: watch; 2: alarm (drift.watch, drift.alarm)."
    return [
        gauge("drift_index", "Population stability index against the reference; NaN: not known yet.", by, known),
        gauge("drift_level", told, by, levels),
    ]
