"""The rule of what comes late: whether a later round of a study says anything that its earlier results do not say.

A duplicate, one of our own results and other content under a known UID open no round at all. Any other image does, and
every instance has its outcome in it. New results are made when what they would say has changed: an image that is read,
refused or failed is new, or has another outcome, reason or warning than before; or a patient was corrected. Otherwise
(a late lateral, a foot) the earlier results stand, wherever these would be sent, and the round's record says so. Where
the earlier ones were withdrawn, purged, or never reached a destination that would have these, they do not stand.
"""

from collections.abc import Sequence

from cxrnode.finding import Outcome, Reading
from cxrnode.study import Instance
from cxrnode.uids import digest_of


def gist(instances: Sequence[Instance], readings: Sequence[Reading]) -> str:
    """A digest of what the results of these readings say, one an instance: the same of two rounds, nothing is new.

    Not part of it are probability and map: the same image read again, if by another model, is no news.
    """
    said = [
        [instance.key, instance.sha256, reading.outcome, reading.reason, *reading.warnings]
        for instance, reading in zip(instances, readings, strict=True)
        if reading.outcome is not Outcome.NOT_APPLICABLE or instance.corrected
    ]
    return digest_of(sorted(said))
