"""What can go wrong, first by what to do next: try again later, or never again and tell a person.

CxrNodeError
├─ Retryable             the fault is not in the study: later
│  ├─ PeerUnavailable        no association, dropped, no answer, or A7xx "out of resources"
│  ├─ BrokerUnavailable      Redis/Valkey does not answer
│  ├─ DeviceLost             the GPU has failed, and this process cannot use it again
│  ├─ LedgerUnavailable      the ledger's database does not answer; receipts wait on the disk
│  ├─ SpoolFull              the disk is below receiving.reserve_gb, or has no room for a result
│  ├─ AuditUnavailable       the audit trail cannot be written: nobody is shown a study then
│  └─ StillOwed              a study is to be erased, and something of it is under way or owed
└─ Permanent             the same again would end the same way
   ├─ SettingsError          every fault of a settings file in one message
   ├─ NotApplicable          not a frontal chest radiograph: counted, nothing sent
   ├─ Refused                claims to be one, and may not be read (carries the reason)
   ├─ Unreadable             absent or damaged bytes (the outcome is "failed")
   ├─ ModelMismatch          the weights are not the ones on the card
   ├─ TrainingError          recipe or data set not fit to train on
   ├─ Unknown                no study or model has the name that was given
   ├─ NoWayBack              results go to whoever sent the study, and receiving.senders has no port for it
   ├─ PeerRefused            the peer answered with a failure status, or offers no such service (carries the status)
   └─ StaleLease             somebody else holds this task now: drop the work
"""


class CxrNodeError(Exception):
    """Anything this node raises on purpose; its text is one sentence for a person."""


class Retryable(CxrNodeError):
    """Try again later: the fault is not in the study."""


class PeerUnavailable(Retryable):
    """A DICOM peer could not be reached, went away, or asked to be asked again."""


class BrokerUnavailable(Retryable):
    """The queue's broker does not answer; the ledger remembers what is due."""


class DeviceLost(Retryable):
    """The GPU has failed: whatever this process asks of it from now on fails too, and only a new one may use it."""


class LedgerUnavailable(Retryable):
    """The ledger's database cannot be opened or does not answer."""


class SpoolFull(Retryable):
    """The disk under the spool has less room than receiving.reserve_gb, or than a result needs."""


class AuditUnavailable(Retryable):
    """The audit trail cannot be written; the text names its folder."""


class StillOwed(Retryable):
    """A study cannot be erased yet; the text says what of it is under way or owed."""


class Permanent(CxrNodeError):
    """Never try again; a person should look."""


class SettingsError(Permanent):
    """The settings are wrong; the text lists every fault."""


class NotApplicable(Permanent):
    """Not a frontal chest radiograph; the text says why."""


class Refused(Permanent):
    """Presented as a frontal chest radiograph, but may not be read; the text says why."""


class Unreadable(Permanent):
    """The bytes are not a readable image; the text says why."""


class ModelMismatch(Permanent):
    """A model's file and its card do not agree, or the card cannot be kept on this machine."""


class TrainingError(Permanent):
    """A recipe or a data set is not fit to train on."""


class Unknown(Permanent):
    """A study or a model was asked for by a name that the ledger does not know."""


class NoWayBack(Permanent):
    """Results are to go back to a sender that the settings give no port for; the text names its AE title."""


class PeerRefused(Permanent):
    """The peer answered with a failure status, or does not offer what it was asked for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StaleLease(Permanent):
    """The lease ran out and the task was given to somebody else: its result must not be written."""
