"""All that a file has wrong, in one message: each key, its value and what was wanted."""

import re
from collections.abc import Mapping

from pydantic import ValidationError

SECRET = re.compile(r"(?i)(pas+w|passphrase|secret|token)(?!.*_file$)")
"""In the name of a key, misspelt ones too, whose value is shown to nobody."""


def faults_in(where: str, error: ValidationError) -> str:
    """One line a fault beneath a line that counts them, in `where`; no password, nor one in a URL, is shown.

    Nor is a table as a whole, which may hold one.
    """
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "the whole"
        shown = fault["type"] != "missing" and fault["loc"] and not isinstance(fault["input"], Mapping)
        value = re.sub(r"(?<=://).*@", "***@", f" = {fault['input']!r}") if shown else ""
        value = " = ***" if SECRET.search(key) else value
        lines += [f"  {key}{value}: {told}" for told in fault["msg"].splitlines()]
    return "\n".join([f"{len(lines)} {'fault' if len(lines) == 1 else 'faults'} in {where}:", *lines])
