"""A folder of DICOM files and a CSV of labels: a hospital's own films, decoded as in service.

No identifier goes further than this: patients leave it as digests, and the groups made of those are named by content.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from cxrnode.errors import TrainingError
from models.training.recipe import Films
from models.training.sources.listed import DicomFiles, Listed, Listing
from models.training.sources.manifest import split_columns, split_of
from models.training.sources.table import FilmTable, read_table


def list_dicom(data_dir: Path, wanted: Films, dicom: DicomFiles) -> Listing:
    """Every row of the labels: `file`, relative to the folder, or `sop_instance_uid`; `label`; `patient` and `split`.

    Without `patient` the header tells whose film it is. Raises TrainingError.
    """
    folder = data_dir / wanted.folder
    table = read_table(data_dir / wanted.manifest)
    key = "file" if "file" in table.columns else "sop_instance_uid"
    if key not in table.columns:
        raise TrainingError(f"{table.path} has neither a column file nor sop_instance_uid; wanted one of them")
    whose = ("patient",) if "patient" in table.columns else ()
    table.require(key, "label", *whose, *split_columns(table, wanted))
    table.refuse_twice(key)
    labels = table.labels("label", wanted.positive_class, wanted.negative_classes)
    there = _files_below(folder)
    if not there:
        raise TrainingError(f"{folder} holds no file; wanted DICOM files")
    paths = _by_name(table, folder) if key == "file" else _by_uid(table, there, dicom)
    films = tuple(
        Listed(
            file=Path(os.path.relpath(path, folder)).as_posix(),
            path=path,
            label=label,
            patient=row.get("patient", ""),
            split=split_of(row, wanted),
            subtype=row.get("subtype", ""),
        )
        for row, label, path in zip(table.rows, labels, paths, strict=True)
        if path is not None
    )
    missing = tuple(
        f"line {line} of {table.path.name}: no file has its SOP Instance UID"
        for line, path in zip(table.lines, paths, strict=True)
        if path is None
    )
    unlisted = len({*there} - {film.path for film in films} - {table.path})
    remarks = (f"{unlisted} files below {wanted.folder or 'the data folder'} are not in {table.path.name}",)
    return Listing(films, missing, remarks if unlisted else ())


def _files_below(folder: Path) -> list[Path]:
    """Every file but hidden ones, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


def _by_name(table: FilmTable, folder: Path) -> list[Path | None]:
    return [folder / row["file"].replace("\\", "/") for row in table.rows]


def _by_uid(table: FilmTable, files: Iterable[Path], dicom: DicomFiles) -> list[Path | None]:
    """The first file of each row's SOP Instance UID."""
    found: dict[str, Path] = {}
    for file in files:
        found.setdefault(dicom.uid_of(file), file)
    return [found.get(row["sop_instance_uid"]) for row in table.rows]
