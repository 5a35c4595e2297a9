"""A network's passes over any number of images: batches that fit, halved when memory runs out, at last on the CPU."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cxrnode.errors import DeviceLost
from cxrnode.finding import Heatmap
from cxrnode.log import logger
from models.devices import CPU, ran_out
from models.explain import Explainer

ALONE = 1
"""images in one pass on a CPU"""
LOG = logger("passes")

Explained = tuple[float, Heatmap]
"""a logit and its map"""


class Passes:
    """The one that asks an explainer, and knows where it is and how much it can bear; one caller at a time.

    What was too much once is not tried again: a batch stays halved, and a network that has gone to the CPU stays there.
    """

    def __init__(self, explainer: Explainer, device: torch.device, batch: int, *, half: bool = False) -> None:
        """`batch` is the most images of one pass; `half`: in float16 where torch thinks it safe, never on the CPU."""
        self.device = device
        self.batch = batch
        self._explainer = explainer
        self._half = half

    def over(self, images: int, inputs_of: Callable[[int, int], Tensor]) -> list[Explained]:
        """So many images, of which `inputs_of(first, last)` makes (last - first, 3, rows, columns); in their order.

        Raises what torch raises when even the CPU has not enough, and DeviceLost for a GPU that fails.
        """
        found: list[Explained] = []
        while len(found) < images:
            last = min(len(found) + self.batch, images)
            explained = self._attempt(inputs_of(len(found), last), half=self._half)
            if explained is None:
                self._bear_less(last - len(found))
            else:
                found += explained
        return found

    def _attempt(self, inputs: Tensor, *, half: bool) -> list[Explained] | None:
        """None: it was too much for the device. What is beyond float16's largest (65504) is done again in float32."""
        try:
            with torch.autocast(self.device.type, torch.float16, enabled=half):
                logits, heatmaps = self._explainer.explain(inputs.to(self.device))
        except RuntimeError as error:
            if self.device != CPU and ran_out(error):
                return None  # what the error holds on to goes before anything else is tried
            if isinstance(error, torch.AcceleratorError):
                raise DeviceLost(f"{self.device} has failed: {str(error).splitlines()[0]}") from error
            raise
        except ValueError:  # a map of no numbers
            if not half:
                raise
            return self._attempt(inputs, half=False)
        if half and not np.isfinite(logits).all():
            return self._attempt(inputs, half=False)
        return list(zip(logits.tolist(), heatmaps, strict=True))

    def _bear_less(self, images: int) -> None:
        """So many at once were too much."""
        self._explainer.forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if images > 1:
            self.batch = images // 2
        else:
            self._explainer.move(CPU)
            self.device, self.batch, self._half = CPU, ALONE, False
        LOG.warning("the GPU's memory is full", images=images, batch=self.batch, device=str(self.device))
