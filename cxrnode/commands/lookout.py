"""What watches that readings stay good, for `cxrnode status`: canary and drift, as words and as an object."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from cxrnode.ledger import Ledger, canaries, mixes
from cxrnode.ledger.canaries import Flock, Flown
from cxrnode.ledger.mixes import Drift
from cxrnode.settings import Settings
from cxrnode.stability import Aspect, Level, interval, level


@dataclass(frozen=True)
class Lookout:
    """How canaries stand (None: there was none), why there is an alarm, empty where there is none; what has moved."""

    flock: Flock | None
    lost: str
    drifts: tuple[tuple[Drift, Level], ...]


def look_out(settings: Settings, ledger: Ledger, now: datetime) -> Lookout:
    """How things stand now. Raises LedgerUnavailable."""
    flock = canaries.flock(ledger)
    wanted = settings.drift
    found = mixes.drifts(ledger, wanted.images, now, str(wanted.since))
    drifts = [(one, level(one.index, wanted.watch, wanted.alarm)) for one in found]
    return Lookout(flock, canaries.lost(flock, settings.canary.every, now), tuple(drifts))


def as_object(one: Lookout) -> dict[str, object]:
    """The same as plain values for JSON; no key for what there is none of."""
    drifts = [asdict(drift) | {"level": found} for drift, found in one.drifts]
    return _canary(one) | ({"drift": drifts} if drifts else {})


def in_words(one: Lookout) -> list[str]:
    """The same as lines."""
    return [*_canary_in_words(one), *_drift_in_words(one.drifts)]


def _canary(one: Lookout) -> dict[str, object]:
    if one.flock is None:
        return {}
    flock = one.flock
    back_at = flock.back_at and flock.back_at.isoformat()
    ended = None if flock.ended is None else _plain(flock.ended)
    return {"canary": {"lost": one.lost, "back_at": back_at, "latest": _plain(flock.latest), "ended": ended}}


def _canary_in_words(one: Lookout) -> list[str]:
    if one.flock is None:
        return []
    flock = one.flock
    when = f"{flock.back_at:%Y-%m-%d %H:%M} UTC" if flock.back_at else "never"
    if one.lost:
        whose = (flock.ended or flock.latest).study
        look = f"; `cxrnode trace {whose[:8]}`" if whose else ""
        return [f"CANARY LOST: {one.lost}. It came back last: {when}{look}."]
    if flock.ended is None or not flock.ended.back:
        return ["Canary: the first one is under way."]
    last = flock.ended
    read = "" if last.probability is None else f", read by {last.model} with {last.probability:.3f}"
    return [f"Canary: came back {when} after {last.took_s:.0f} s{read}."]


def _plain(one: Flown) -> dict[str, object]:
    moments = {name: getattr(one, name) for name in ("began_at", "due_at", "ended_at")}
    return asdict(one) | {name: at and at.isoformat() for name, at in moments.items()}


def _drift_in_words(drifts: Sequence[tuple[Drift, Level]]) -> list[str]:
    """A line for each model, and one for each aspect of it that has moved."""
    lines = []
    for model in dict.fromkeys(drift.model for drift, _ in drifts):
        mine = [(drift, found) for drift, found in drifts if drift.model == model]
        told = (f"{drift.aspect} {_short(drift, found)}" for drift, found in mine)
        lines.append(f"Drift of {model}: {', '.join(told)}.")
        lines += [_moved(drift, found) for drift, found in mine if found in (Level.WATCH, Level.ALARM)]
    return lines


def _short(drift: Drift, found: Level) -> str:
    if drift.index is not None:
        return f"{found} ({drift.index:.2f})"
    return f"not known yet ({drift.images} of {drift.wanted} images)" if drift.reference else "has no reference yet"


def _moved(drift: Drift, found: Level) -> str:
    said = "DRIFT" if found is Level.ALARM else "Watch"
    most = ""
    if drift.moved is not None:
        label = interval(drift.moved.label) if drift.aspect is Aspect.PROBABILITY else drift.moved.label
        most = f"; {label}: {drift.moved.before:.0%} then, {drift.moved.now:.0%} now"
    images = f"{drift.images} images since {drift.since} against {drift.reference}"
    return f"{said}: {drift.model}, {drift.aspect}: {images}{most}."
