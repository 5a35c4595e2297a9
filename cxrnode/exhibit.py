"""What came back for one study, put where a person can look at it: source and overlay as PNG, the report as HTML."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pydicom

from cxrnode.errors import Refused, Unreadable
from cxrnode.finding import Outcome
from cxrnode.ledger.account import RoundLine
from cxrnode.pixels import read_radiograph
from cxrnode.show import StudyPage, gallery_html, overlay_png, report_html, source_png
from cxrnode.study import Study


@dataclass(frozen=True)
class Exhibit:
    """One study of the demonstration: its outcome and the files written for it."""

    name: str
    outcome: str
    reason: str
    probability: float | None
    objects: int
    expected: int
    stages_ms: dict[str, float]
    sources: tuple[str, ...]
    overlays: tuple[str, ...]
    report: str | None

    @property
    def accounted(self) -> bool:
        """Whether it has an outcome and all objects that were made for it came back."""
        return self.outcome in set(Outcome) and self.objects == self.expected

    def as_object(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


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
        else:
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
    pages = [StudyPage(**{key: value for key, value in asdict(one).items() if key != "expected"}) for one in shown]
    index = out / "index.html"
    index.write_text(gallery_html(pages), encoding="utf-8")
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
