"""Memory that runs out halves the batch, for good, and at last the network goes to the CPU: the answers stay."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from cxrnode import log
from cxrnode.errors import DeviceLost
from models.card import find
from models.devices import CPU
from models.explain import Explainer
from models.passes import Explained, Passes
from models.prepared import prepared
from models.reader import load
from tests.zoo import film_blots, untrained

ELSEWHERE = torch.device("cpu", 0)
"""a device with a memory of its own, as far as the ladder can tell"""


class Small(nn.Module):
    """A network on a device where only so many images fit, until it is moved to the CPU."""

    def __init__(self, inner: nn.Module, fits: int) -> None:
        super().__init__()
        self.inner = inner
        self.fits = fits
        self.sizes: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.sizes.append(len(inputs))
        half_way: Tensor = self.inner.get_submodule("features")(inputs)
        if len(inputs) > self.fits:
            raise torch.OutOfMemoryError("planted")
        logits: Tensor = self.inner.get_submodule("classifier")(half_way.mean(dim=(2, 3)))
        return logits

    def to(self, *args: object, **options: object) -> "Small":
        """To the machine's own memory."""
        self.fits = 1000 if args == (CPU,) else self.fits
        return self


@pytest.fixture
def told() -> Iterator[StringIO]:
    stream = StringIO()
    log.start("info", stream)
    yield stream
    log.start()


def passes(fits: int, batch: int) -> tuple[Passes, Small]:
    network = Small(prepared(untrained()), fits)
    network.eval()
    return Passes(Explainer(network, "inner.features.18"), ELSEWHERE, batch), network


def run(one: Passes, inputs: Tensor) -> list[Explained]:
    return one.over(len(inputs), lambda first, last: inputs[first:last])


def alike(found: list[Explained], wanted: list[Explained]) -> bool:
    assert len(found) == len(wanted)
    assert max(np.ptp([logit for logit, _ in wanted]), 0) > 1e-2, "all alike proves nothing"
    return all(
        abs(one[0] - other[0]) < 1e-4 and float(np.abs(one[1].values - other[1].values).max()) < 1e-3
        for one, other in zip(found, wanted, strict=True)
    )


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    torch.manual_seed(5)
    return film_blots(11, 96)


@pytest.fixture(scope="module")
def alone(inputs: Tensor) -> list[Explained]:
    one, _ = passes(fits=1, batch=1)
    return run(one, inputs)


def test_a_batch_that_does_not_fit_is_halved_and_stays_so(
    inputs: Tensor, alone: list[Explained], told: StringIO
) -> None:
    one, network = passes(fits=3, batch=8)
    assert alike(run(one, inputs), alone)
    assert network.sizes == [8, 4, 2, 2, 2, 2, 2, 1]
    assert (one.batch, one.device) == (2, ELSEWHERE)
    network.sizes.clear()
    run(one, inputs[:4])
    assert network.sizes == [2, 2]
    lines = [json.loads(line) for line in told.getvalue().splitlines()]
    assert [(line["level"], line["images"], line["batch"]) for line in lines] == [("warning", 8, 4), ("warning", 4, 2)]
    assert set(lines[0]) == {"event", "level", "timestamp", "room", "images", "batch", "device"}


def test_a_pass_smaller_than_the_batch_that_does_not_fit_is_halved_itself(
    inputs: Tensor, alone: list[Explained]
) -> None:
    one, network = passes(fits=2, batch=16)
    assert alike(run(one, inputs[:5]), alone[:5])
    assert network.sizes == [5, 2, 2, 1]


def test_when_not_one_image_fits_all_goes_on_on_the_cpu(inputs: Tensor, alone: list[Explained], told: StringIO) -> None:
    one, network = passes(fits=0, batch=4)
    assert alike(run(one, inputs), alone)
    assert (one.device, one.batch) == (CPU, 1)
    assert network.sizes == [4, 2, 1] + [1] * len(inputs)
    assert json.loads(told.getvalue().splitlines()[-1])["device"] == "cpu"


def test_memory_that_runs_out_in_the_middle_costs_nothing_that_was_read(inputs: Tensor, alone: list[Explained]) -> None:
    one, network = passes(fits=4, batch=4)
    asked: list[tuple[int, int]] = []

    def inputs_of(first: int, last: int) -> Tensor:
        asked.append((first, last))
        network.fits = 4 if first < 4 else 1
        return inputs[first:last]

    assert alike(one.over(len(inputs), inputs_of), alone)
    assert asked[:4] == [(0, 4), (4, 8), (4, 6), (4, 5)]


def test_a_cpu_without_memory_says_so(inputs: Tensor) -> None:
    network = Small(untrained(), fits=0)
    one = Passes(Explainer(network, "inner.features.18"), CPU, 1)
    with pytest.raises(torch.OutOfMemoryError, match="planted"):
        run(one, inputs)


class Broken(Small):
    """Its device fails at the first pass."""

    def __init__(self, error: Exception) -> None:
        super().__init__(prepared(untrained()), 1000)
        self.error: Exception | None = error

    def forward(self, inputs: Tensor) -> Tensor:
        error, self.error = self.error, None
        if error:
            raise error
        return super().forward(inputs)


@pytest.mark.parametrize(
    "sentence",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
def test_memory_that_runs_out_beneath_torch_halves_the_batch_too(
    kind: type[RuntimeError], sentence: str, inputs: Tensor, alone: list[Explained]
) -> None:
    """Red where torch's own error is the only one that counts: the study failed for want of memory."""
    network = Broken(kind(sentence)).eval()
    one = Passes(Explainer(network, "inner.features.18"), ELSEWHERE, 4)
    assert alike(run(one, inputs), alone)
    assert one.batch == 2


def test_a_device_that_fails_is_lost_and_anything_else_is_not_its_fault(inputs: Tensor) -> None:
    def raised(error: Exception) -> Passes:
        return Passes(Explainer(Broken(error).eval(), "inner.features.18"), ELSEWHERE, 4)

    with pytest.raises(DeviceLost, match=r"cpu:0 has failed: CUDA error: an illegal memory access was encountered$"):
        run(raised(torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore")), inputs)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(raised(RuntimeError("mat1 and mat2 shapes cannot be multiplied")), inputs)


def test_half_precision_moves_a_probability_by_less_than_a_hundredth(shared_data: Path) -> None:
    """As a CPU does it; the maps of positives by less than a twentieth of their range."""
    reader = load(find("pneumonia-efficientnet-lite0", None), device="cpu")
    paths = sorted((shared_data / "kermany" / "native320").rglob("*.jpeg"))[:1500:300]
    films = [np.asarray(Image.open(path).convert("L"), dtype=np.float32) / np.float32(255) for path in paths]
    wanted = reader.read(films)
    reader._passes._half = True
    found = reader.read(films)
    moved = [abs(one.probability - other.probability) for one, other in zip(found, wanted, strict=True)]
    assert 0 < max(moved) < 1e-2
    shown = [pair for pair in zip(found, wanted, strict=True) if pair[1].probability > 0.7]
    assert shown
    assert all(float(np.abs(one.heatmap.values - other.heatmap.values).max()) < 0.05 for one, other in shown)


def test_half_precision_ends_where_the_cpu_begins(inputs: Tensor) -> None:
    network = Small(prepared(untrained()), 1000).eval()
    one = Passes(Explainer(network, "inner.features.18"), ELSEWHERE, 4, half=True)
    seen: list[torch.dtype] = []
    network.inner.get_submodule("features.0.0").register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    run(one, inputs[:2])
    network.fits = 0
    run(one, inputs[:1])
    assert seen == [torch.float16, torch.float16, torch.float32]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_half_precision_cannot_hold_is_read_in_single(inputs: Tensor, alone: list[Explained]) -> None:
    """Red when a logit that is no number is all that a study gets: it failed on a GPU and on no CPU."""

    class Loud(Small):
        def forward(self, inputs: Tensor) -> Tensor:
            logits = super().forward(inputs)
            return logits / 0 if torch.is_autocast_enabled("cpu") else logits

    network = Loud(prepared(untrained()), 1000).eval()
    one = Passes(Explainer(network, "inner.features.18"), ELSEWHERE, 4, half=True)
    assert alike(run(one, inputs), alone)
    assert network.sizes == [4, 4, 4, 4, 3, 3]
