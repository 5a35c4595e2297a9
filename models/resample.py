"""A film made as small or large as wanted: bilinear, low-pass filtered where it shrinks, as torch and Pillow do it.

What JPEG 2000 keeps of a film at a half or a quarter is resampled as the film that it stands for: all that is missing
from that is finer than two of its pixels. Sparse matrices from left and right are exact, and the quickest way besides.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from weakref import ref

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from cxrnode.radiograph import Film, Greys, Halved, Radiograph
from models.fit import Box

SYNTHESIS: Mapping[str, tuple[float, ...]] = {
    "5/3": (1.0, 0.5),
    "9/7": (1.115087052456994, 0.591271763114247, -0.05754352622849957, -0.09127176311424948),
}
"""The middle and one side of each wavelet's low-pass filter of synthesis (ISO/IEC 15444-1, F.3.8), sum 2."""


def resampled(film: Film, seen: Box, rows: int, columns: int) -> Greys:
    """The part of a film that is seen, in its own pixels -> (rows, columns); its own size passes unchanged."""
    radiograph = Radiograph.of(film)
    latest, made = _LATEST[0]
    if latest() is not radiograph:
        made = {}
        _LATEST[0] = (ref(radiograph), made)
    if (seen, rows, columns) not in made:
        made[seen, rows, columns] = _made(radiograph, seen, rows, columns)
    return made[seen, rows, columns].copy()


_LATEST: list[tuple[Callable[[], Radiograph | None], dict[tuple[Box, int, int], Greys]]] = [(lambda: None, {})]
"""The film that was last asked for and what was made of it: gate and segmenter look at the same small picture."""


def _made(radiograph: Radiograph, seen: Box, rows: int, columns: int) -> Greys:
    down = weights(radiograph.rows, (seen.top, seen.bottom), rows, radiograph.halved)
    across = weights(radiograph.columns, (seen.left, seen.right), columns, radiograph.halved)
    lower = cv2.transpose(down @ np.ascontiguousarray(radiograph.greys))
    return np.asarray(cv2.transpose(across @ lower), dtype=np.float32)


@lru_cache(maxsize=256)
def weights(side: int, seen: tuple[int, int], count: int, halved: Halved | None) -> csr_array:
    """(count, pixels there are of a side): what each of them adds to each of `count` pixels, sum 1."""
    first, last = seen
    scale = (last - first) / count
    support = max(scale, 1.0)
    middle = first + (np.arange(count)[:, None] + 0.5) * scale
    places = np.floor(middle - support).astype(np.int64) + np.arange(int(2 * support) + 2)
    shares = np.clip(1.0 - np.abs((places + 0.5 - middle) / support), 0.0, None)
    shares[(places < first) | (places >= last)] = 0.0
    shares /= shares.sum(axis=1, keepdims=True)
    targets = np.broadcast_to(np.arange(count)[:, None], places.shape)
    matrix = _matrix(shares, targets, places.clip(0, side - 1), (count, side))
    for _ in range(halved.times if halved else 0):
        matrix = csr_array(matrix @ _synthesis(matrix.shape[1], SYNTHESIS[halved.wavelet] if halved else ()))
    return csr_array(matrix, dtype=np.float32)


def _synthesis(side: int, taps: tuple[float, ...]) -> csr_array:
    """(side, ceil(side / 2)): a side from its lower half band alone, mirrored at its ends (F.3.7)."""
    targets, places, shares = [], [], []
    for offset in range(1 - len(taps), len(taps)):
        target = np.arange(offset % 2, side, 2)
        place = np.abs(target - offset)
        place = np.where(place < side, place, 2 * (side - 1) - place)
        targets.append(target)
        places.append(place // 2)
        shares.append(np.full(len(target), taps[abs(offset)]))
    size = (side, -(-side // 2))
    return _matrix(np.concatenate(shares), np.concatenate(targets), np.concatenate(places), size)


def _matrix(
    shares: NDArray[np.float64], targets: NDArray[np.int64], places: NDArray[np.int64], shape: tuple[int, int]
) -> csr_array:
    matrix = csr_array(coo_array((shares.ravel(), (targets.ravel(), places.ravel())), shape=shape))
    matrix.eliminate_zeros()
    return matrix
