"""A model in service: radiographs in, findings out; one owner of the network in each process."""

import os
import threading
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cxrnode.finding import Algorithm, Finding, Heatmap
from cxrnode.radiograph import Film
from models.calibrate import probability
from models.card import ModelCard, load_card
from models.devices import Gpu, choose
from models.explain import Explainer
from models.fill import fill
from models.fit import fit_of
from models.lungs import Lungs
from models.networks import build
from models.passes import ALONE, Passes
from models.prepared import prepared
from models.preprocess import to_tensor
from models.site import Site

BATCH = {"cuda": Gpu().batch, "cpu": ALONE}
"""the most images in one forward pass; more are read one batch after another.

On a CPU, which gains nothing from more, each image is read alone: its probability is then the same to the last bit
whoever came with it. oneDNN sums in another order for another batch, and 1.3e-6 was measured between 1 and 16.
"""


class Reader:
    """A loaded model. Threads take turns; a forked child must load its own, and is told so."""

    def __init__(
        self,
        card: ModelCard,
        explainer: Explainer,
        device: torch.device,
        lungs: Lungs | None = None,
        gpu: Gpu | None = None,
    ) -> None:
        self.card = card
        self.site = Site(card.algorithm(), lungs)
        bears = gpu if gpu and device.type == "cuda" else Gpu(BATCH[device.type])
        self._passes = Passes(explainer, device, bears.batch, half=bears.half)
        self._turn = threading.Lock()
        self._owner = os.getpid()

    @property
    def algorithm(self) -> Algorithm:
        """What results say of the model, at this site."""
        return self.site.algorithm

    @property
    def device(self) -> torch.device:
        """Where it runs now."""
        return self._passes.device

    def read(self, radiographs: Sequence[Film]) -> list[Finding]:
        """Any number of radiographs in [0, 1], air dark -> one finding each, in the same order."""
        if os.getpid() != self._owner:
            raise RuntimeError("the model was loaded before the fork; wanted each process to load its own")
        with self._turn:
            explained = self._passes.over(len(radiographs), lambda first, last: self._inputs(radiographs[first:last]))
            return [self._answer(*one, radiograph) for one, radiograph in zip(explained, radiographs, strict=True)]

    def at(self, prevalence: float | None) -> "Reader":
        """The same network, taking turns with this one, at a site's own prevalence (None: the card's).

        Raises ModelMismatch.
        """
        other = copy(self)
        other.site = self.site.at(prevalence)
        return other

    def warm(self) -> None:
        """One pass over a blank image, so that the first patient does not wait for libraries to start."""
        self.read([np.zeros((self.card.input.rows, self.card.input.columns), dtype=np.float32)])
        self.site.warm()

    def _inputs(self, radiographs: Sequence[Film]) -> Tensor:
        return torch.stack([to_tensor(radiograph, self.card.input) for radiograph in radiographs])

    def _answer(self, logit: float, heatmap: Heatmap, radiograph: Film) -> Finding:
        meaning = self.card.calibration
        placed = fit_of(radiograph.shape, self.card.input).place(heatmap)
        finding = Finding(logit, probability(logit, meaning.temperature, meaning.bias), placed)
        return self.site.answer(finding, radiograph)


def load(
    folder: Path,
    device: str = "auto",
    threads: int = 1,
    prevalence: float | None = None,
    *,
    lungs: Lungs | None = None,
    gpu: Gpu | None = None,
) -> Reader:
    """Load the model in `folder`, its probabilities at `prevalence` or else the card's. Raises ModelMismatch.

    `threads` 0 leaves their number to torch, and with it about 1e-6 of the probability. With `lungs` each positive
    finding says how much of its map lies in them.
    """
    return reader_of(load_card(folder), folder, device, threads, lungs=lungs, gpu=gpu).at(prevalence)


def reader_of(
    card: ModelCard,
    folder: Path,
    device: str = "auto",
    threads: int = 1,
    *,
    lungs: Lungs | None = None,
    gpu: Gpu | None = None,
) -> Reader:
    """The reader of a card that has been held to the weights in `folder`. Raises ModelMismatch."""
    if threads:
        torch.set_num_threads(threads)
    network, place = _filled(card, folder, device)
    layer = card.explanation.layer
    explainer = Explainer(prepared(network, layer), layer, card.explanation.map_method)
    return Reader(card, explainer, place, lungs, gpu)


def network_of(folder: Path, device: str = "auto") -> tuple[nn.Module, torch.device]:
    """The network of the model in `folder`, ready to answer, and where it is. Raises ModelMismatch."""
    return _filled(load_card(folder), folder, device)


def _filled(card: ModelCard, folder: Path, device: str) -> tuple[nn.Module, torch.device]:
    place, network = choose(device), build(card.architecture)
    fill(network, folder, card)
    return network.to(place).eval(), place
