"""A CSV as people make them, row by row: byte order mark, semicolons, quotes, Latin-1, what spreadsheets add."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cxrnode.errors import SettingsError

LONGEST_LINE = 2**20
DELIMITERS = "\t;,"
"""Where a heading has as many of two of them, the first is meant."""
SPREADSHEETS = (b"PK\3\4", b"\xd0\xcf\x11\xe0")
"""How .xlsx and .xls begin."""
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
AS_LATIN_1 = "cxrnode.as-latin-1"
MOST_TOLD = 20

Row = tuple[int, list[str]]
"""The number of its line (the last of them), and its cells without blanks round them."""


def rows_of(path: Path, wanted: str) -> Iterator[Row]:
    """The rows that are not empty, one at a time; bytes that are no UTF-8 are read as Latin-1.

    Raises SettingsError with the line that cannot be read; `wanted` says what the file was to be.
    """
    try:
        with path.open("rb") as file:
            begin = file.peek(4)
            if begin.startswith(SPREADSHEETS):
                raise SettingsError(f"{path}: a spreadsheet or an archive; wanted {wanted}, saved as CSV")
            encoding = "utf-16" if begin.startswith(UTF_16) else "utf-8-sig"
            with io.TextIOWrapper(file, encoding=encoding, errors=AS_LATIN_1) as text:
                yield from _rows(path, text, wanted)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); wanted {wanted}") from error
    except UnicodeError as error:
        raise SettingsError(f"{path}: no text in UTF-16, as its first bytes say; wanted {wanted} in UTF-8") from error


def _rows(path: Path, text: io.TextIOWrapper, wanted: str) -> Iterator[Row]:
    lines = iter(lambda: text.readline(LONGEST_LINE), "")
    first, at = next(lines, ""), 0
    while first and not first.strip():
        first, at = next(lines, ""), at + 1
    if named := re.fullmatch(r"sep=(.)\n", first, re.IGNORECASE):  # written by and for one spreadsheet
        delimiter, first, at = named[1], next(lines, ""), at + 1
    else:
        delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", first).count)
    reader = csv.reader(_and_then(first, lines), delimiter=delimiter)
    try:
        for cells in reader:
            line = reader.line_num + at
            if any("\n" in cell or "\0" in cell for cell in cells):
                raise SettingsError(
                    f"{path} line {line}: a quotation mark that is not closed before it, or no text; wanted {wanted}"
                )
            row = [_cell(cell) for cell in cells]
            if any(row):
                yield line, row
    except csv.Error as error:
        raise SettingsError(f"{path} line {reader.line_num + at}: {error}; wanted {wanted}") from error


def _and_then(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _cell(cell: str) -> str:
    """A cell without blanks, without the ="..." that keeps zeros, and as it was before it was guarded."""
    cell = cell.strip()
    if quoted := re.fullmatch(r'="(.*)"', cell):
        return quoted[1].strip()
    return unguarded(cell)


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before = + - @, their wide forms and blanks.

    One goes before an apostrophe too, so that `unguarded` gives the cell again.
    """
    return f"'{cell}" if cell[:1] in _RISKY else cell


_RISKY = frozenset("=+-@＝＋－＠'\t\r\n")  # noqa: RUF001  spreadsheets take the wide forms for formulae too


def unguarded(cell: str) -> str:
    """A cell as it was before it was guarded."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _RISKY else cell


def faults_told(path: Path, faults: Sequence[str]) -> str:
    """All that a file has wrong, one line a fault beneath a line that counts them; of very many the first."""
    more = [f"  and {len(faults) - MOST_TOLD} more"] if len(faults) > MOST_TOLD else []
    lines = [f"  {fault}" for fault in faults[:MOST_TOLD]]
    return "\n".join([f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'} in {path}:", *lines, *more])


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError) and error.encoding.startswith("utf-8"):
        return error.object[error.start : error.end].decode("latin-1"), error.end
    raise error


codecs.register_error(AS_LATIN_1, _as_latin_1)
