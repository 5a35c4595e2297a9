"""A folder of image files and a manifest, a CSV with the columns file, class, split and the patient's."""

from pathlib import Path

from cxrnode.errors import TrainingError
from models.training.recipe import Films
from models.training.sources.listed import Listed, Listing
from models.training.sources.table import FilmTable, read_table


def list_manifest(data_dir: Path, wanted: Films) -> Listing:
    """Every row of the manifest; `file` is relative to `data_dir`. Raises TrainingError."""
    table = read_table(data_dir / wanted.manifest)
    column, splits = wanted.class_column, split_columns(table, wanted)
    table.require("file", column, wanted.group_column, *splits)
    table = table.without(column, wanted.left_out)
    labels = table.labels(column, wanted.positive_class, wanted.negative_classes, wanted.also_positive)
    films = (
        Listed(
            file=row["file"],
            path=data_dir / row["file"].replace("\\", "/"),
            label=label,
            patient=row[wanted.group_column],
            split=split_of(row, wanted),
            subtype=row.get("subtype", ""),
            sha256=row.get("sha256", ""),
        )
        for row, label in zip(table.rows, labels, strict=True)
    )
    return Listing(tuple(films))


def split_columns(table: FilmTable, wanted: Films) -> tuple[str, ...]:
    """The column that says in which split a film is, unless a fresh one is to be drawn; raises TrainingError."""
    if wanted.fresh_split or not wanted.split_column:
        return ()
    if table.rows and wanted.split_column not in table.columns:
        raise TrainingError(
            f"{table.path} has no column {wanted.split_column}; "
            "wanted one, or a table fresh_split in the recipe that has one drawn"
        )
    return (wanted.split_column,)


def split_of(row: dict[str, str], wanted: Films) -> str:
    """The split of a row's film; empty where one is to be drawn."""
    if wanted.fresh_split:
        return ""
    return row[wanted.split_column] if wanted.split_column else "all"
