"""A report's tree is the one that highdicom builds, byte for byte."""

from dataclasses import replace

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from cxrnode.finding import MapMethod, Outcome, Reading, Span
from cxrnode.results.codes import code_of, coded
from cxrnode.results.report import build_report
from tests import librarytree
from tests.builders import make_cxr
from tests.readings import analysed, context_for, outlined

JAPANESE = {"SpecificCharacterSet": ["ISO 2022 IR 6", "ISO 2022 IR 87"]}
LEFT_UNREAD = [
    (Outcome.REFUSED, "PatientID is absent"),
    (Outcome.FAILED, "no pixels"),
    (Outcome.NOT_APPLICABLE, "foot"),
]


def unread(source: Dataset, outcome: Outcome, reason: str) -> Reading:
    return Reading(source.SOPInstanceUID, outcome, reason)


def attention(source: Dataset) -> Reading:
    read = outlined(source, (1.0, 5.0))
    assert read.finding is not None
    heatmap = replace(read.finding.heatmap, method=MapMethod.ATTENTION_ROLLOUT, span=Span(0.1, 0.0, 0.9, 1.0))
    return replace(read, finding=replace(read.finding, heatmap=heatmap, lung_share=1 / 3))


def content(tree: Dataset) -> bytes:
    """The root's own attributes and all below them."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    keywords = (
        "ValueType",
        "ConceptNameCodeSequence",
        "ContinuityOfContent",
        "ContentTemplateSequence",
        "ContentSequence",
    )
    only = Dataset()
    for keyword in keywords:
        only[keyword] = tree[keyword]
    write_dataset(stream, only, tree.get("SpecificCharacterSet", "iso8859"))
    return stream.getvalue()


@pytest.mark.parametrize("attributes", [{}, {"SeriesInstanceUID": None}, {"PatientOrientation": None}, JAPANESE])
def test_what_is_written_here_is_what_the_library_writes(attributes: dict[str, object]) -> None:
    """Red when any item is left out, moved or of another relationship."""
    sources = [make_cxr(StudyInstanceUID="1.2.3", InstanceNumber=number, **attributes) for number in range(7)]
    procedure = coded(code_of(coded(librarytree.codes.IMAGING_PROCEDURE)))
    procedure.CodeMeaning = "胸部X線" if attributes is JAPANESE else "Film"
    sources[0].ProcedureCodeSequence = [procedure, coded(librarytree.codes.OF_INTEREST)]
    readings = [
        outlined(sources[0], (1.0, 5.0)),
        analysed(sources[1], 0.1),
        analysed(sources[2], 0.25, ("A warning, \u00e9.", "Another.")),
        attention(sources[3]),
        *(unread(source, *why) for source, why in zip(sources[4:], LEFT_UNREAD, strict=True)),
    ]
    context = context_for(sources[0])

    tree = librarytree.tree(sources, readings, context)
    report = build_report(sources, readings, context)

    tree.SpecificCharacterSet = report.SpecificCharacterSet
    assert content(report) == content(tree)
