"""A CSV of films, read as hospitals write them: byte order mark, semicolons, spaces; each fault with its line."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cxrnode.errors import TrainingError

Row = dict[str, str]


@dataclass(frozen=True)
class FilmTable:
    """The rows of `path`, names and values stripped; `lines` are their numbers in the file, for messages."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    lines: tuple[int, ...]

    def require(self, *columns: str) -> None:
        """Raise TrainingError unless there are rows, and every row has a value in each of these columns."""
        missing = [column for column in columns if column not in self.columns]
        if missing or not self.rows:
            wanted = ", ".join(columns)
            raise TrainingError(
                f"{self.path} has {len(self.rows)} rows and lacks the columns {missing}; wanted {wanted}"
            )
        for row, line in zip(self.rows, self.lines, strict=True):
            empty = [column for column in columns if not row[column]]
            if empty:
                raise TrainingError(f"{self.path} line {line} has no {empty[0]}; wanted one in every row")

    def refuse_twice(self, column: str) -> None:
        """Raise TrainingError when a value occurs in two rows."""
        first: dict[str, int] = {}
        for row, line in zip(self.rows, self.lines, strict=True):
            if first.setdefault(row[column], line) != line:
                raise TrainingError(
                    f"{self.path} lines {first[row[column]]} and {line} have the same {column}; wanted each film once"
                )

    def labels(
        self, column: str, positive: str, negatives: Sequence[str], also_positive: Sequence[str] = ()
    ) -> list[int]:
        """1 for the positive classes, 0 for the others; raises TrainingError for a class that nobody has named.

        Without `negatives` there may be one class besides the positive: a third is more likely a slip of the pen.
        """
        counts = Counter(row[column] for row in self.rows)
        others = [name for name in counts if name not in {positive, *also_positive}]
        known = negatives or others[: len(others) == 1]
        unknown = [name for name in others if name not in known]
        if unknown or not counts[positive]:
            told = ", ".join(f"{name!r} ({count})" for name, count in counts.most_common(12))
            named = " or ".join(map(repr, negatives)) or "one other class (or the recipe's negative_classes)"
            rarest = min(unknown, key=lambda name: (counts[name], name), default="")
            at = next((line for row, line in zip(self.rows, self.lines, strict=True) if row[column] == rarest), None)
            where = f", {rarest!r} in line {at}" if at else ""
            raise TrainingError(f"{self.path} column {column} holds {told}{where}; wanted {positive!r} and {named}")
        return [int(row[column] in {positive, *also_positive}) for row in self.rows]

    def without(self, column: str, values: Sequence[str]) -> "FilmTable":
        """The rows that hold none of these values; a file that an earlier row holds with the same value comes once."""
        kept: dict[tuple[str, str], tuple[Row, int]] = {}
        for row, line in zip(self.rows, self.lines, strict=True):
            if row.get(column) not in values:
                kept.setdefault((row.get("file", ""), row.get(column, "")), (row, line))
        return replace(
            self, rows=tuple(row for row, _ in kept.values()), lines=tuple(line for _, line in kept.values())
        )


def read_table(path: Path) -> FilmTable:
    """Read a CSV in UTF-8 whose first line names the columns, parted by commas, semicolons or tabs.

    Raises TrainingError when it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); wanted a manifest") from error
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path}: not UTF-8 at byte {error.start}; wanted a CSV saved as UTF-8") from error
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), restval="")
    rows, lines = [], []
    try:
        columns = tuple(name.strip() for name in reader.fieldnames or ())
        for row in reader:
            if None in row:
                raise TrainingError(f"{path} line {reader.line_num} has more values than columns; wanted one for each")
            rows.append({name.strip(): value.strip() for name, value in row.items()})
            lines.append(reader.line_num)
    except csv.Error as error:
        raise TrainingError(f"{path} line {reader.line_num}: {error}; wanted a CSV") from error
    return FilmTable(path, columns, tuple(rows), tuple(lines))
