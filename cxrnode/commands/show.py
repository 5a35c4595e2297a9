"""`cxrnode show`: results as pages and pictures in a folder with an index, for people without a viewer."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydicom import Dataset

from cxrnode.audit.looking import looks
from cxrnode.errors import Unknown, Unreadable
from cxrnode.family import Family
from cxrnode.finding import study_outcome
from cxrnode.headers.header import text
from cxrnode.headers.opening import parsed
from cxrnode.ledger import Ledger
from cxrnode.ledger.holdings import held
from cxrnode.ledger.roundlines import RoundLine
from cxrnode.render import Exhibit, Shown, Sources, as_png, family_of, gallery_html, rendered
from cxrnode.results.readback import image_results
from cxrnode.settings import Settings
from cxrnode.spool import Spool
from cxrnode.study import Study

ORDER = (Family.OVERLAY, *(family for family in Family if family is not Family.OVERLAY))
"""The overlay stands beside its source, the report beside the overlay."""
ONE_A_ROUND = (Family.REPORT, Family.KEY_OBJECTS)


@dataclass(frozen=True, eq=False)
class Opened:
    """A DICOM file; `family` None: not a result of this program. `asked` is whether it was named, not found."""

    path: Path
    dataset: Dataset
    family: Family | None
    asked: bool = False


def show(wanted: Sequence[str], settings: Settings, out: Path, *, as_json: bool) -> None:
    """Write what `wanted` names (files, folders, studies' keys or UIDs) below `out`, and print every path written.

    The audit trail is told first who asked for a study. Raises AuditUnavailable where it cannot be told, Unknown for a
    study that the ledger does not know, Unreadable for a file that is neither a result nor the source of one that is
    given, and where there is no result at all.
    """
    opened = {text(file.dataset, "SOPInstanceUID"): file for name in wanted for file in _opened(name, settings)}
    _require_results(opened.values(), wanted)
    exhibits = []
    for number, (_, results) in enumerate(sorted(_rounds(opened.values()).items()), start=1):
        about = _referred(results)
        sources = Sources(file.dataset for uid, file in opened.items() if file.family is None and uid in about)
        exhibits.append(_exhibit(f"result-{number}", results, sources, out))
    index = write_index(exhibits, out, "Results", "Each round of each study: what was found, and on what.")
    shown = [address for one in exhibits for address in (*one.sources, *(result.address for result in one.results))]
    paths = [str(path) for path in (index, *(out / address for address in shown))]
    print(json.dumps(paths) if as_json else "\n".join(paths))


def exhibit(study: Study, line: RoundLine | None, returned: Sequence[Path], out: Path) -> Exhibit:
    """Write a study's pictures and pages below `out`, with what the ledger says of it."""
    name = study.instances[0].path.stem
    results = [file for file in map(_parsed, returned) if file is not None]
    sources = sources_of(study)
    return Exhibit(
        name=name,
        outcome=line.outcome if line else "unaccounted for",
        reason="; ".join(line.reasons) if line else "no outcome in time",
        probability=line.probability if line else None,
        objects=len(returned),
        expected=line.objects if line and line.deliveries else 0,
        stages_ms=line.stages_ms if line else {},
        sources=_write_sources(sources, out / name),
        results=_write_results(results, sources, out / name),
    )


def write_index(exhibits: Sequence[Exhibit], out: Path, title: str, lead: str) -> Path:
    """Write index.html, one section an exhibit; returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    index = out / "index.html"
    index.write_text(gallery_html(exhibits, title, lead), encoding="utf-8")
    return index


def sources_of(study: Study) -> Sources:
    """The films of a study, as far as they can be read."""
    files = (_parsed(instance.path) for instance in study.instances)
    return Sources(file.dataset for file in files if file is not None)


def stems(families: Iterable[Family]) -> Iterator[str]:
    """What the files of a round's results are called, in their order; of what there is one, the first has no number."""
    numbers: Counter[Family] = Counter()
    for family in families:
        numbers[family] += 1
        single = family in ONE_A_ROUND and numbers[family] == 1
        yield str(family) if single else f"{family}-{numbers[family]}"


def _opened(name: str, settings: Settings) -> list[Opened]:
    """The DICOM files that a name given stands for."""
    path = Path(name)
    if path.is_file():
        file = _parsed(path)
        if file is None:
            raise Unreadable(f"{path} cannot be parsed as DICOM; wanted a result of cxrnode, or its source")
        return [replace(file, asked=True)]
    found = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else _held(name, settings)
    return [file for file in map(_parsed, found) if file is not None]


def _held(name: str, settings: Settings) -> list[Path]:
    if not settings.node.spool_dir.is_dir():  # nothing was ever received here, and nothing is made by asking
        raise Unknown(
            f"{name!r} is no file, and there is no spool in {settings.node.state_dir}; wanted a file or a study"
        )
    ledger = Ledger(settings.ledger_url)
    try:
        files = held(ledger, Spool(settings.node.spool_dir), name)
        looks(settings, "show", ledger, [name], datetime.now(UTC))
        return files
    except Unknown as error:
        raise Unknown(f"{name!r} is no file, and {error}") from None


def _parsed(path: Path) -> Opened | None:
    """A file with its family; None when it is not DICOM."""
    try:
        dataset = parsed(path)
    except Unreadable:
        return None
    return Opened(path, dataset, family_of(dataset))


def _require_results(opened: Iterable[Opened], wanted: Sequence[str]) -> None:
    """Raise Unreadable for a file that was named and has nothing to do with any result, or where there is none."""
    about = _referred(opened)
    for file in opened:
        if file.asked and file.family is None and text(file.dataset, "SOPInstanceUID") not in about:
            raise Unreadable(f"{file.path} is no result of cxrnode, nor the source of one that was named with it")
    if all(file.family is None for file in opened):
        raise Unreadable(f"there is no result of cxrnode in {', '.join(wanted)}; wanted at least one")


def _referred(opened: Iterable[Opened]) -> set[str]:
    """The SOP Instance UIDs of all that results are about."""
    results = [file.dataset for file in opened if file.family is not None]
    return {str(item.value) for one in results for item in one.iterall() if item.keyword == "ReferencedSOPInstanceUID"}


def _rounds(opened: Iterable[Opened]) -> dict[tuple[str, ...], list[Opened]]:
    """The results by study and by the moment of their analysis, which those of one round share."""
    rounds: dict[tuple[str, ...], list[Opened]] = {}
    for file in opened:
        if file.family is not None:
            identity = (text(file.dataset, key) for key in ("StudyInstanceUID", "SeriesDate", "SeriesTime"))
            rounds.setdefault(tuple(identity), []).append(file)
    return rounds


def _exhibit(name: str, results: Sequence[Opened], sources: Sources, out: Path) -> Exhibit:
    """Write one round, with what its report says of it."""
    first = results[0].dataset
    date, time = text(first, "SeriesDate"), text(first, "SeriesTime")
    images = [image for file in results if file.family is Family.REPORT for image in image_results(file.dataset)]
    outcomes = [image.outcome for image in images if image.outcome is not None]
    probabilities = [image.probability for image in images if image.probability is not None]
    return Exhibit(
        name=f"{text(first, 'StudyDescription') or 'Study'}, {date[:4]}-{date[4:6]}-{date[6:]} {time[:2]}:{time[2:4]}",
        outcome=str(study_outcome(outcomes)) if outcomes else "",
        reason="",
        probability=max(probabilities, default=None),
        objects=len(results),
        expected=len(results),
        stages_ms={},
        sources=_write_sources(sources, out / name),
        results=_write_results(results, sources, out / name),
    )


def _write_sources(sources: Sources, folder: Path) -> tuple[str, ...]:
    films = {f"source-{number}.png": film for number, film in enumerate(sources.previews(), start=1)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, film in films.items():
        (folder / name).write_bytes(as_png(film))
    return tuple(f"{folder.name}/{name}" for name in films)


def _write_results(results: Sequence[Opened], sources: Sources, folder: Path) -> tuple[Shown, ...]:
    """Write what a person can look at, in the order in which a reader wants it."""
    ours = [(file.family, file.dataset) for file in results if file.family is not None]
    ours.sort(key=lambda pair: ORDER.index(pair[0]))
    shown = []
    for (family, dataset), stem in zip(ours, stems(family for family, _ in ours), strict=True):
        suffix, content = rendered(dataset, family, sources)
        (folder / f"{stem}{suffix}").write_bytes(content)
        shown.append(Shown(family, f"{folder.name}/{stem}{suffix}"))
    return tuple(shown)
