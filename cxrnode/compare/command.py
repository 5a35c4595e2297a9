"""What the command does: ask the ledger, reckon, write the page and the rows, and tell what came of it."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from cxrnode.audit.looking import looks
from cxrnode.compare.agreement import Estimate
from cxrnode.compare.figures import Figures, figures
from cxrnode.compare.files import write_csv, write_parquet
from cxrnode.compare.images import Images, gathered
from cxrnode.compare.page import Comparison, write_page
from cxrnode.compare.pictures import largest, pictured
from cxrnode.compare.truth import truth_of
from cxrnode.counted import counted
from cxrnode.errors import SettingsError, Unknown
from cxrnode.ledger import Ledger
from cxrnode.ledger.comparisons import models_named, pairs
from cxrnode.plans.labels import read_labels
from cxrnode.settings import Settings
from cxrnode.spool import Spool

MOST_NAMES = 20
"""So many of the names that no image here has are listed on a terminal."""
NO_PARQUET = "No Parquet: pyarrow is not installed; `pip install 'cxrnode[parquet]'` brings it."


@dataclass(frozen=True)
class Request:
    """Two models by name, and what is wanted of them; `labels` is a CSV of study or image and truth."""

    a: str
    b: str
    out: Path
    labels: Path | None = None
    most: int = 12
    with_uids: bool = False


def compare(request: Request, settings: Settings, now: datetime, *, as_json: bool) -> None:
    """Write the comparison below `request.out` (index.html, images.csv, images.parquet), and print what came of it.

    Raises Unknown where nobody read with a model, or no image was read with both; SettingsError where both names mean
    one model, the labels cannot be read, or nothing can be written.
    """
    labels = read_labels(request.labels) if request.labels else None
    ledger, spool = Ledger(settings.ledger_url), Spool(settings.node.spool_dir)
    named = models_named(ledger, request.a, request.b)
    images = gathered(pairs(ledger, *named))
    if not images.read_by_both.any():
        by_a, by_b = (counted(int((one.outcome >= 0).sum()), "image") for one in (images.a, images.b))
        raise Unknown(
            f"no image was read by both: {request.a!r} has read {by_a}, {request.b!r} {by_b}; "
            "wanted studies that both have read"
        )
    truth = None if labels is None else truth_of(images, labels, spool)
    told = Comparison((request.a, request.b), images, truth, figures(images, truth))
    _make(request.out)
    places = largest(images, request.most)
    looks(settings, "compare", ledger, _named(images, None if request.with_uids else places), now)
    shown = pictured(images, places, ledger, spool)
    page, sheet, columnar = (request.out / name for name in ("index.html", "images.csv", "images.parquet"))
    write_page(page, told, shown, now, with_uids=request.with_uids)
    write_csv(sheet, images, truth, with_uids=request.with_uids)
    written = [page, sheet]
    if importlib.util.find_spec("pyarrow"):
        write_parquet(columnar, images, truth, with_uids=request.with_uids)
        written.append(columnar)
    if as_json:
        print(json.dumps(_as_object(told.figures, named, written), indent=2))
    else:
        _print(told.figures, request, written)


def _named(images: Images, places: Sequence[int] | None) -> list[str]:
    """The studies of the images at these places, of all for None, by UID."""
    study = images.study if places is None else images.study[places]
    return [uid.decode() for uid in images.study_uids[np.unique(study)]]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be made ({error.strerror}); wanted a folder to write to") from error


def _as_object(
    told: Figures, named: tuple[tuple[str, ...], tuple[str, ...]], written: Sequence[Path]
) -> dict[str, object]:
    return {"a": named[0], "b": named[1], **asdict(told), "files": [str(path) for path in written]}


def _print(told: Figures, request: Request, written: Sequence[Path]) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    cover, agreed, labelled = told.coverage, told.agreed, told.labelled
    console.print(f"A is {request.a}, B is {request.b}.")
    console.print(
        f"Read by both: {counted(cover.images_read_by_both, 'image')}; by A alone {cover.images_read_by_a_alone}, "
        f"by B alone {cover.images_read_by_b_alone}. Analysed by both: {cover.images_analysed_by_both}."
    )
    if agreed:
        console.print(
            f"Flips: {agreed.images.flips}; {agreed.images.only_b} from negative by A to positive by B, "
            f"{agreed.images.only_a} from positive to negative. Kappa {_told(agreed.kappa)}."
        )
    if labelled:
        count = labelled.positives.total + labelled.negatives.total
        console.print(f"With a label: {counted(count, 'image')}; without one: {labelled.images_without}.")
        if labelled.roc:
            console.print(
                f"ROC-AUC: A {_told(labelled.roc.a)}, B {_told(labelled.roc.b)}, "
                f"B less A {_told(labelled.roc.difference)}."
            )
        if names := labelled.names_unknown:
            more = f" and {len(names) - MOST_NAMES} more (--json lists all)" if len(names) > MOST_NAMES else ""
            console.print(f"Labels of no image compared here: {len(names)}: {', '.join(names[:MOST_NAMES])}{more}")
    for path in written:
        console.print(str(path))
    if not any(path.suffix == ".parquet" for path in written):
        console.print(NO_PARQUET)


def _told(one: Estimate) -> str:
    if one.value is None:
        return "not defined"
    return f"{one.value:.3f}" + ("" if one.low is None else f" ({one.low:.3f} to {one.high:.3f})")
