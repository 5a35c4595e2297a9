"""All that a file has wrong, in one message: each key, its value and what was wanted."""

import re

from pydantic import ValidationError


def faults_in(where: str, error: ValidationError) -> str:
    """One line a fault beneath a line that counts them, in `where`; no password, nor one in a URL, is shown."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "the whole"
        value = "" if fault["type"] == "missing" or not fault["loc"] else f" = {fault['input']!r}"
        value = " = ***" if key.endswith("password") else re.sub(r"(?<=://).*@", "***@", value)
        lines += [f"  {key}{value}: {told}" for told in fault["msg"].splitlines()]
    return "\n".join([f"{len(lines)} {'fault' if len(lines) == 1 else 'faults'} in {where}:", *lines])
