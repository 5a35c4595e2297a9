"""What watches that readings stay good, for `cxrnode status`: the canary, as words and as an object."""

from dataclasses import asdict, dataclass
from datetime import datetime

from cxrnode.ledger import Ledger, canaries
from cxrnode.ledger.canaries import Flock, Flown
from cxrnode.settings import Settings


@dataclass(frozen=True)
class Lookout:
    """How canaries stand (None: there was none), and why there is an alarm, empty where there is none."""

    flock: Flock | None
    lost: str


def look_out(settings: Settings, ledger: Ledger, now: datetime) -> Lookout:
    """How things stand now. Raises LedgerUnavailable."""
    flock = canaries.flock(ledger)
    return Lookout(flock, canaries.lost(flock, settings.canary.every, now))


def as_object(one: Lookout) -> dict[str, object]:
    """The same as plain values for JSON; no key for what there is none of."""
    if one.flock is None:
        return {}
    flock = one.flock
    back_at = flock.back_at and flock.back_at.isoformat()
    ended = None if flock.ended is None else _plain(flock.ended)
    return {"canary": {"lost": one.lost, "back_at": back_at, "latest": _plain(flock.latest), "ended": ended}}


def in_words(one: Lookout) -> list[str]:
    """The same as lines."""
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
