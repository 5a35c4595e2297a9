"""Films with outlines drawn by people: the lungs of children, and the opacities of adults."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np

from cxrnode.errors import TrainingError
from models.card import Input
from models.evaluation.maps import Map, Mask
from models.preprocess import fitted
from models.training.kept import radiograph
from models.training.recipe import Films
from models.training.sources.manifest import list_manifest
from models.training.sources.picture import open_picture
from models.training.sources.table import Row, read_table

LUNG_MASKS = "masks/masks_manifest.csv"
OPACITY_MASKS = "masks/gb_manifest.csv"
OPACITIES = ("ground_glass_opacities", "consolidation")
"""what pneumonia looks like on a film; effusion and air in the pleura are other findings"""


@dataclass(frozen=True, eq=False)
class Masked:
    """A film squashed to the network's grid, (rows, columns) in [0, 1], and a mask on the same grid."""

    film: Map
    mask: Mask
    patient: str


def with_lungs(data_dir: Path, films: Films, wanted: Input, split: str, count: int, seed: int) -> tuple[Masked, ...]:
    """At most `count` films of `split` that have a lung mask, in an order by chance; raises TrainingError without any.

    Of any number of them the first are then as good a sample as all.
    """
    masks = {
        row["of"]: row["file"] for row in _rows(data_dir / LUNG_MASKS, "file", "of", "kind") if row["kind"] == "lung"
    }
    listed = [one for one in list_manifest(data_dir, films).films if one.split == split and one.file in masks]
    if not listed:
        raise TrainingError(f"no film of split {split!r} has a lung mask in {LUNG_MASKS}; wanted some")
    listed.sort(key=lambda one: one.file)
    chosen = np.random.default_rng(seed).permutation(len(listed))[:count]
    return tuple(
        _masked(one.path, [data_dir / masks[one.file]], one.patient, wanted)
        for one in (listed[index] for index in chosen)
    )


def with_opacities(data_dir: Path, wanted: Input) -> tuple[Masked, ...]:
    """Every film of adults with an opacity outlined; none where the list is not at hand.

    For evaluation alone: they lie outside the population, and most may not go into weights that ship. A film in no
    group of patients counts as a patient of its own.
    """
    if not (data_dir / OPACITY_MASKS).is_file():
        return ()
    return tuple(_outlined(data_dir, wanted))


def _outlined(data_dir: Path, wanted: Input) -> Iterator[Masked]:
    for row in _rows(data_dir / OPACITY_MASKS, "file"):
        path = data_dir / row["file"]
        masks = [path.with_name(f"{kind}.png") for kind in OPACITIES if row.get(kind)]
        if masks:
            yield _masked(path, masks, row.get("patient_group") or row["file"], wanted)


def _masked(path: Path, masks: Sequence[Path], patient: str, wanted: Input) -> Masked:
    """The union of `masks`, each half covered pixel counting."""
    inside: Mask = reduce(np.logical_or, (_squashed(mask, wanted) >= 0.5 for mask in masks))
    return Masked(_squashed(path, wanted), inside, patient)


def _squashed(path: Path, wanted: Input) -> Map:
    image: Map = fitted(radiograph(open_picture(path).pixels()), wanted)[0].numpy()
    return image


def _rows(path: Path, *columns: str) -> tuple[Row, ...]:
    table = read_table(path)
    table.require(*columns)
    return table.rows
