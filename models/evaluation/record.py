"""Figures measured later go onto a model's card, in the place of older ones of the same name."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from cxrnode.errors import ModelMismatch
from models.card import Measured
from models.strict import load_toml


def record(folder: Path, rows: Sequence[Measured]) -> None:
    """Write `rows` into `folder`/card.toml, whatever kind of card it is; its digest stays, for none holds `measured`.

    A row replaces the one of the same metric, data and split, and is added where there is none. The card is replaced
    as a whole or not at all. Raises ModelMismatch when it cannot be read.
    """
    card = load_toml(folder / "card.toml", ModelMismatch)
    figures = [*card.get("measured", ()), *(row.model_dump(mode="json") for row in rows)]
    rewrite(folder, {"measured": _newest(figures)})


def rewrite(folder: Path, parts: dict[str, Any]) -> None:
    """Replace these parts of a card that do not change its digest; the card as a whole or not at all."""
    path = folder / "card.toml"
    text = tomli_w.dumps(load_toml(path, ModelMismatch) | parts)
    scratch = path.with_suffix(".toml.new")
    with scratch.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _newest(figures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row of each name, the last, where the first was."""
    return list({(row["metric"], row["data"], row["split"]): row for row in figures}.values())
