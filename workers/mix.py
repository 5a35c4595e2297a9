"""What one live study adds to the mixes that drift is told from: its images by each aspect that is watched."""

from collections import Counter
from collections.abc import Sequence

from cxrnode.finding import Algorithm, Outcome, Reading
from cxrnode.headers.anatomy import view_of
from cxrnode.headers.header import text
from cxrnode.headers.routing import headers
from cxrnode.metrics.counts import kind_of
from cxrnode.settings import Rules
from cxrnode.stability import Aspect, tenth
from cxrnode.study import Study

READ, ABSENT = "read", "absent"


def mix_of(
    study: Study, readings: Sequence[Reading], algorithm: Algorithm, rules: Rules
) -> "Counter[tuple[Aspect, str]]":
    """Images by aspect and label; manufacturer and view of those alone that claim to be chest films."""
    mix: Counter[tuple[Aspect, str]] = Counter()
    opened = {instance.key: dataset for instance, dataset in headers(study)}
    for instance, reading in zip(study.instances, readings, strict=True):
        told = READ if reading.outcome.analysed else f"{reading.outcome}: {kind_of(reading.reason)}"
        mix[Aspect.OUTCOME, told] += 1
        if reading.finding is not None:
            at = tenth(reading.finding.probability, algorithm.prevalence, algorithm.card_prevalence)
            mix[Aspect.PROBABILITY, at] += 1
        dataset = opened.get(instance.key)
        if dataset is not None and reading.outcome is not Outcome.NOT_APPLICABLE:
            mix[Aspect.MANUFACTURER, text(dataset, "Manufacturer").strip().upper() or ABSENT] += 1
            mix[Aspect.VIEW, view_of(dataset, rules).term or ABSENT] += 1
    return mix
