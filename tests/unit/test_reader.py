"""A reader answers for each radiograph alone, whoever else is in the batch and whoever else asks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Finding
from models.calibrate import probability
from models.prepared import prepared
from models.preprocess import to_tensor
from models.reader import BATCH, Reader, load
from tests.zoo import untrained, write_folder

Radiograph = NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("zoo") / "toy")


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return load(folder, device="cpu", threads=1)


def radiographs(count: int) -> list[Radiograph]:
    """Smooth blots of several sizes and shapes."""
    generator = np.random.default_rng(7)
    blots = []
    for number in range(count):
        small = Image.fromarray(generator.random((6, 6), dtype=np.float32))
        size = (120 + 10 * (number % 3), 150)
        blots.append(np.clip(np.asarray(small.resize(size, Image.Resampling.BILINEAR)), 0, 1))
    return blots


def same(one: Finding, other: Finding) -> bool:
    return (
        abs(one.probability - other.probability) < 1e-6
        and float(np.abs(one.heatmap.values - other.heatmap.values).max()) < 1e-4
        and abs(one.heatmap.peak - other.heatmap.peak) < 1e-4
    )


def test_a_finding_is_what_the_bare_network_says(reader: Reader) -> None:
    (radiograph,) = radiographs(1)
    (finding,) = reader.read([radiograph])
    with torch.inference_mode():
        logit = float(prepared(untrained())(to_tensor(radiograph, reader.card.input)[None]))
    assert finding.logit == pytest.approx(logit, abs=1e-5)
    assert finding.probability == pytest.approx(probability(logit, reader.card.calibration.temperature), abs=1e-6)


def test_batch_mates_change_nothing(reader: Reader) -> None:
    films = radiographs(5)
    together = reader.read(films)
    alone = [reader.read([film])[0] for film in films]
    assert len({round(finding.probability, 3) for finding in alone}) > 1, "all alike proves nothing"
    assert all(same(one, other) for one, other in zip(together, alone, strict=True))


def test_batch_mates_change_nothing_on_real_films(shared_data: Path, reader: Reader) -> None:
    paths = sorted((shared_data / "kermany" / "native320").rglob("*.jpeg"))[:1500:300]
    films = [np.asarray(Image.open(path).convert("L"), dtype=np.float32) / np.float32(255) for path in paths]
    together = reader.read(films)
    assert len(together) == 5
    assert all(same(one, reader.read([film])[0]) for one, film in zip(together, films, strict=True))


def test_more_than_a_batch_keeps_its_order(reader: Reader) -> None:
    films = radiographs(BATCH["cuda"] + 2)
    findings = reader.read(films)
    assert len(findings) == BATCH["cuda"] + 2
    assert same(findings[-1], reader.read([films[-1]])[0])
    assert reader.read([]) == []


def test_two_hundred_maps_made_under_load_are_the_serial_ones_to_the_last_bit(reader: Reader) -> None:
    """Sixteen callers at once, by ones and threes, at two prevalences: the network has one owner; they take turns."""
    films = radiographs(200)
    alone = reader.read(films)
    assert len({finding.logit for finding in alone}) == 200, "some alike prove nothing"
    calls = [slice(first, first + count) for first in range(0, 200, 4) for first, count in ((first, 1), (first + 1, 3))]
    asked = [reader, reader.at(0.2)]
    begin = threading.Barrier(16)

    def ask(number: int) -> list[tuple[slice, list[Finding]]]:
        begin.wait()
        return [(call, asked[number % 2].read(films[call])) for call in calls[number::16]]

    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = [one for some in pool.map(ask, range(16)) for one in some]
    shared = {
        place: finding for call, findings in answers for place, finding in zip(range(200)[call], findings, strict=True)
    }
    for place, wanted in enumerate(alone):
        found = shared[place]
        assert found.logit == wanted.logit
        assert found.heatmap.peak == wanted.heatmap.peak
        assert np.array_equal(found.heatmap.values, wanted.heatmap.values)


def test_a_process_that_did_not_load_the_model_may_not_use_it(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="each process"):
        reader.warm()


def test_reading_leaves_no_graph_behind(reader: Reader) -> None:
    reader.warm()
    assert reader._passes._explainer._look._cam.outputs is None


def test_weights_of_another_architecture_do_not_load(tmp_path: Path) -> None:
    write_folder(tmp_path, architecture="efficientnet_lite0")
    with pytest.raises(ModelMismatch, match="does not fit the architecture efficientnet_lite0"):
        load(tmp_path, device="cpu")


def test_weights_that_lack_a_tensor_do_not_load(tmp_path: Path) -> None:
    network = untrained()
    network.classifier = nn.Identity()
    write_folder(tmp_path, network)
    with pytest.raises(ModelMismatch, match=r"classifier\.1\.weight"):
        load(tmp_path, device="cpu")


def test_a_device_that_is_not_there_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelMismatch, match="no CUDA device"):
        load(folder, device="cuda")
    assert load(folder, device="auto").device.type == "cpu"
