"""Until when certificates are good, and what of the audit trail its collector has not."""

import ssl
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily

from cxrnode.audit.forward import standing
from cxrnode.audit.recorder import folder_of
from cxrnode.audit.trail import Trail
from cxrnode.metrics.families import Labels, gauge, single
from cxrnode.settings import Settings
from cxrnode.tls import context
from cxrnode.validity import ends, list_ends


def of_certificates(settings: Settings, _now: datetime) -> list[GaugeMetricFamily]:
    """When certificates and lists of revoked ones end, by file's name: the first of each. Raises SettingsError.

    Also for a key that is not the certificate's: a receiver goes on with what it read before, until that ends.
    """
    used = [*(one.tls for one in settings.listeners), *(one.return_tls for one in settings.senders)]
    used += [*(one.tls for one in settings.destinations), *(one.tls for one in settings.archives)]
    named, lists = {str(settings.audit.certificate_file or ""), settings.queue.certificate_file}, set()
    for by in {one for one in used if one}:
        context(by, ssl.PROTOCOL_TLS_SERVER)
        named |= {by.certificate_file, by.ca_file}
        lists.add(by.crl_file)
    shown = [(Path(file).name, ends(Path(file))) for file in named if file]
    listed = [(Path(file).name, end) for file in lists if file and (end := list_ends(Path(file)))]
    told = "When the first certificate in a file ends: this node's, one between, or an authority's."
    return [
        gauge("certificate_end_timestamp_seconds", told, ("file",), _first(shown)),
        gauge("crl_end_timestamp_seconds", "When a list of what was revoked ends.", ("file",), _first(listed)),
    ]


def of_audit(settings: Settings, now: datetime) -> list[GaugeMetricFamily]:
    """How the audit trail stands with its collector; zeros where it has none.

    Raises AuditUnavailable where it cannot be written: the node works on then, and nobody else would notice.
    """
    trail, waiting, away_s = Trail(folder_of(settings)), 0, 0.0
    trail.require_writable()
    if settings.audit.syslog != "off":
        stands = standing(trail, now)
        waiting = stands.waiting
        away_s = (now - datetime.fromisoformat(stands.away_since)).total_seconds() if stands.away_since else 0.0
    return [
        single("audit_unsent_messages", "Audit messages that wait for the collector.", waiting),
        single("audit_away_seconds", "For how long the audit's collector gave no answer.", away_s),
    ]


def _first(moments: Iterable[tuple[str, datetime]]) -> dict[Labels, float]:
    """By name; of several files of one name, the first."""
    return {(name,): moment.timestamp() for name, moment in sorted(moments, reverse=True)}
