"""Several models that answer as one: the mean of their calibrated probabilities, the mean of their maps.

Members trained with focal loss as in FLANNEL (Qiao et al., JAMIA 2021), whose learned weights per image are left out:
a plain mean of calibrated probabilities has nothing to overfit.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxrnode.finding import Finding, Heatmap

NEVER_QUITE = 1e-12
"""how near a mean probability may come to 0 or 1 before its logit is taken"""


def combine(findings: Sequence[Finding]) -> Finding:
    """The members' findings on one radiograph -> one; its logit is that of the mean probability.

    One finding passes as it is. Raises ValueError when there is none.
    """
    if len(findings) < 2:
        (only,) = findings
        return only
    mean = sum(finding.probability for finding in findings) / len(findings)
    inside = min(max(mean, NEVER_QUITE), 1 - NEVER_QUITE)
    return Finding(math.log(inside / (1 - inside)), mean, mean_map([finding.heatmap for finding in findings]))


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
    return Heatmap(values.clip(0, 1), float(np.mean([heatmap.peak for heatmap in heatmaps])), *methods)
