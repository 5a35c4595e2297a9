"""Where the lungs are, and how much of a heat map lies in them; one owner of the network in each process."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cxrnode.finding import Finding, Heatmap
from cxrnode.log import logger
from cxrnode.radiograph import Film
from models.card import Input
from models.devices import CPU, choose, ran_out
from models.fill import fill
from models.lungcard import Localised, Mask, load_lung_card
from models.prepared import prepared
from models.preprocess import to_tensor
from models.unet import UNet

LOG = logger("lungs")


class Terms(Protocol):
    """What a segmenter is used by: its card says it, and the recipe before there is a card."""

    @property
    def input(self) -> Input:
        """What the network is fed."""

    @property
    def mask(self) -> Mask:
        """What counts as lung."""

    @property
    def localised(self) -> Localised:
        """When a map counts as pointing at it."""


class Lungs:
    """A segmenter ready to use; its owner sees to it that callers take turns. `digest` is its card's."""

    def __init__(self, terms: Terms, network: nn.Module, device: torch.device, digest: str = "") -> None:
        self.terms = terms
        self.device = device
        self.digest = digest
        self._network = network

    def mask(self, radiograph: Film) -> NDArray[np.float32]:
        """A radiograph in [0, 1], air dark -> how likely each of its pixels is lung, (rows, cols) in [0, 1]."""
        return self._on_the_grid_of(radiograph, self._likely(radiograph))

    def region(self, radiograph: Film) -> NDArray[np.bool_]:
        """The lungs, grown as the card says, (rows, cols): where a heat map may point."""
        return self._on_the_grid_of(radiograph, self._grown(radiograph)) >= 0.5

    def share(self, heatmap: Heatmap, radiograph: Film) -> float | None:
        """The part of the map's mass, in [0, 1], that lies in the region; None for an empty map.

        Where no lungs are found, none of it does.
        """
        found = self._shares(heatmap, radiograph)
        return found and found[0]

    def localise(self, finding: Finding, radiograph: Film) -> Finding:
        """The finding with the share of its map that lies in the lungs, and whether that is enough."""
        found = self._shares(finding.heatmap, radiograph)
        if found is None:
            return finding
        share, evenly = found
        return replace(finding, lung_share=share, localised=share > 0 and share >= self.terms.localised.times * evenly)

    def warm(self) -> None:
        """One pass over a blank image, so that the first patient does not wait."""
        self.mask(np.zeros((self.terms.input.rows, self.terms.input.columns), dtype=np.float32))

    def _shares(self, heatmap: Heatmap, radiograph: Film) -> tuple[float, float] | None:
        """The region's share of the map's mass, and of the image, which is that of a map spread evenly."""
        values = heatmap.resized(self.terms.input.rows, self.terms.input.columns).astype(np.float64)
        whole = float(values.sum())
        if whole <= 0.0:
            return None
        region = self._grown(radiograph)[0, 0].numpy() > 0
        return min(float(values[region].sum()) / whole, 1.0), float(region.mean())

    def _likely(self, radiograph: Film) -> Tensor:
        """(1, 1, rows, columns) of the network's grid, in [0, 1]."""
        inputs = to_tensor(radiograph, self.terms.input)[None]
        try:
            return self._seen(inputs)
        except RuntimeError as error:
            if self.device == CPU or not ran_out(error):
                raise
        self._network.to(CPU)
        self.device = CPU
        LOG.warning("the GPU's memory is full: lungs are looked for on the CPU")
        return self._seen(inputs)

    def _seen(self, inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            likely: Tensor = self._network(inputs.to(self.device)).sigmoid().float().cpu()
        return likely

    def _grown(self, radiograph: Film) -> Tensor:
        """(1, 1, rows, columns) of the network's grid: 1 in the lungs as they are after they have grown, else 0."""
        lungs = (self._likely(radiograph) >= self.terms.mask.probability).float()
        by = [round(self.terms.mask.dilation * side) for side in (self.terms.input.rows, self.terms.input.columns)]
        kernel = [2 * one + 1 for one in by]
        return functional.max_pool2d(lungs, kernel_size=kernel, stride=1, padding=by)

    @staticmethod
    def _on_the_grid_of(radiograph: Film, values: Tensor) -> NDArray[np.float32]:
        rows, columns = radiograph.shape
        if values.shape[2:] != (rows, columns):
            values = functional.interpolate(values, (rows, columns), mode="bilinear", antialias=True)
        spread: NDArray[np.float32] = values[0, 0].clamp(0.0, 1.0).numpy()
        return spread


def load(folder: Path, device: str = "auto") -> Lungs:
    """Load the segmenter in `folder`; raises ModelMismatch."""
    card = load_lung_card(folder)
    network: nn.Module = UNet(card.width)
    fill(network, folder, card, f"a U-Net of width {card.width}")
    place = choose(device)
    return Lungs(card, prepared(network).to(place), place, card.digest)
