"""Whoever asks to see a study is in the trail before anything is shown."""

from collections.abc import Iterable
from datetime import datetime

from cxrnode.audit.about import about
from cxrnode.audit.events import About
from cxrnode.audit.recorder import Recorder
from cxrnode.ledger import Ledger
from cxrnode.ledger.holdings import images_of
from cxrnode.settings import Settings
from cxrnode.spool import Spool


def looks(settings: Settings, command: str, ledger: Ledger, studies: Iterable[str], now: datetime) -> None:
    """Tell the trail that this user is about to be shown the studies of these names, by this command.

    Raises Unknown, and AuditUnavailable where nobody may be shown anything.
    """
    Recorder(settings, command).looked([whose_is(settings, ledger, study) for study in studies], now)


def whose_is(settings: Settings, ledger: Ledger, study: str) -> About:
    """The study of this name and its patient, as far as an image of it is there still. Raises Unknown."""
    named = images_of(ledger, study)
    there = settings.node.spool_dir.is_dir()  # nothing is made by asking
    spool = Spool(settings.node.spool_dir) if there else None
    images = [spool.image(key) for key in named.instances] if spool else []
    return about(images, named.study_instance_uid, named.key)
