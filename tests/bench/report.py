"""What benches found, as a file for machines and a table for people, with the machine it was found on."""

import json
import platform
import re
import sqlite3
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from os.path import commonprefix
from pathlib import Path

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
LIBRARIES = ("torch", "grad-cam", "pydicom", "pynetdicom", "highdicom", "celery", "sqlalchemy")
MET = {True: "yes", False: "**no**", None: ""}


def machine() -> dict[str, object]:
    """On what the figures were had."""
    words = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in words.splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": len(models) or None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cxrnode": version("cxrnode"),
        **{name: version(name) for name in LIBRARIES},
    }


def write(folder: Path, figures: Sequence[Mapping[str, object]]) -> None:
    """`bench.json`, a list of figures, and beside it the machine."""
    folder.mkdir(exist_ok=True)
    told = {"bench": figures, "machine": machine()}
    for name, content in told.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def markdown(found: Sequence[Mapping[str, object]], where: Mapping[str, object]) -> str:
    """The table of bench.json's figures for README."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in where.items()) + ".",
        "",
        "| figure | ours | reference | ratio | wanted | met |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        ours, beside = (_value(one[name], one[f"{name}_quartiles"], one["unit"]) for name in ("ours", "reference"))
        ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
        lines.append(f"| {one['name']} | {ours} | {beside} | {ratio} | {one['target'] or ''} | {_met(one)} |")
    return "\n".join([*lines, "", *_notes(found)]).rstrip()


def with_table(readme: str, table: str) -> str:
    """README with this table in the place of the one before."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _found: f"{BEGIN}\n{table}\n{END}", readme)


def _notes(found: Sequence[Mapping[str, object]]) -> list[str]:
    """What is said of several figures is said once, under what their names have in common."""
    of: dict[str, list[str]] = {}
    for one in found:
        if one["note"]:
            of.setdefault(str(one["note"]), []).append(str(one["name"]))
    begun = {note: commonprefix(names).rstrip(" ,:") for note, names in of.items()}  # noqa: RUF071  no paths, but titles
    return [f"* {name}: {note}" for note, name in begun.items()]


def _met(one: Mapping[str, object]) -> str:
    met = one["met"]
    return "not run" if one["ours"] is None else MET[met if isinstance(met, bool) else None]


def _value(middle: object, spread: object, unit: object) -> str:
    if not isinstance(middle, float | int):
        return ""
    around = f" ({_short(spread[0])} to {_short(spread[1])})" if isinstance(spread, list | tuple) else ""
    return f"{_short(middle)}{around} {unit}"


def _short(value: float) -> str:
    """Three figures that count, none after the point from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
