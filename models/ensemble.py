"""Several models that answer as one: the mean of their calibrated probabilities, the mean of their maps.

Members trained with focal loss as in FLANNEL (Qiao et al., JAMIA 2021), whose learned weights per image are left out:
a plain mean of calibrated probabilities has nothing to overfit.
"""

import math
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cxrnode.finding import Algorithm, Finding, Heatmap
from cxrnode.radiograph import Film
from models.card import ModelCard
from models.devices import Gpu
from models.ensemblecard import Cast, card_of
from models.lungs import Lungs
from models.reader import Reader, reader_of
from models.site import Site

NEVER_QUITE = 1e-12
"""how near a mean probability may come to 0 or 1 before its logit is taken"""


class Ensemble:
    """Loaded members, each at its own card's prevalence; the site's comes after the mean."""

    def __init__(self, cast: Cast, members: Sequence[Reader], lungs: Lungs | None = None) -> None:
        self.card = cast
        self._members = tuple(members)
        self.site = Site(cast.algorithm(), lungs)

    @property
    def algorithm(self) -> Algorithm:
        """What results say of the ensemble, at this site."""
        return self.site.algorithm

    @property
    def device(self) -> torch.device:
        """Where the first of them runs now."""
        return self._members[0].device

    def read(self, radiographs: Sequence[Film]) -> list[Finding]:
        """Any number of radiographs in [0, 1], air dark -> one finding each, in the same order."""
        answers = [member.read(radiographs) for member in self._members]
        means = [combine(findings) for findings in zip(*answers, strict=True)]
        return [self.site.answer(mean, image) for mean, image in zip(means, radiographs, strict=True)]

    def at(self, prevalence: float | None) -> "Ensemble":
        """The same members at a site's own prevalence (None: theirs). Raises ModelMismatch."""
        other = copy(self)
        other.site = self.site.at(prevalence)
        return other

    def warm(self) -> None:
        """One pass of each member over a blank image."""
        for member in self._members:
            member.warm()
        self.site.warm()


def load_model(
    folder: Path, device: str = "auto", threads: int = 1, *, lungs: Lungs | None = None, gpu: Gpu | None = None
) -> Reader | Ensemble:
    """Load the model in `folder`, or the ensemble with its members. Raises ModelMismatch."""
    found = card_of(folder)
    if isinstance(found, ModelCard):
        return reader_of(found, folder, device, threads, lungs=lungs, gpu=gpu)
    held = zip(found.members, found.folders, strict=True)
    return Ensemble(found, [reader_of(card, one, device, threads, gpu=gpu) for card, one in held], lungs)


def combine(findings: Sequence[Finding]) -> Finding:
    """The members' findings on one radiograph -> one; its logit is that of the mean probability.

    One finding passes as it is. Raises ValueError when there is none.
    """
    if len(findings) < 2:
        (only,) = findings
        return only
    logit, mean = mean_of([finding.probability for finding in findings])
    return Finding(logit, mean, mean_map([finding.heatmap for finding in findings]))


def mean_of(probabilities: Sequence[float]) -> tuple[float, float]:
    """The logit of the members' mean probability, kept finite, and that mean."""
    mean = sum(probabilities) / len(probabilities)
    inside = min(max(mean, NEVER_QUITE), 1 - NEVER_QUITE)
    return math.log(inside / (1 - inside)), mean


def mean_map(heatmaps: Sequence[Heatmap]) -> Heatmap:
    """The mean of maps, each relative to its own maximum, on the finest of their grids; `peak` is the mean peak.

    Raises ValueError when the maps were made by different methods, whose values do not compare.
    """
    methods = {heatmap.method for heatmap in heatmaps}
    if len(methods) > 1:
        raise ValueError(f"maps by {', '.join(sorted(methods))} have no mean; wanted one method")
    rows = max(heatmap.values.shape[0] for heatmap in heatmaps)
    columns = max(heatmap.values.shape[1] for heatmap in heatmaps)
    mean: NDArray[np.float32] = np.mean([heatmap.resized(rows, columns) for heatmap in heatmaps], axis=0)
    highest = float(mean.max())
    values = (mean / highest if highest > 0 else mean).astype(np.float32)
    return Heatmap(values.clip(0, 1), float(np.mean([heatmap.peak for heatmap in heatmaps])), heatmaps[0].method)
