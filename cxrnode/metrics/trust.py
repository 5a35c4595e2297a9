"""Until when certificates are good, and what of the audit trail its collector has not."""

from datetime import datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily

from cxrnode.audit.forward import standing
from cxrnode.audit.recorder import folder_of
from cxrnode.audit.trail import Trail
from cxrnode.metrics.families import Labels, gauge, single
from cxrnode.settings import Settings
from cxrnode.validity import ends


def of_certificates(settings: Settings, _now: datetime) -> list[GaugeMetricFamily]:
    """The end of each certificate that this node shows, by its file's name. Raises SettingsError."""
    used = [settings.receiving.tls, *(one.return_tls for one in settings.receiving.senders)]
    used += [*(one.tls for one in settings.destinations), *(one.tls for one in settings.archives)]
    files = {Path(by.certificate_file) for by in used if by}
    until: dict[Labels, float] = {(file.name,): ends(file).timestamp() for file in sorted(files)}
    return [gauge("certificate_end_timestamp_seconds", "When a certificate of this node ends.", ("file",), until)]


def of_audit(settings: Settings, now: datetime) -> list[GaugeMetricFamily]:
    """How the audit trail stands with its collector; zeros where it has none."""
    waiting, away_s = 0, 0.0
    if settings.audit.syslog != "off":
        stands = standing(Trail(folder_of(settings)), now)
        waiting = stands.waiting
        away_s = (now - datetime.fromisoformat(stands.away_since)).total_seconds() if stands.away_since else 0.0
    return [
        single("audit_unsent_messages", "Audit messages that wait for the collector.", waiting),
        single("audit_away_seconds", "For how long the audit's collector gave no answer.", away_s),
    ]
