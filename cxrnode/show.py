"""What came back for one study, put where a person can look at it: source and overlay as PNG, the report as HTML."""

from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.uid import SecondaryCaptureImageStorage

from cxrnode.errors import Refused, Unreadable
from cxrnode.ledger.account import RoundLine
from cxrnode.pixels import read_radiograph
from cxrnode.render import Exhibit, gallery_html, overlay_png, report_html, source_png
from cxrnode.study import Study


def exhibit(study: Study, line: RoundLine | None, returned: Sequence[Path], out: Path) -> Exhibit:
    """Write a study's pictures and report below `out`."""
    name = study.instances[0].path.stem
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    sources = _write_sources(study, folder)
    overlays, report = [], None
    for number, path in enumerate(returned, start=1):
        dataset = pydicom.dcmread(path)
        if dataset.Modality == "SR":
            (folder / "report.html").write_text(report_html(dataset), encoding="utf-8")
            report = f"{name}/report.html"
        elif dataset.SOPClassUID == SecondaryCaptureImageStorage:
            (folder / f"overlay-{number}.png").write_bytes(overlay_png(dataset))
            overlays.append(f"{name}/overlay-{number}.png")
    return Exhibit(
        name=name,
        outcome=line.outcome if line else "unaccounted for",
        reason="; ".join(line.reasons) if line else "no outcome in time",
        probability=line.probability if line else None,
        objects=len(returned),
        expected=line.objects if line and line.deliveries else 0,
        stages_ms=line.stages_ms if line else {},
        sources=tuple(sources),
        overlays=tuple(overlays),
        report=report,
    )


def write_index(shown: Sequence[Exhibit], out: Path) -> Path:
    """Write index.html, one section a study; returns its path."""
    index = out / "index.html"
    index.write_text(gallery_html(shown), encoding="utf-8")
    return index


def _write_sources(study: Study, folder: Path) -> list[str]:
    written = []
    for number, instance in enumerate(study.instances, start=1):
        try:
            picture = source_png(read_radiograph(pydicom.dcmread(instance.path)))
        except (Refused, Unreadable):
            continue
        (folder / f"source-{number}.png").write_bytes(picture)
        written.append(f"{folder.name}/source-{number}.png")
    return written
