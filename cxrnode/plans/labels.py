"""Labels, to measure models by: a CSV of what each study or image shows, 1 for the disease and 0 for none of it."""

from pathlib import Path

from cxrnode.errors import SettingsError
from cxrnode.plans.listing import HEADINGS, heading
from cxrnode.table import faults_told, rows_of

WANTED = "a CSV of studies (UID or accession number) or images (SOP Instance UID), each with 0 or 1"
NAMES = {*HEADINGS, "sopinstanceuid", "sop", "instance", "00080018"}
LABELS = {"label", "labels", "truth", "target", "positive", "finding", "y"}
VALUES = {
    "1": True, "1.0": True, "true": True, "yes": True, "positive": True,
    "0": False, "0.0": False, "false": False, "no": False, "negative": False,
}  # fmt: skip


def read_labels(path: Path) -> dict[str, bool]:
    """Each study's or image's label by the name that the file has for it.

    Columns are known by their headings (study_instance_uid, accession_number or sop_instance_uid, the first of them;
    and label); a file of two columns needs none. Raises SettingsError with every fault and its line: no name, no
    label, a label that is neither, or two labels for one name that contradict each other.
    """
    labels: dict[str, bool] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    columns: tuple[int, int] | None = None
    for line, cells in rows_of(path, WANTED):
        if columns is None:
            columns, is_heading = _columns(path, cells)
            if is_heading:
                continue
        name, told = (cells[at] if at < len(cells) else "" for at in columns)
        label = VALUES.get(told.lower())
        if not name:
            faults.append(f"line {line}: no study and no image; wanted one in every row")
        elif label is None:
            faults.append(f"line {line}: the label is {told[:80]!r}; wanted 0 or 1")
        elif labels.setdefault(name, label) != label:
            faults.append(f"lines {lines[name]} and {line}: {name} is both 0 and 1; wanted one of them")
        lines.setdefault(name, line)
    if faults or not labels:
        raise SettingsError(faults_told(path, faults or [f"no row; wanted {WANTED}"]))
    return labels


def _columns(path: Path, cells: list[str]) -> tuple[tuple[int, int], bool]:
    """Where names and labels are, and whether this first row says so."""
    headings = [heading(cell) for cell in cells]
    names = [at for at, cell in enumerate(headings) if cell in NAMES]
    labels = [at for at, cell in enumerate(headings) if cell in LABELS]
    if names and len(labels) == 1:
        return (names[0], labels[0]), True
    if len(cells) == 2 and cells[1].lower() in VALUES:
        return (0, 1), False
    if len(cells) == 2 and names == [0]:
        return (0, 1), True
    raise SettingsError(
        f"{path}: the columns are {', '.join(cells)}; wanted study_instance_uid, accession_number or sop_instance_uid, "
        "and label"
    )
