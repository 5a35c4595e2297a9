"""A folder of image files and a manifest, a CSV with the columns file, class, split and the patient's."""

from pathlib import Path

from cxrnode.errors import TrainingError
from models.training.recipe import Films
from models.training.sources.listed import Listed, Listing
from models.training.sources.table import FilmTable, read_table


def list_manifest(data_dir: Path, wanted: Films) -> Listing:
    """Every row of the manifest; `file` is relative to `data_dir`. Raises TrainingError."""
    table = read_table(data_dir / wanted.manifest)
    table.require("file", "class", wanted.group_column, *split_columns(table, wanted))
    labels = table.labels("class", wanted.positive_class, wanted.negative_classes)
    films = (
        Listed(
            file=row["file"],
            path=data_dir / row["file"].replace("\\", "/"),
            label=label,
            patient=row[wanted.group_column],
            split="" if wanted.fresh_split else row["split"],
            subtype=row.get("subtype", ""),
            sha256=row.get("sha256", ""),
        )
        for row, label in zip(table.rows, labels, strict=True)
    )
    return Listing(tuple(films))


def split_columns(table: FilmTable, wanted: Films) -> tuple[str, ...]:
    """The column that says in which split a film is, unless a fresh one is to be drawn; raises TrainingError."""
    if wanted.fresh_split:
        return ()
    if table.rows and "split" not in table.columns:
        raise TrainingError(
            f"{table.path} has no column split; wanted one, or a table fresh_split in the recipe that has one drawn"
        )
    return ("split",)
