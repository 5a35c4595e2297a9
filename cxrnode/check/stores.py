"""What the node cannot work without: the ledger, the broker, clocks that agree, an audit trail that can be written."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from redis import Redis, RedisError

from cxrnode import broker
from cxrnode.audit.recorder import folder_of
from cxrnode.audit.syslog import reach
from cxrnode.audit.trail import Trail
from cxrnode.check.passwords import PATIENCE_S, asked_of_broker
from cxrnode.errors import SettingsError
from cxrnode.jobs import QUEUES, Jobs
from cxrnode.ledger import Ledger, clock
from cxrnode.ledger.roundlines import round_lines
from cxrnode.settings import Settings

APART_S = 60.0
"""So far this clock may be from those of ledger and broker."""
KEEPS_ALL = "noeviction"
SQLITE = "sqlite:///"


def of_ledger(settings: Settings) -> str:
    """Raises LedgerUnavailable. One that is not there yet is not made: it would be whoever's runs this."""
    file = settings.ledger_url.removeprefix(SQLITE)
    if settings.ledger_url.startswith(SQLITE) and not Path(file).exists():
        return f"is not there yet; will be made as {file}"
    ledger = Ledger(settings.ledger_url)
    round_lines(ledger, 1)
    ledger.close()
    return "opened and read"


def of_broker(settings: Settings) -> str:
    """Raises BrokerUnavailable, and SettingsError where it may forget, or lets anybody in."""
    if not settings.queue.broker_url:
        server = broker.command(settings.node.run_dir)[0].rpartition("/")[2]
        there = (settings.node.run_dir / "broker.sock").exists()
        return _waits(settings) if there else f"embedded: cxrnode up starts {server}"
    told = _waits(settings)
    asked = Redis.from_url(settings.broker_url, socket_connect_timeout=PATIENCE_S, socket_timeout=PATIENCE_S)
    try:
        memory = asked.info("memory")
    except (RedisError, OSError):  # its user may not ask for that
        memory = {}
    finally:
        asked.close()
    policy = memory.get("maxmemory_policy", KEEPS_ALL)
    if memory.get("maxmemory") and policy != KEEPS_ALL:
        raise SettingsError(f"the broker throws tasks away when its memory is full ({policy}); wanted {KEEPS_ALL}")
    return f"{told}; {asked_of_broker(settings)}"


def _waits(settings: Settings) -> str:
    jobs = Jobs(settings.broker_url)
    try:
        return f"answers; {sum(jobs.waiting(*QUEUES))} tasks wait"
    finally:
        jobs.close()


def clocks(settings: Settings, now: Callable[[], datetime]) -> str:
    """Against those of ledger and broker: leases and retries are measured from moments that other hosts noted.

    Raises SettingsError, LedgerUnavailable and BrokerUnavailable.
    """
    apart = {}
    if not settings.ledger_url.startswith(SQLITE):  # which has no clock of its own
        ledger = Ledger(settings.ledger_url)
        if (at := clock.server(ledger)) is not None:
            apart["ledger"] = abs(now() - at).total_seconds()
        ledger.close()
    if settings.queue.broker_url:
        apart["broker"] = abs(Jobs(settings.broker_url).clock() - now()).total_seconds()
    told = "".join(f", the {whose}'s {seconds:.1f} s from it" for whose, seconds in apart.items())
    if max(apart.values(), default=0) > APART_S:
        raise SettingsError(f"this clock says {now():%H:%M:%S} UTC{told}; wanted {APART_S:g} s at the most")
    return f"{now():%Y-%m-%d %H:%M:%S} UTC{told}"


def of_trail(settings: Settings) -> str:
    """Nothing is written: where the folder is not there yet, the first of those above it that is has to be ours.

    Raises AuditUnavailable, and OSError where its collector does not answer.
    """
    folder = folder_of(settings)
    Trail(folder).require_writable()
    if settings.audit.syslog == "off":
        return f"kept in {folder}, sent to no collector"
    return f"kept in {folder}; {settings.audit.where} {reach(settings.audit)}"
