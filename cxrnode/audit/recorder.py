"""What one process of the node tells the audit trail: each event as it happened, or the reason why it cannot be told.

What the node does by itself goes on when the trail cannot be written; the log says so. What a person asks to see is
not shown then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cxrnode.audit import events
from cxrnode.audit.events import About, Here, Question, application_entity
from cxrnode.audit.message import Message, Participant
from cxrnode.audit.trail import Trail
from cxrnode.audit.who import person, process
from cxrnode.errors import AuditUnavailable
from cxrnode.log import logger
from cxrnode.settings import Settings
from cxrnode.settings.destination import Destination

LOG = logger("audit")


@dataclass(frozen=True)
class Arrived:
    """What came of one study over one association: instances by SOP class, and whether any was not here before."""

    calling_ae: str
    address: str
    last_at: datetime
    about: About
    instances: Mapping[str, int]
    new: bool


class Recorder:
    """The trail as one process writes it; `what` is what the process is called in messages."""

    def __init__(self, settings: Settings, what: str) -> None:
        self.trail = Trail(folder_of(settings))
        self._what, self._node = what, settings.node

    @property
    def here(self) -> Here:
        """This process, asked anew each time: after a fork it is another."""
        return Here(self._node.name, process(self._what, self._node.ae_title))

    def started(self, now: datetime) -> None:
        """This process begins its work."""
        self._tell([events.application(self.here, now, person(), start=True)], now)

    def stopped(self, now: datetime) -> None:
        """It has ended it."""
        self._tell([events.application(self.here, now, person(), start=False)], now)

    def received(self, arrived: Sequence[Arrived], now: datetime) -> None:
        """Instances came. Raises AuditUnavailable: they are told later."""
        told = []
        for one in arrived:
            sender = application_entity(one.calling_ae, one.address)
            told.append(events.received(self.here, one.last_at, sender, one.about, one.instances, new=one.new))
        self.trail.write(told, now)

    def sending(self, to: Destination, about: About, instances: Mapping[str, int], now: datetime) -> None:
        """Objects are about to be sent."""
        self._tell([events.begins(self.here, now, _peer(to), about, instances)], now)

    def sent(
        self, to: Destination, about: About, instances: Mapping[str, int], now: datetime, reason: str = ""
    ) -> None:
        """Objects were taken, or with a `reason` were not."""
        self._tell([events.sent(self.here, now, _peer(to), about, instances, reason)], now)

    def asked(self, peer: Destination, question: Question, now: datetime, *, by_hand: bool = False) -> None:
        """A PACS is asked by C-FIND, by the node itself or for whoever runs this process."""
        self._ask(_peer(peer), question, now, by_hand=by_hand)

    def asked_web(self, question: Question, now: datetime) -> None:
        """A PACS is asked over DICOMweb, for whoever runs this process."""
        self._ask(Participant(question.identifier), question, now, by_hand=True)

    def refused(self, calling_ae: str, address: str, reason: str, now: datetime) -> None:
        """Somebody was not let in."""
        self._tell([events.alert(self.here, now, application_entity(calling_ae, address), reason)], now)

    def removed(self, about: About, instances: Mapping[str, int], now: datetime, *, by_hand: bool) -> None:
        """A study is removed, by the node's own rule or by whoever runs this process. Raises AuditUnavailable."""
        by = person() if by_hand else None
        self.trail.write([events.deleted(self.here, now, by, about, instances)], now)

    def looked(self, about: Sequence[About], now: datetime) -> None:
        """Whoever runs this process is about to be shown these studies. Raises AuditUnavailable: show nothing."""
        self.trail.write([events.accessed(self.here, now, person(), one) for one in about], now)

    def read_trail(self, now: datetime) -> None:
        """Whoever runs this process is about to be shown the trail itself. Raises AuditUnavailable."""
        uri = self.trail.folder.absolute().as_uri()
        self.trail.write([events.log_used(self.here, now, person(), uri)], now)

    def copied(self, folder: Path, now: datetime) -> None:
        """Whoever runs this process has made a backup in a folder."""
        self._tell([events.copied(self.here, now, person(), folder.absolute().as_uri())], now)

    def brought_back(self, folder: Path, now: datetime) -> None:
        """Whoever runs this process has restored a backup from a folder."""
        self._tell([events.brought_back(self.here, now, person(), folder.absolute().as_uri())], now)

    def _ask(self, peer: Participant, question: Question, now: datetime, *, by_hand: bool) -> None:
        self._tell([events.query(self.here, now, peer, question, person() if by_hand else None)], now)

    def _tell(self, messages: Sequence[Message], now: datetime) -> None:
        try:
            self.trail.write(messages, now)
        except AuditUnavailable as error:
            LOG.error("audit not written", messages=len(messages), reason=str(error))


def folder_of(settings: Settings) -> Path:
    """Where the trail lies."""
    return Path(settings.audit.folder) if settings.audit.folder else settings.node.state_dir / "audit"


def _peer(destination: Destination) -> Participant:
    return application_entity(destination.ae_title, destination.host)
