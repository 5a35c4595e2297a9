"""The rows of a comparison as CSV and as Parquet, one an image; every file with mode 0600, whole or not at all."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cxrnode.compare.images import OUTCOMES, Images, Read
from cxrnode.compare.truth import Truth
from cxrnode.whole import written_whole

BATCH = 20_000
Batch = dict[str, list[Any]]
TEXT, NUMBER, YES_NO = "text", "number", "yes or no"
PARTS = {
    "model": TEXT,
    "card": TEXT,
    "operating_point": NUMBER,
    "prevalence": NUMBER,
    "outcome": TEXT,
    "probability": NUMBER,
}
"""What there is of either model, with what it is"""


def columns(*, with_uids: bool) -> dict[str, str]:
    """The columns, in their order, and what each holds."""
    uids = {"study_instance_uid": TEXT, "sop_instance_uid": TEXT} if with_uids else {}
    models = {f"{side}_{name}": kind for side in "ab" for name, kind in PARTS.items()}
    told = {"difference": NUMBER, "logit_difference": NUMBER, "flip": TEXT, "label": YES_NO}
    return {"study": TEXT, "image": TEXT} | uids | models | told


def rows(images: Images, truth: Truth | None, *, with_uids: bool) -> Iterator[Batch]:
    """Every image, column by column, so many at a time; None where there is nothing to tell."""
    apart, flipped, rises = images.logit_difference, images.flipped, images.b.positive
    for start in range(0, len(images.keys), BATCH):
        part = slice(start, start + BATCH)
        study = images.study[part]
        batch: Batch = {"study": _words(images.study_keys[study]), "image": _words(images.keys[part])}
        if with_uids:
            batch["study_instance_uid"] = _words(images.study_uids[study])
            batch["sop_instance_uid"] = _words(images.uids[part])
        for side, read in (("a", images.a), ("b", images.b)):
            batch |= {f"{side}_{name}": values for name, values in _of(read, part).items()}
        batch["difference"] = _numbers(images.b.probability[part] - images.a.probability[part])
        batch["logit_difference"] = _numbers(apart[part])
        batch["flip"] = [
            ("to positive" if up else "to negative") if flip else None
            for flip, up in zip(flipped[part].tolist(), rises[part].tolist(), strict=True)
        ]
        batch["label"] = [None] * len(study) if truth is None else _labels(truth, part)
        yield batch


def write_csv(path: Path, images: Images, truth: Truth | None, *, with_uids: bool) -> None:
    """Write the rows as CSV (RFC 4180, UTF-8), the first line their names; empty where there is nothing to tell."""
    names = list(columns(with_uids=with_uids))
    with written_whole(path) as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for batch in rows(images, truth, with_uids=with_uids):
            writer.writerows(zip(*(batch[name] for name in names), strict=True))


def write_parquet(path: Path, images: Images, truth: Truth | None, *, with_uids: bool) -> None:
    """Write the same rows as Apache Parquet. Raises ImportError without pyarrow."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {TEXT: pa.string(), NUMBER: pa.float64(), YES_NO: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns(with_uids=with_uids).items()])
    with written_whole(path) as file, parquet.ParquetWriter(file.buffer, schema) as writer:
        for batch in rows(images, truth, with_uids=with_uids):
            writer.write_batch(pa.RecordBatch.from_pydict(batch, schema=schema))


def _of(read: Read, part: slice) -> dict[str, list[Any]]:
    cards = [read.cards[place] if place >= 0 else None for place in read.card[part].tolist()]
    return {
        "model": [card and card.model for card in cards],
        "card": [(card.digest or None) if card else None for card in cards],
        "operating_point": [card and card.operating_point for card in cards],
        "prevalence": [card and card.prevalence for card in cards],
        "outcome": [str(OUTCOMES[place]) if place >= 0 else None for place in read.outcome[part].tolist()],
        "probability": _numbers(read.probability[part]),
    }


def _words(column: np.ndarray[Any, np.dtype[np.bytes_]]) -> list[str]:
    return [name.decode() for name in column.tolist()]


def _numbers(column: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [None if value != value else value for value in column.tolist()]  # noqa: PLR0124  not a number


def _labels(truth: Truth, part: slice) -> list[bool | None]:
    both = zip(truth.known[part].tolist(), truth.positive[part].tolist(), strict=True)
    return [positive if known else None for known, positive in both]
