"""The page of two models opens in a browser without network or scripts, on a light and a dark screen, and prints."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cxrnode.compare.command import Request, compare
from tests.browser.conftest import ARTEFACTS, driven
from tests.compared import LARGE, LITE, Reading

NOW = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
STUDIES, PICTURED = 16, 4


def test_the_page_is_whole_in_a_browser_without_network_or_scripts(modules: Path, tmp_path: Path) -> None:
    generator, reading = np.random.default_rng(4), Reading(tmp_path / "state")
    shared = generator.normal(0, 2.5, STUDIES)
    a, b = (1 / (1 + np.exp(-shared - generator.normal(0, 1.5, STUDIES))) for _ in "ab")
    reading.receive(STUDIES)
    reading.read(LITE, [*a[:-2].tolist(), 1 - 1e-9, 2e-5])  # so that the axes are as long as they can be
    reading.read(LARGE, [None, *b[1:-2].tolist(), 1 - 1e-7, 1e-8])
    labels = tmp_path / "labels.csv"
    told = (f"{film.StudyInstanceUID},{int(one > 0)}\n" for film, one in zip(reading.films, shared, strict=True))
    labels.write_text("study,label\n" + "".join(told), encoding="utf-8")
    request = Request("lite", "large", tmp_path / "out", labels, most=PICTURED)
    compare(request, reading.desk.settings, NOW, as_json=False)

    seen = driven(modules, "page.mjs", tmp_path / "out" / "index.html", ARTEFACTS, "comparison")

    assert seen["said"] == []
    assert {re.sub(r"(file|data):.*", r"\1", address) for address in seen["asked"]} <= {"file", "data"}
    for screen in seen["seen"].values():
        assert screen["width"] == 1280, "nothing hangs over the edge"
        assert screen["headless"] == 0, "every table says what its rows or columns are"
        assert len(screen["pictures"]) >= PICTURED * 2
        assert all(width >= 200 and alt for width, alt in screen["pictures"])
        assert [chart["name"] for chart in screen["charts"]] == [
            "Probability by B against probability by A of 15 images",
            "Difference of the logits against their mean, of 15 images",
            "ROC curves of A and B",
        ]
        for chart in screen["charts"]:
            assert (chart["outside"], chart["over"]) == (0, 0), chart
            assert chart["width"] > 300, chart
            assert chart["words"] > 8, chart
        assert [chart["dots"] > 0 for chart in screen["charts"]] == [True, True, False]
    light, dark = (brightness(seen["seen"][name]["paper"]) for name in ("light", "dark"))
    assert light > 200
    assert dark < 50
    assert (ARTEFACTS / "comparison.pdf").read_bytes().startswith(b"%PDF-")


def brightness(colour: str) -> float:
    """The mean of a colour's parts as CSS writes it."""
    parts = re.findall(r"\d+", colour)[:3]
    assert len(parts) == 3, colour
    return sum(map(int, parts)) / 3
