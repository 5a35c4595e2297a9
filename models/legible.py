"""Pictures in which there is nothing to judge, by plain measures: blank, noise, or a small patch in an empty frame."""

from torch import Tensor

BLANK = 0.02
"""part of the full range of greys that the middle 98 % of the pixels must span"""
GRAIN = 0.8
"""correlation of neighbouring pixels below which a picture is noise; of 677 validation films 0.92 was the least, of
white noise of 64 to 2000 pixels a side 0.75 the most"""
FILLED = 0.2
"""part of the frame that the picture must fill; no validation film lay in an empty frame at all"""
APART = 0.1
"""difference from the frame's own grey, as part of the range, at which something is there"""


def nothing_there(picture: Tensor) -> str:
    """(1, rows, columns) in [0, 1], already small -> what is wrong as a sentence, or ""."""
    low, high = picture.flatten().quantile(picture.new_tensor([0.01, 0.99])).tolist()
    if high - low < BLANK:
        return f"The picture is blank: its greys span {high - low:.1%} of their range; wanted {BLANK:.0%} or more"
    if (found := grain(picture)) < GRAIN:
        return f"The picture is noise: neighbouring pixels correlate by {found:.2f}; wanted {GRAIN:.2f} or more"
    if (found := filled((picture - low) / (high - low))) < FILLED:
        return f"The picture fills {found:.0%} of an otherwise empty frame; wanted {FILLED:.0%} or more"
    return ""


def grain(picture: Tensor) -> float:
    """Correlation of (1, rows, columns)'s pixels with their neighbours to the right and below: 1 smooth, 0 noise."""
    apart = picture - picture.mean()
    across = (apart[:, :, 1:] * apart[:, :, :-1]).mean()
    down = (apart[:, 1:] * apart[:, :-1]).mean()
    return float((across + down) / (2 * apart.square().mean()))


def filled(picture: Tensor) -> float:
    """Part of the frame in the smallest box round all that differs from the frame's edge; 1 where the edge varies."""
    edge = [picture[:, 0], picture[:, -1], picture[:, :, 0], picture[:, :, -1]]
    ground = edge[0].median()
    if max(float((side - ground).abs().max()) for side in edge) > APART:
        return 1.0
    there = (picture[0] - ground).abs() > APART
    rows, columns = there.any(dim=1).nonzero(), there.any(dim=0).nonzero()
    if not len(rows):
        return 0.0
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return float(box / there.numel())
