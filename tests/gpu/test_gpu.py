"""On a real GPU: the answers of a CPU within what is promised, memory bounded, and all goes on where it runs out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from models.card import find
from models.devices import Gpu, bound
from models.reader import Reader, load

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: torch sees no CUDA device")

MODEL = find("pneumonia-efficientnet-lite0", None)
MOVED = {False: (1e-4, 1e-3), True: (1e-2, 0.05)}
"""the most that a probability and a positive's map may differ from a CPU's, in single and in half precision"""


def films(count: int) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(7)
    small = [Image.fromarray(generator.random((6, 6), dtype=np.float32)) for _ in range(count)]
    return [np.clip(np.asarray(one.resize((300, 320), Image.Resampling.BICUBIC)), 0, 1) for one in small]


@pytest.fixture(scope="module")
def on_cpu() -> Reader:
    return load(MODEL, device="cpu")


@pytest.mark.parametrize("half", [False, True])
def test_probabilities_and_maps_are_a_cpus(on_cpu: Reader, half: bool) -> None:  # noqa: FBT001  a table of cases
    some = films(40)
    by_probability, by_map = MOVED[half]
    for wanted, found in zip(
        on_cpu.read(some), load(MODEL, device="cuda", gpu=Gpu(16, half=half)).read(some), strict=True
    ):
        assert abs(wanted.probability - found.probability) < by_probability
        if wanted.heatmap.peak > 0.05:
            assert float(np.abs(wanted.heatmap.values - found.heatmap.values).max()) < by_map


def test_real_films_too(shared_data: Path, on_cpu: Reader) -> None:
    paths = sorted((shared_data / "kermany" / "native320").rglob("*.jpeg"))[::400]
    some = [np.asarray(Image.open(path).convert("L"), dtype=np.float32) / np.float32(255) for path in paths]
    found = load(MODEL, device="cuda", gpu=Gpu(16, half=True)).read(some)
    apart = [abs(a.probability - b.probability) for a, b in zip(found, on_cpu.read(some), strict=True)]
    assert max(apart) < 1e-2


def test_a_batch_that_the_bound_does_not_hold_is_halved_and_the_answers_stay(on_cpu: Reader) -> None:
    reader = load(MODEL, device="cuda", gpu=Gpu(256))
    reader.warm()
    some = films(256)
    torch.cuda.empty_cache()
    try:
        bound(torch.cuda.memory_reserved() / 2**30 + 0.25)
        found = reader.read(some)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert reader._passes.batch < 256
    wanted = on_cpu.read(some[:8])
    assert all(abs(a.probability - b.probability) < 1e-4 for a, b in zip(found[:8], wanted, strict=True))


def test_a_gpu_that_holds_nothing_leaves_the_model_to_the_cpu(on_cpu: Reader) -> None:
    reader = load(MODEL, device="cuda", gpu=Gpu(4))
    torch.cuda.empty_cache()
    some = films(6)
    try:
        torch.cuda.set_per_process_memory_fraction(1e-6)
        found = reader.read(some)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert reader.device.type == "cpu"
    assert [one.logit for one in found] == [one.logit for one in on_cpu.read(some)]
