"""`cxrnode analyse`: files in, lines and result objects out; the heart alone, without queue or network."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pydicom
from pydicom import Dataset
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cxrnode.analyse import Analysis, Model, analyse, leave_unread
from cxrnode.commands.show import sources_of, stems
from cxrnode.errors import SettingsError, Unreadable
from cxrnode.finding import Outcome
from cxrnode.headers.opening import parsed
from cxrnode.headers.routing import decide
from cxrnode.render import rendered
from cxrnode.settings import Settings
from cxrnode.study import Instance, Study


@dataclass(frozen=True)
class FileLine:
    """One file's outcome as `--json` prints it; `objects` are the files written under --out, or the count without.

    `prevalence` is what probability and operating point hold for; `route` is empty where none took it or is given.
    `lung_share` is the part of a positive's heat map that lies in the lungs.
    """

    file: str
    sop_instance_uid: str
    outcome: str
    reason: str
    probability: float | None
    operating_point: float | None
    prevalence: float | None
    lung_share: float | None
    localised: bool | None
    route: str
    model: str
    objects: list[str]


def analyse_files(
    paths: Sequence[Path], settings: Settings, *, out: Path | None, as_json: bool, calling_ae: str = ""
) -> bool:
    """Analyse every file below `paths`, study by study, and print a line each; whether none failed.

    `calling_ae` stands for the sender that a file cannot tell, where routes ask for it.
    """
    from models.shelf import shelf_for  # torch is loaded only when there is something to read

    studies = group(files_below(paths), calling_ae)
    shelf = shelf_for(settings, settings.worker.threads)
    console = Console(stderr=True)
    lines = []
    shown: Iterable[Study] = studies
    if len(studies) > 1 and console.is_terminal:
        shown = track(studies, "analysing", console=console)
    for number, study in enumerate(shown, start=1):
        decision = decide(study, settings)
        model = shelf.reader(decision.choice.model, decision.choice.prevalence) if decision.choice else None
        folder = out and out / f"study-{number:04d}"
        of_study = analyse_one(study, model, settings, folder, route=decision.route, reason=decision.reason)
        lines += of_study
        if as_json:
            for line in of_study:
                print(json.dumps(vars(line)), flush=True)
    if not as_json:
        _print_table(lines)
    return not any(line.outcome == Outcome.FAILED for line in lines)


def analyse_one(
    study: Study, model: Model | None, settings: Settings, out: Path | None, *, route: str = "", reason: str = ""
) -> list[FileLine]:
    """Analyse one study and, with `out`, write its objects and what a person would rather look at.

    Without a model nothing is read, for `reason`.
    """
    if model is None:
        analysis = leave_unread(study, settings, reason)
    else:
        analysis = analyse([study], model, settings, datetime.now(UTC))[0]
    written = write_objects(study, analysis, out) if out and analysis.objects else []
    return [
        FileLine(
            file=str(instance.path),
            sop_instance_uid=instance.sop_instance_uid,
            outcome=reading.outcome,
            reason=reading.reason,
            probability=reading.finding.probability if reading.finding else None,
            operating_point=model.algorithm.operating_point if model else None,
            prevalence=model.algorithm.prevalence if model else None,
            lung_share=reading.finding.lung_share if reading.finding else None,
            localised=reading.finding.localised if reading.finding and reading.finding.lung_share is not None else None,
            route=route,
            model=f"{model.algorithm.name} {model.algorithm.version}" if model else "",
            objects=written,
        )
        for instance, reading in zip(study.instances, analysis.readings, strict=True)
    ]


def write_objects(study: Study, analysis: Analysis, out: Path) -> list[str]:
    """Write each object as DICOM and, beside it, as a page or a picture; the DICOM files' names."""
    out.mkdir(parents=True, exist_ok=True)
    sources = sources_of(study)
    names = []
    families = (item.family for item in analysis.objects)
    for item, stem in zip(analysis.objects, stems(families), strict=True):
        path = out / f"{stem}.dcm"
        path.write_bytes(item.content)
        suffix, content = rendered(pydicom.dcmread(path), item.family, sources)
        path.with_suffix(suffix).write_bytes(content)
        names.append(str(path))
    return names


def files_below(paths: Sequence[Path]) -> list[Path]:
    """Every file named and every file below a folder named, by name. Raises SettingsError when there is none."""
    found = [file for path in paths for file in _files(path)]
    if not found:
        raise SettingsError(f"no file below {', '.join(map(str, paths))}; wanted DICOM files")
    return found


def group(files: Sequence[Path], calling_ae: str = "") -> list[Study]:
    """Files as studies by Study Instance UID; a file without one is a study of its own. `calling_ae` sent them all."""
    studies: dict[str, list[Instance]] = {}
    for file in files:
        header = _header(file)
        study = str(header.get("StudyInstanceUID", "") or f"of {file}")
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        instance = Instance(sha256[:32], file, str(header.get("SOPInstanceUID", "")), sha256, calling_ae)
        studies.setdefault(study, []).append(instance)
    return [Study(uid, uid, 1, tuple(instances)) for uid, instances in studies.items()]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file())
    else:
        yield path


def _header(file: Path) -> Dataset:
    try:
        return parsed(file, pixels=False, keywords=["StudyInstanceUID", "SOPInstanceUID"])
    except Unreadable:
        return Dataset()


def _print_table(lines: Sequence[FileLine]) -> None:
    table = Table("file", "outcome", "route", "probability", "operating point", "objects", "reason")
    for line in lines:
        probability = "" if line.probability is None else f"{line.probability:.4f}"
        point = "" if line.operating_point is None else f"{line.operating_point:.4f}"
        table.add_row(line.file, line.outcome, line.route, probability, point, str(len(line.objects)), line.reason)
    Console().print(table)
