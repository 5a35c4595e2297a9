"""What waits for its first use is the thing itself then, and an import is an import again afterwards."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from models.deferred import deferred

TWO_HEAVY, ONE_LIGHT = ("later_heavy", "later_heavy.kinds"), "later_light"
HEAVY = '''
"""Costly."""
class Kind:
    limit = 7
    def __init__(self, size=1):
        self.size = size
def double(number):
    return 2 * number
'''
LIGHT = """
from later_heavy.kinds import Kind, double
from later_heavy import kinds
{more}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package `later_heavy`, its module `kinds`; a module `later_light` that imports from both."""
    (tmp_path / "later_heavy").mkdir()
    (tmp_path / "later_heavy" / "__init__.py").write_text("")
    (tmp_path / "later_heavy" / "kinds.py").write_text(HEAVY)
    (tmp_path / "later_light.py").write_text(LIGHT.format(more=""))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in (*TWO_HEAVY, ONE_LIGHT):
        sys.modules.pop(name, None)


def light() -> ModuleType:
    with deferred(*TWO_HEAVY):
        return import_module(ONE_LIGHT)


def heavy() -> ModuleType:
    """The real one."""
    return import_module(TWO_HEAVY[1])


@pytest.mark.usefixtures("folder")
def test_what_is_never_used_is_never_imported() -> None:
    light()
    assert not set(TWO_HEAVY) & set(sys.modules)


@pytest.mark.usefixtures("folder")
def test_what_is_used_is_the_thing_itself() -> None:
    module = light()
    assert module.double(4) == 8
    kind = heavy().Kind

    assert type(module.Kind(size=3)) is kind
    assert module.Kind.limit == 7
    assert isinstance(kind(), module.Kind)
    assert not isinstance(4, module.Kind)
    assert issubclass(kind, module.Kind)
    assert issubclass(type("Child", (kind,), {}), module.Kind)


@pytest.mark.usefixtures("folder")
def test_a_module_of_a_package_is_found_though_nobody_has_imported_it() -> None:
    assert light().kinds.double(1) == 2


def test_a_class_that_is_made_from_one_that_waits_has_the_real_one_for_its_base(folder: Path) -> None:
    more = "class Child(Kind):\n    pass\nmade = double(Child().size)"  # used while both are still being imported
    (folder / "later_light.py").write_text(LIGHT.format(more=more))
    module = light()

    assert module.Child.__mro__[1] is heavy().Kind
    assert module.made == 2


@pytest.mark.usefixtures("folder")
def test_what_is_loaded_already_stays_as_it_is() -> None:
    there = heavy()

    assert light().Kind is there.Kind
    assert sys.modules["later_heavy.kinds"] is there


def test_a_module_that_is_missing_is_missed_at_the_first_use(folder: Path) -> None:
    (folder / "later_heavy" / "kinds.py").unlink()
    module = light()
    with pytest.raises(ModuleNotFoundError, match=r"later_heavy\.kinds"):
        module.double(1)


def test_after_an_import_that_failed_an_import_is_an_import_again(folder: Path) -> None:
    (folder / "later_light.py").write_text(LIGHT.format(more="raise ValueError"))
    with pytest.raises(ValueError), deferred(*TWO_HEAVY):  # noqa: PT011  ours, and it has no words
        import_module(ONE_LIGHT)

    assert heavy().double(1) == 2


SMOOTHED = """
import sys
import torch
{imported}
torch.manual_seed(0)
network = torchvision.models.resnet18(weights=None, num_classes=1).eval()
image = torch.rand(1, 3, 64, 64)
with GradCAM(network, [network.layer4]) as cam:
    plain = cam(image, targets=[lambda output: output[0]])
    smoothed = cam(image, targets=[lambda output: output[0]], eigen_smooth=True, aug_smooth=True)
from torchvision.ops import roi_align
pooled = roi_align(image, [torch.tensor([[1.0, 2.0, 30.0, 40.0]])], 4)
from pytorch_grad_cam.utils.image import scale_cam_image, show_cam_on_image
import numpy as np
zoomed = scale_cam_image(np.arange(48.0).reshape(2, 4, 3, 2), (4, 6, 8))
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
torch.manual_seed(0)
filled = NoisyLinearImputer()(image[0], (torch.rand(64, 64) > 0.2).float())
parts = [plain, smoothed, pooled.numpy(), zoomed, filled.numpy()]
print(*(part.astype("float32").tobytes().hex() for part in parts))
"""
PLAIN = "import torchvision\nfrom pytorch_grad_cam import GradCAM"


def test_the_libraries_that_wait_for_others_compute_what_they_compute_without_us() -> None:
    """What waits in them is used here: scikit-learn, SciPy's filters and solvers, torch's compiler."""
    ours, plain = (
        subprocess.run(
            [sys.executable, "-c", SMOOTHED.format(imported=imported)], capture_output=True, text=True, check=True
        ).stdout
        for imported in ("from models.borrowed import GradCAM, torchvision", PLAIN)
    )
    assert ours == plain
    assert len(ours) > 10_000
