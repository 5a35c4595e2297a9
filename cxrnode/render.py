"""Results made visible without a PACS: the report as a page, pictures as PNG, the demo's studies side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from cxrnode.finding import Outcome
from cxrnode.header import text
from cxrnode.results import codes
from cxrnode.results.readback import Item, content_item, image_results, named

PREVIEW_SIDE = 1000


@dataclass(frozen=True)
class Exhibit:
    """One study of the gallery; `sources`, `overlays` and `report` are addresses relative to the page."""

    name: str
    outcome: str
    reason: str
    probability: float | None
    objects: int
    expected: int
    """how many objects should be there"""
    stages_ms: dict[str, float]
    sources: tuple[str, ...]
    overlays: tuple[str, ...]
    report: str | None

    @property
    def accounted(self) -> bool:
        """Whether it has an outcome and all objects that were made for it are there."""
        return self.outcome in set(Outcome) and self.objects == self.expected


def report_html(dataset: Dataset) -> str:
    """A report as a page of its own: outcomes, figures, model and warnings first, the whole content tree below."""
    tree = content_item(dataset)
    return _page(
        "report.html",
        title=f"{text(dataset, 'SeriesDescription')} - {text(dataset, 'PatientName')}",
        header=_header(dataset),
        images=image_results(dataset),
        summary=[item.value for part in named(tree, codes.QUALITATIVE_EVALUATIONS.meaning) for item in part.children],
        model=_model(dataset, tree),
        tree=tree,
    )


def gallery_html(studies: Sequence[Exhibit]) -> str:
    """Studies one a section: source, overlay and report side by side, with outcome, reason and figures."""
    return _page("gallery.html", studies=studies)


def overlay_png(dataset: Dataset) -> bytes:
    """The pixels of an 8 bit RGB or greyscale result as PNG."""
    return _png(Image.fromarray(dataset.pixel_array))


def source_png(radiograph: NDArray[np.float32]) -> bytes:
    """A radiograph, (rows, columns) in [0, 1], as an 8 bit PNG of at most PREVIEW_SIDE pixels."""
    image = Image.fromarray(np.rint(np.clip(radiograph, 0.0, 1.0) * 255).astype(np.uint8))
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return _png(image)


def _header(dataset: Dataset) -> dict[str, str]:
    wanted = {
        "Patient": "PatientName",
        "Patient ID": "PatientID",
        "Born": "PatientBirthDate",
        "Accession": "AccessionNumber",
        "Study": "StudyDescription",
        "Study date": "StudyDate",
        "Analysed": "ContentDate",
        "Status": "VerificationFlag",
    }
    found = {label: text(dataset, keyword) for label, keyword in wanted.items()}
    dates = {label: _dated(found[label]) for label in ("Born", "Study date", "Analysed")}
    return {label: value for label, value in (found | dates).items() if value}


def _dated(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if len(value) == 8 and value.isdigit() else value


def _model(dataset: Dataset, tree: Item) -> list[str]:
    parameters = dict.fromkeys(item.value for item in named(tree, codes.ALGORITHM_PARAMETERS.meaning))
    versions = dict.fromkeys(item.value for item in named(tree, codes.ALGORITHM_VERSION.meaning))
    return [f"{text(dataset, 'ManufacturerModelName')} {', '.join(versions)}", *parameters]


def _png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _page(name: str, **values: object) -> str:
    return _pages().get_template(name).render(values)


@cache
def _pages() -> Environment:
    loader = PackageLoader("cxrnode", "pages")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
