"""A film's pixels in memory: whole where they are few, else made small once, and decoded again when wanted whole.

5,232 films of 395 x 320 take 0.66 GB, and as many of any size about 0.53 GB, squashed to 224 x 224.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.card import Input
from models.preprocess import fitted

Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""(rows, cols): grey codes of 8 bits, or a radiograph as `cxrnode.decoding.pixels` makes it, float32 in [0, 1]"""

FEW_BYTES = 200_704
"""as much as a squashed film of 224 x 224 in single precision"""


class Kept:
    """The pixels of one film; `decode` gives them again."""

    def __init__(self, pixels: Pixels, decode: Callable[[], Pixels]) -> None:
        self._whole = pixels.copy() if pixels.nbytes <= FEW_BYTES else None
        self._decode = decode
        self._small: dict[tuple[int, int, str], NDArray[np.uint16]] = {}

    @property
    def pixels(self) -> Pixels:
        """As they were decoded; raises what `decode` raises."""
        return self._decode() if self._whole is None else self._whole

    def squashed(self, wanted: Input, pixels: Pixels | None = None) -> Tensor:
        """(1, rows, columns) float32 in [0, 1], as `wanted` says; `pixels` saves decoding them where they are at hand.

        Of films that are not kept whole it is rounded to 1/65535, a 257th of a grey of 8 bits, the first time too.
        """
        if self._whole is not None:
            return fitted(radiograph(self._whole), wanted)
        size = (wanted.rows, wanted.columns, wanted.resize)
        if size not in self._small:
            small = fitted(radiograph(self.pixels if pixels is None else pixels), wanted)
            self._small[size] = (small.numpy() * 65535).round().astype(np.uint16)
        return torch.from_numpy(self._small[size].astype(np.float32) / np.float32(65535))

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum(small.nbytes for small in self._small.values()) + (0 if self._whole is None else self._whole.nbytes)


def radiograph(pixels: Pixels) -> NDArray[np.float32]:
    """(rows, cols) float32 in [0, 1], as `cxrnode.decoding.pixels` hands a DICOM image to the model."""
    values = pixels.astype(np.float32, copy=False)
    return values / np.float32(255) if pixels.dtype == np.uint8 else values
