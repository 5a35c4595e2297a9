"""The pipeline that a competent engineer writes from the libraries' documentation: what ours is measured beside.

pydicom decodes at full size, OpenCV resizes, pytorch-grad-cam explains by its defaults, highdicom makes the objects,
and each is saved. Network, weights and input are the same as ours; nothing is done twice, no library is asked for more
than it need be. There is no gate and no look for lungs, no outline on the overlay, no banner, no fsync and no ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import highdicom as hd
import numpy as np
import pydicom
import torch
from highdicom import sr
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget

from cxrnode.results import codes
from models.calibrate import probability
from models.card import ModelCard, find, load_card
from models.reader import network_of

Greys = NDArray[np.float32]
"""(rows, columns) in [0, 1], air dark"""
OVERLAY_SIDE = 1280
MAKER = {"manufacturer": "Textbook", "manufacturer_model_name": "textbook", "software_versions": "1"}


@dataclass(frozen=True)
class Answer:
    """What the network says: a calibrated probability and a map of (rows, columns) in [0, 1] over its input."""

    probability: float
    heatmap: Greys


def opened(path: Path) -> Dataset:
    """The file as pydicom reads it."""
    return pydicom.dcmread(path)


def decoded(dataset: Dataset) -> Greys:
    """The whole image as the standard says it is to be shown: pydicom's pixel array through both its LUTs."""
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = values.max() - values
    highest = 2**dataset.BitsStored - 1
    return (values / highest).astype(np.float32)


def resized(greys: Greys, card: ModelCard) -> torch.Tensor:
    """(1, 3, rows, columns) as the network wants it: the whole film, its aspect given up."""
    wanted = card.input
    small = cv2.resize(greys, (wanted.columns, wanted.rows), interpolation=cv2.INTER_AREA)
    three = (np.stack([small] * 3) * wanted.scale - np.array(wanted.mean)[:, None, None]) / np.array(wanted.std)[
        :, None, None
    ]
    return torch.from_numpy(three[None].astype(np.float32))


def reader(model: str) -> tuple[ModelCard, Callable[[torch.Tensor], Answer]]:
    """The model's card, and Grad-CAM by its defaults as a function of one input."""
    folder = find(model, None)
    card = load_card(folder)
    network, _ = network_of(folder, "cpu")
    network.requires_grad_(requires_grad=True)
    cam = GradCAM(model=network.eval(), target_layers=[network.get_submodule(card.explanation.layer or "")])

    def read(inputs: torch.Tensor) -> Answer:
        heatmap = cam(input_tensor=inputs, targets=[BinaryClassifierOutputTarget(1)])[0]
        logit = cam.outputs[0, 0].item()
        return Answer(probability(logit, card.calibration.temperature, card.calibration.bias), heatmap)

    return card, read


def objects(dataset: Dataset, greys: Greys, answer: Answer, card: ModelCard) -> dict[str, Dataset]:
    """A report, an overlay, and of a positive a segmentation, a presentation state and a selection, by family."""
    report = _report(dataset, answer, card)
    made = {"report": report, "overlay": _overlay(dataset, greys, answer)}
    if answer.probability >= card.operating_point.probability:
        large = cv2.resize(answer.heatmap, (dataset.Columns, dataset.Rows), interpolation=cv2.INTER_LINEAR)
        mask = (large >= 0.5 * large.max()).astype(np.uint8)
        made["segmentation"] = _segmentation(dataset, mask, card)
        made["presentation"] = _presentation(dataset, mask)
        made["keyobjects"] = _selection(dataset)
    return made


def saved(made: dict[str, Dataset], folder: Path) -> None:
    """Every object in a file of its own."""
    for family, dataset in made.items():
        dataset.save_as(folder / f"{family}.dcm", enforce_file_format=True)


def _numbered(number: int) -> dict[str, object]:
    return {
        "series_instance_uid": hd.UID(),
        "series_number": number,
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
    }


def _algorithm(card: ModelCard) -> hd.AlgorithmIdentificationSequence:
    return hd.AlgorithmIdentificationSequence(
        name=card.name, version=card.version, family=codes.ARTIFICIAL_INTELLIGENCE
    )


def _report(dataset: Dataset, answer: Answer, card: ModelCard) -> Dataset:
    """TID 1500 with one group of the image: finding, site, probability."""
    device = sr.DeviceObserverIdentifyingAttributes(uid=hd.UID(), name="textbook")
    observer = sr.ObserverContext(observer_type=codes.DEVICE, observer_identifying_attributes=device)
    positive = answer.probability >= card.operating_point.probability
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=hd.UID(), identifier="Image 1"),
        finding_type=codes.PNEUMONIA,
        finding_sites=[sr.FindingSite(anatomic_location=codes.LUNG)],
        algorithm_id=sr.AlgorithmIdentification(name=card.name, version=card.version),
        measurements=[
            sr.Measurement(name=codes.PROBABILITY, value=answer.probability, unit=codes.NO_UNITS),
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(codes.PNEUMONIA, codes.PRESENT if positive else codes.ABSENT)
        ],
        source_images=[sr.SourceImageForMeasurementGroup.from_source_image(dataset)],
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=[group],
        title=codes.IMAGING_MEASUREMENT_REPORT,
    )
    return sr.Comprehensive3DSR(evidence=[dataset], content=content[0], manufacturer="Textbook", **_numbered(9001))


def _overlay(dataset: Dataset, greys: Greys, answer: Answer) -> Dataset:
    """The map in colour over the film, no side longer than OVERLAY_SIDE."""
    scale = OVERLAY_SIDE / max(greys.shape)
    size = (round(greys.shape[1] * scale), round(greys.shape[0] * scale))
    small = cv2.resize(greys, size, interpolation=cv2.INTER_AREA)
    heat = cv2.resize(answer.heatmap, size, interpolation=cv2.INTER_LINEAR)
    picture = show_cam_on_image(np.repeat(small[..., None], 3, axis=-1), heat, use_rgb=True)
    return hd.sc.SCImage.from_ref_dataset(
        ref_dataset=dataset,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        manufacturer="Textbook",
        transfer_syntax_uid=pydicom.uid.ExplicitVRLittleEndian,
        **_numbered(9002),
    )


def _segmentation(dataset: Dataset, mask: NDArray[np.uint8], card: ModelCard) -> Dataset:
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="pneumonia",
        segmented_property_category=codes.MORPHOLOGICALLY_ABNORMAL,
        segmented_property_type=codes.PNEUMONIA,
        algorithm_type="AUTOMATIC",
        algorithm_identification=_algorithm(card),
    )
    return hd.seg.Segmentation(
        source_images=[dataset],
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=[described],
        device_serial_number="1",
        **MAKER,
        **_numbered(9003),
    )


def _presentation(dataset: Dataset, mask: NDArray[np.uint8]) -> Dataset:
    """Each outline of the mask as a closed line."""
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    layer = hd.pr.GraphicLayer(layer_name="AI", order=1, description="pneumonia")
    lines = [
        hd.pr.GraphicObject(
            graphic_type="POLYLINE",
            graphic_data=np.concatenate([outline, outline[:1]])[:, 0].astype(np.float64),
            units="PIXEL",
        )
        for outline in found
        if len(outline) > 2
    ]
    annotation = hd.pr.GraphicAnnotation(referenced_images=[dataset], graphic_layer=layer, graphic_objects=lines)
    return hd.pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[dataset],
        device_serial_number="1",
        content_label="AI_PNEUMONIA",
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        **MAKER,
        **_numbered(9004),
    )


def _selection(dataset: Dataset) -> Dataset:
    content = hd.ko.KeyObjectSelection(document_title=codes.OF_INTEREST, referenced_objects=[dataset])
    return hd.ko.KeyObjectSelectionDocument(
        evidence=[dataset], content=content, manufacturer="Textbook", **_numbered(9005)
    )
