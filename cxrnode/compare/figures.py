"""Every number of a comparison: what was read by whom, agreement, differences and, with labels, who was right."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from cxrnode.compare.agreement import (
    Calling,
    Calls,
    Differences,
    Estimate,
    agreement,
    any_of,
    calling,
    differences,
    kappa,
    logit,
    mcnemar,
    share,
)
from cxrnode.compare.images import OUTCOMES, Images
from cxrnode.compare.roc import Areas, areas
from cxrnode.compare.truth import Truth


@dataclass(frozen=True)
class Coverage:
    """How many images, and studies, were read by whom; analysed: a probability came of it."""

    images_read_by_both: int
    images_read_by_a_alone: int
    images_read_by_b_alone: int
    images_analysed_by_both: int
    studies_read_by_both: int
    studies_analysed_by_both: int


@dataclass(frozen=True)
class Agreed:
    """How far two models agree on the images that both analysed."""

    images: Calling
    studies: Calling
    """a study is positive where any of these images is"""
    images_alike: Estimate
    kappa: Estimate
    studies_flipped: Estimate
    mcnemar_p: float
    """of the studies, which are independent; the images of one are not"""
    probability: Differences
    logit: Differences


@dataclass(frozen=True)
class Judged:
    """One model against the truth, at the operating points that it was read with."""

    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True)
class Labelled:
    """Two models against labels, on the images that both analysed and that have one."""

    positives: Calling
    negatives: Calling
    images_without: int
    """analysed by both, with no label"""
    studies_without: int
    """with no such image that has one"""
    names_unknown: tuple[str, ...]
    a: Judged
    b: Judged
    roc: Areas | None
    """None where one of the classes is absent"""


@dataclass(frozen=True)
class Figures:
    """Every number of a comparison; `outcomes` counts images by what A, then B, made of them."""

    coverage: Coverage
    outcomes: dict[str, dict[str, int]]
    agreed: Agreed | None
    """None where there is no image that both analysed"""
    labelled: Labelled | None
    """None without labels"""


def figures(images: Images, truth: Truth | None) -> Figures:
    """Every number of these images."""
    both = images.analysed_by_both
    agreed = _agreed(images, both) if both.any() else None
    return Figures(_coverage(images), _outcomes(images), agreed, None if truth is None else _labelled(images, truth))


def _coverage(images: Images) -> Coverage:
    read, analysed = images.read_by_both, images.analysed_by_both
    return Coverage(
        images_read_by_both=int(read.sum()),
        images_read_by_a_alone=int((images.b.outcome < 0).sum()),
        images_read_by_b_alone=int((images.a.outcome < 0).sum()),
        images_analysed_by_both=int(analysed.sum()),
        studies_read_by_both=len(np.unique(images.study[read])),
        studies_analysed_by_both=len(np.unique(images.study[analysed])),
    )


def _outcomes(images: Images) -> dict[str, dict[str, int]]:
    """The outcomes that occur, in their own order, for either model the same."""
    read = images.read_by_both
    counts = Counter(zip(images.a.outcome[read].tolist(), images.b.outcome[read].tolist(), strict=True))
    there = sorted({place for pair in counts for place in pair})
    return {str(OUTCOMES[i]): {str(OUTCOMES[j]): counts[i, j] for j in there} for i in there}


def _agreed(images: Images, both: Calls) -> Agreed:
    study, a, b = images.study[both], images.a.positive[both], images.b.positive[both]
    given = images.a.probability[both], images.b.probability[both]
    by_study = calling(any_of(a, study), any_of(b, study))
    return Agreed(
        images=calling(a, b),
        studies=by_study,
        images_alike=agreement(a, b, study),
        kappa=kappa(a, b, study),
        studies_flipped=share(by_study.flips, by_study.total),
        mcnemar_p=mcnemar(by_study.only_a, by_study.only_b),
        probability=differences(*given, study),
        logit=differences(logit(given[0]), logit(given[1]), study),
    )


def _labelled(images: Images, truth: Truth) -> Labelled:
    both, known = images.analysed_by_both, images.analysed_by_both & truth.known
    a, b, true, study = images.a.positive[known], images.b.positive[known], truth.positive[known], images.study[known]
    positives, negatives = calling(a[true], b[true]), calling(a[~true], b[~true])
    return Labelled(
        positives=positives,
        negatives=negatives,
        images_without=int((both & ~truth.known).sum()),
        studies_without=len(np.setdiff1d(images.study[both], study)),
        names_unknown=truth.names_unknown,
        a=_judged(a, true),
        b=_judged(b, true),
        roc=areas(images.a.probability[known], images.b.probability[known], true, study),
    )


def _judged(called: Calls, true: Calls) -> Judged:
    positives = int(true.sum())
    hits, spared = int((called & true).sum()), int((~called & ~true).sum())
    return Judged(share(hits, positives), share(spared, len(true) - positives))
