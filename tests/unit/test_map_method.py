"""A result names the method that its map was made by, in words and by the standard's code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.sr.codedict import codes as standard

from cxrnode.errors import ModelMismatch
from cxrnode.finding import Finding, Heatmap, MapMethod, Reading
from cxrnode.results.codes import MAPS
from cxrnode.results.overlay import build_overlay
from cxrnode.results.readback import content_item, named
from cxrnode.results.report import build_report
from models.card import load_card
from tests.builders import make_cxr
from tests.fakes import ALGORITHM
from tests.readings import context_for, heatmap, radiograph_of, written
from tests.zoo import write_folder

CODES = {
    MapMethod.GRAD_CAM: standard.DCM.GradientWeightedClassActivation,
    MapMethod.ATTENTION_ROLLOUT: standard.DCM.Saliency,
}


@pytest.mark.parametrize("method", MapMethod)
def test_report_and_overlay_name_the_method(method: MapMethod, tmp_path: Path) -> None:
    source = make_cxr()
    algorithm = replace(ALGORITHM, explanation=method)
    context = replace(context_for(source), algorithm=algorithm)
    shown = Heatmap(heatmap().values, 3.25, method)
    reading = Reading(str(source.SOPInstanceUID), algorithm.judge(0.9), finding=Finding(2.0, 0.9, shown))

    report = written(build_report([source], [reading], context), tmp_path / "sr.dcm")
    overlay = build_overlay(source, radiograph_of(), reading, context)

    assert [item.value for item in named(content_item(report), CODES[method].meaning)] == ["3.25"]
    assert f"the {method} map" in overlay.DerivationDescription
    for result in (report, overlay):
        assert f"with {method}." in result.ContributingEquipmentSequence[0].ContributionDescription


@pytest.mark.parametrize("method", MapMethod)
def test_the_code_is_the_standards(method: MapMethod) -> None:
    assert MAPS[method] == CODES[method]
    assert MAPS[method].meaning == CODES[method].meaning


def test_a_method_is_found_by_its_plain_name() -> None:
    assert Heatmap(np.zeros((2, 2), np.float32), 0.0, MapMethod("attention rollout")).method in MAPS


def test_a_card_chooses_the_method_and_the_digest_knows(tmp_path: Path) -> None:
    wanted = {"method": "attention-rollout"}
    rollout = load_card(write_folder(tmp_path / "rollout", architecture="vit_b_16", explanation=wanted))
    grad_cam = load_card(write_folder(tmp_path / "grad-cam", architecture="vit_b_16", explanation={"layer": "x"}))
    assert rollout.algorithm().explanation == "attention rollout"
    assert grad_cam.algorithm().explanation == "Grad-CAM"
    assert rollout.digest != grad_cam.digest


def test_the_tables_old_name_is_still_read(tmp_path: Path) -> None:
    new = load_card(write_folder(tmp_path / "new"))
    card = tmp_path / "new" / "card.toml"
    card.write_text(card.read_text(encoding="utf-8").replace("[explanation]", "[gradcam]"), encoding="utf-8")
    assert load_card(tmp_path / "new") == new


@pytest.mark.parametrize(
    "table", [{}, {"method": "attention-rollout", "layer": "x"}, {"method": "guess", "layer": "x"}]
)
def test_a_method_without_what_it_needs_is_named(table: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match="explanation"):
        load_card(write_folder(tmp_path / "toy", explanation=table))
